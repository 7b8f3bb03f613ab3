"""What this process is called in lists: the name of its notebook, or of its script."""

from __future__ import annotations

import os
import sys
from pathlib import PurePath

from rustray.driver.cells import kernel_shell


def notebook_path() -> str:
    """That of the notebook whose kernel this is; "" where there is none, or its front end does not tell."""
    shell = kernel_shell()
    if shell is None:
        return ""
    return str(shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or "")


def program_name() -> str:
    """As "My Data.ipynb", "train.py", "pytest", "ipython"."""
    if kernel_shell() is not None:
        return PurePath(notebook_path()).name or "notebook"
    path = PurePath(sys.argv[0] if sys.argv else "")
    if path.name == "__main__.py":  # python -m PACKAGE
        return path.parent.name
    return "python" if path.name in ("", "-c", "-m") else path.name
