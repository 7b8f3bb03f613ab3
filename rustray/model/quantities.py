"""Quantities as people read them."""

from __future__ import annotations

from collections.abc import Mapping


def duration(seconds: float) -> str:
    """As "15 µs", "250 ms", "3 s", "8.33 min"."""
    for unit, size in (("µs", 1e-3), ("ms", 1.0)):
        if seconds < size:
            return f"{seconds / size * 1000:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def deviation(seconds: float) -> str:
    """Of a duration, with as many digits as an error deserves."""
    return duration(float(f"{seconds:.2g}"))


def byte_size(count: float) -> str:
    """As "512 B", "1.5 MiB", "14 MiB", "1.5 GiB"."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{f'{count:.1f}'.removesuffix('.0') if count < 9.95 else f'{count:.0f}'} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def amounts(resources: Mapping[str, float]) -> str:
    """Of resources, as "2 CPU, 16.5 GiB memory"."""
    return ", ".join(
        f"{amount / 2**30:.3g} GiB memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in resources.items()
    )


def counted(count: int, what: str) -> str:
    """As "1 task", "2 tasks"."""
    return f"{count} {what}{'' if count == 1 else 's'}"
