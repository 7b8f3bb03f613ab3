"""Which notebook this kernel belongs to, and whether it is about to be started again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rustray.driver import program
from rustray.driver.cells import kernel_shell

GRACE_VARIABLE = "RUSTRAY_KERNEL_GRACE_S"
GRACE_S = 300.0


def notebook_path() -> str:
    """The notebook's path, which is its namespace; where it is not known, a name that stays when the kernel is
    restarted; "" outside of kernels."""
    shell = kernel_shell()
    if shell is None:
        return ""
    return program.notebook_path() or f"kernel {Path(_connection_file(shell)).stem}"


def _connection_file(shell: Any) -> str:
    # The one of the process, not that of a notebook whose environment this kernel was started in.
    return str(shell.config.get("IPKernelApp", {}).get("connection_file") or os.getpid())


def grace_s() -> float:
    """Seconds for which cells are kept without a kernel."""
    try:
        return max(1.0, float(os.environ[GRACE_VARIABLE]))
    except (KeyError, ValueError):
        return GRACE_S


def is_ending() -> bool:
    """Whether this kernel has been told to end, be it to start again. The thread that hears of it is not the cells'."""
    return _shutdown() is not None


def is_restarting() -> bool:
    """Whether this kernel ends because it is restarted, and not because it is shut down."""
    return bool((_shutdown() or {}).get("restart"))


def _shutdown() -> dict[str, Any] | None:
    message = getattr(getattr(kernel_shell(), "kernel", None), "_shutdown_message", None)
    return None if message is None else message["content"]
