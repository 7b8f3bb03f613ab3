"""Rates of what the machine's counters count. Pure: counters and times come in."""

from __future__ import annotations

from collections.abc import Mapping


class Rates:
    """How fast named counters go up, a second, between the last two readings."""

    def __init__(self) -> None:
        self._time: float | None = None
        self._counters: dict[str, float] = {}
        self._rates: dict[str, float] = {}

    def take(self, now: float, counters: Mapping[str, float]) -> dict[str, float]:
        """A reading; 0 of what was not there before, or was set back."""
        passed = now - self._time if self._time is not None else 0.0
        self._rates = {
            f"{name}_per_s": max(0.0, count - self._counters.get(name, count)) / passed if passed > 0 else 0.0
            for name, count in counters.items()
        }
        self._time, self._counters = now, dict(counters)
        return self._rates

    @property
    def latest(self) -> dict[str, float]:
        """As of the last reading."""
        return self._rates
