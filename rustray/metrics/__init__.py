"""What is measured of a cluster: bounded, and pure: no clock, no I/O."""
