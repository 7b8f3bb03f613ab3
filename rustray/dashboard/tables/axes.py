"""Axes of values that begin at 0 and end at a round number, with both and what is between them written on them."""

from __future__ import annotations

from collections.abc import Iterable

from rustray.dashboard.tables.words import Table

BYTES = tuple(
    float(part << 10 * unit)
    for unit in range(2, 7)
    for part in sorted({part << bit for part in (2, 3) for bit in range(9)} | {1, 1024})
    if part < 1024
)
"""Ends of axes of bytes, from 1 MiB: halves of them are short numbers of KiB, MiB and so on."""
COUNTS = tuple(float(part * 10**power) for power in range(13) for part in (2, 4, 6, 8, 10, 12, 16))
"""Of other numbers: halves are whole."""
MARGIN = 1.03


def axis(name: str, values: Iterable[float], ends: tuple[float, ...] = COUNTS) -> Table:
    """What "set" needs for the axis of that name, of a figure by `style.over_time`.

    Parameters
    ----------
    values: all that are to be seen. ends: where it may end; none of them for the greatest value itself.
    """
    most = max(values, default=0.0)
    end = next((end for end in ends if end >= most), most) or 1.0
    return {f"{name}_y": {"end": end * MARGIN}, f"{name}_ticks": {"ticks": [0.0, end / 2, end]}}
