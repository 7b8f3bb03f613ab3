"""Quantities as people read them."""

from __future__ import annotations

from collections.abc import Mapping

TENTHS_S = 9.95
"""Below so many seconds tenths of them are told."""


def duration(seconds: float) -> str:
    """As "15 µs", "250 ms", "3 s", "8.33 min"."""
    for unit, size in (("µs", 1e-3), ("ms", 1.0)):
        if seconds < size:
            return f"{seconds / size * 1000:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def deviation(seconds: float) -> str:
    """Of a duration, with as many digits as an error deserves."""
    return duration(float(f"{seconds:.2g}"))


def lapse(seconds: float) -> str:
    """A time that somebody waits for, as "30 ms", "0.3 s", "12 s", "3 min 5 s", "2 h 3 min"."""
    return _lapse(seconds, seconds < TENTHS_S)


def lapse_with_error(seconds: float, error: float) -> str:
    """The same with its standard deviation, as "2.5 s ± 0.4 s", "12 s ± 2 s"; without one that does not show."""
    tenths = max(seconds, error) < TENTHS_S
    step = 60.0 if seconds >= 3600 else 0.1 if tenths else 1.0
    shown = step * round(error / step)
    return _lapse(seconds, tenths) + (f" ± {_lapse(shown, tenths)}" if shown else "")


def _lapse(seconds: float, tenths: bool) -> str:
    if seconds < 0.095:
        return f"{seconds * 1000:.0f} ms"
    if tenths:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    parts = [(hours, "h"), (minutes, "min")] if hours else [(minutes, "min"), (whole % 60, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def pace(per_second: float, unit: str = "") -> str:
    """As "1,234/s", "12.5/s", "12/min", "3 rows/h"."""
    per, size = next(
        (found for found in (("s", 1.0), ("min", 60.0)) if per_second * found[1] >= 1), ("h", 3600.0)
    )
    many = per_second * size
    number = f"{many:,.0f}" if many >= 99.95 else f"{many:.3g}"
    return f"{number} {unit}/{per}" if unit else f"{number}/{per}"


def byte_size(count: float) -> str:
    """As "512 B", "1.5 MiB", "14 MiB", "1.5 GiB", "2.0 TiB"."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{f'{count:.1f}'.removesuffix('.0') if count < 9.95 else f'{count:.0f}'} {unit}"
        count /= 1024
    for unit in ("GiB", "TiB"):
        if count < 1024:
            return f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} PiB"


def amounts(resources: Mapping[str, float]) -> str:
    """Of resources, as "2 CPU, 16.5 GiB memory"."""
    return ", ".join(
        f"{byte_size(amount).replace('.0 ', ' ')} memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in resources.items()
    )


def counted(count: int, what: str) -> str:
    """As "1 task", "2 tasks"."""
    return f"{count} {what}{'' if count == 1 else 's'}"
