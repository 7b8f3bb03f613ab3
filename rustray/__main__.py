"""``python -m rustray``: the command line."""

import sys

from rustray.cli import main

sys.exit(main())
