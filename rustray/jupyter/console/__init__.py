"""The line magic `%rustray`: a command line for the notebook's cluster. Each command has a twin in plain Python."""
