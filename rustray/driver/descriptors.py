"""How many files a process may have open.

Each channel to a worker or actor takes two descriptors in its client, and in the node each worker takes some. The usual
limit, 1024, is there for programs that use `select`; a process may raise its own up to another, which is far higher.
"""

from __future__ import annotations

import contextlib
import resource

ENOUGH = 1 << 16
"""More is not asked for: there are programs that close all descriptors up to their limit, one by one, when they start
another."""


def raise_limit() -> None:
    """Let this process open as many files as it may, up to `ENOUGH`. Its children inherit that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS may take less
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
