"""Memory of buffers that come and go, a mebibyte at a time, kept for the next one.

glibc gives such a buffer back to the system when it is freed and gets it anew for the next, so each costs a page fault
for every 4 KiB: with gRPC's own buffers about 300 us a MiB on each side of a pull, as much as all its copies.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
OWN_MAPPING_BYTES = 16 << 20
"""From here a buffer is mapped by itself, and unmapped when it is freed. gRPC's and ours are smaller."""
KEPT_BYTES = 64 << 20
"""Free memory at the end of a heap that is kept."""


def keep_big_buffers() -> None:
    """From now on this process keeps up to `KEPT_BYTES` of what it frees, for each of malloc's heaps.

    Without effect where the C library is not glibc: others do this by themselves, or have no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, OWN_MAPPING_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
