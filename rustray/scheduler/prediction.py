"""How long tasks of a function take, and how much memory their workers have: learned as they run, kept across runs.

A function is known by a hash of its code (`driver.code_hash`), and by nothing else: every other program has a `work`, a
`process` or an `f`, and what one of them takes says nothing of another's. So code that was edited begins anew.

Rule 1. The first tasks count alike; later ones have the weight `ALPHA` (exponentially weighted mean and variance, see
        T. Finch, "Incremental calculation of weighted mean and variance", 2009), so that the estimate follows.
Rule 2. A lone task far out of what was seen moves the estimate no further than one at the border would; `SURPRISES`
        such reports in a row are no accident: the function takes as long as that now.
Rule 3. Of memory the peak counts: it rises at once and falls slowly.
Rule 4. At most `KEPT` functions are known; the ones not seen for longest are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite, sqrt
from typing import Any, NamedTuple

KEPT = 10_000
ALPHA = 0.1
SURE_AFTER = 4
"""Tasks after which one can be said to be far out."""
TOO_MANY_FOR_CHANCE = 8
"""Tasks whose mean is no accident."""
SURPRISES = 3
MEMORY_FALLS = 0.1
MAX_SECONDS, MAX_BYTES = 1e9, 1 << 60
FORMAT = 1


class Estimate(NamedTuple):
    """What is expected of a function.

    Parameters
    ----------
    run_s, spread_s: seconds that a task takes, and their standard deviation; None and 0.0 while none has ended.
    tasks: how many it was learned from.
    memory: bytes of a worker that runs it, at its peak; 0: not known.
    """

    run_s: float | None
    spread_s: float
    tasks: int
    memory: int


class _Record:
    """What is known of a function. `seen` is when it was last changed, seconds since the epoch."""

    __slots__ = ("count", "mean", "memory", "seen", "surprises", "variance")

    def __init__(
        self, seen: float, mean: float = 0.0, variance: float = 0.0, count: int = 0, memory: float = 0.0
    ) -> None:
        self.seen = seen
        self.mean = mean
        self.variance = variance
        self.count = count
        self.memory = memory
        self.surprises = 0

    def add(self, count: int, mean: float, variance: float) -> None:
        """Learn from `count` tasks with this mean and variance."""
        if self.count >= SURE_AFTER and count < TOO_MANY_FOR_CHANCE:
            spread = sqrt(self.variance)
            low = min(self.mean - 3 * spread, self.mean / 4)
            high = self.mean + max(3 * spread, self.mean)
            if low <= mean <= high:
                self.surprises = 0
            else:
                self.surprises += 1
                if self.surprises == SURPRISES:
                    self.mean, self.variance, self.count, self.surprises = mean, variance, count, 0
                    return
                mean = min(max(mean, low), high)
        weight = max(count / (self.count + count), 1 - (1 - ALPHA) ** count)
        delta = mean - self.mean
        self.mean += weight * delta
        self.variance = (1 - weight) * (self.variance + weight * delta * delta) + weight * variance
        self.count += count

    def note_memory(self, size: float) -> None:
        self.memory = max(size, self.memory + MEMORY_FALLS * (size - self.memory))

    def plain(self) -> list[float]:
        return [self.mean, sqrt(self.variance), self.count, int(self.memory), self.seen]

    @classmethod
    def read(cls, row: Any) -> _Record | None:
        """From `plain`; None where it is not that: the file may have been edited, or be of another version."""
        if not isinstance(row, list) or len(row) != 5:
            return None
        if not all(type(value) in (int, float) and isfinite(value) and value >= 0 for value in row):
            return None
        mean, spread, count, memory, seen = row
        if max(mean, spread) > MAX_SECONDS or memory > MAX_BYTES:
            return None
        return cls(seen, mean, spread * spread, int(count), memory)

    def estimate(self) -> Estimate:
        known = self.count > 0
        spread = sqrt(self.variance) if known else 0.0
        return Estimate(self.mean if known else None, spread, self.count, int(self.memory))


class Predictions:
    """The estimates of many functions. `now` is seconds since the epoch."""

    def __init__(self) -> None:
        self._functions: dict[str, _Record] = {}  # the one seen last at the end
        self._changed: set[str] = set()

    def __len__(self) -> int:
        return len(self._functions)

    def observe(self, function: bytes, count: int, seconds: float, squares: float, now: float) -> None:
        """`count` tasks have taken `seconds` in all; `squares` is the sum of the squares of their times.

        A report that makes no sense is passed over.
        """
        if count > 0 and 0 <= seconds <= MAX_SECONDS * count and isfinite(squares):
            mean = seconds / count
            self._touched(function, now).add(count, mean, max(0.0, squares / count - mean * mean))

    def note_memory(self, function: bytes, size: int, now: float) -> None:
        """A worker that runs the function has `size` bytes."""
        if 0 < size <= MAX_BYTES:
            self._touched(function, now).note_memory(size)

    def estimate(self, function: bytes) -> Estimate | None:
        """What is expected of the function with this hash."""
        record = self._functions.get(function.hex())
        return record.estimate() if record is not None else None

    def latest(self, functions: Iterable[bytes]) -> list[bytes]:
        """Those of `functions` that something is known of, the one seen last first."""
        seen = {
            function: record.seen for function in functions if (record := self._functions.get(function.hex()))
        }
        return sorted(seen, key=seen.__getitem__, reverse=True)

    def _touched(self, function: bytes, now: float) -> _Record:
        key = function.hex()
        record = self._functions.pop(key, None) or _Record(now)
        self._functions[key] = record
        record.seen = now
        self._changed.add(key)
        if len(self._functions) > KEPT:
            gone = next(iter(self._functions))
            del self._functions[gone]
            self._changed.discard(gone)
        return record

    # -- kept across runs ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values that JSON has."""
        return self._told(self._functions)

    def take_changed(self) -> dict[str, Any] | None:
        """What has changed since the last call, as `to_dict`; None if nothing has."""
        if not self._changed:
            return None
        changed, self._changed = self._changed, set()
        return self._told(changed)

    def _told(self, keys: Iterable[str]) -> dict[str, Any]:
        return {"format": FORMAT, "functions": {key: self._functions[key].plain() for key in keys}}

    def merge(self, kept: Mapping[str, Any]) -> None:
        """Add what others have learned, as `to_dict` tells it: of each function what was seen last counts.

        What is not of that form is passed over, and so are the "names" that earlier versions kept.
        """
        if not isinstance(kept, Mapping) or kept.get("format") != FORMAT:
            return
        rows, table = kept.get("functions"), self._functions
        for key, row in rows.items() if isinstance(rows, Mapping) else ():
            record, known = _Record.read(row), table.get(key)
            if record is not None and (known is None or known.seen < record.seen):
                table[key] = record
        self._functions = dict(sorted(table.items(), key=lambda item: item[1].seen)[-KEPT:])
        self._changed &= self._functions.keys()
