"""How long tasks of a function take, and how much memory their workers have: learned as they run, kept across runs.

A function is known by a hash of its code (`driver.code_hash`). When the code changes, as in a notebook cell that is
edited, the hash does too: then what was learned under its name stands in, with the weight of a single task. Not so of
what nobody has named: two cells that were the fifth of their notebooks have nothing in common, nor have two lambdas.

Rule 1. The first tasks count alike; later ones have the weight `ALPHA` (exponentially weighted mean and variance, see
        T. Finch, "Incremental calculation of weighted mean and variance", 2009), so that the estimate follows.
Rule 2. A lone task far out of what was seen moves the estimate no further than one at the border would; `SURPRISES`
        such reports in a row are no accident: the function takes as long as that now.
Rule 3. Of memory the peak counts: it rises at once and falls slowly.
Rule 4. At most `KEPT` functions and as many names are known; the ones not seen for longest are forgotten.
"""

from __future__ import annotations

import re
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
UNNAMED = re.compile(r"cell_\d+|.*<lambda>")
"""What cells (`%%remote`) and functions are called that have no name."""
MAX_SECONDS, MAX_BYTES = 1e9, 1 << 60
FORMAT = 1


class Estimate(NamedTuple):
    """What is expected of a function.

    Parameters
    ----------
    run_s, spread_s: seconds that a task takes, and their standard deviation; None and 0.0 while none has ended.
    tasks: how many it was learned from.
    memory: bytes of a worker that runs it, at its peak; 0: not known.
    sure: whether it is of this very code, and not of one with the same name.
    """

    run_s: float | None
    spread_s: float
    tasks: int
    memory: int
    sure: bool


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

    def estimate(self, sure: bool) -> Estimate:
        known = self.count > 0
        spread = sqrt(self.variance) if known else 0.0
        return Estimate(self.mean if known else None, spread, self.count, int(self.memory), sure)


class Predictions:
    """The estimates of many functions. `now` is seconds since the epoch."""

    def __init__(self) -> None:
        self._functions: dict[str, _Record] = {}  # the one seen last at the end
        self._names: dict[str, _Record] = {}
        self._changed: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._functions)

    def observe(
        self, function: bytes, name: str, count: int, seconds: float, squares: float, now: float
    ) -> Estimate:
        """`count` tasks have taken `seconds` in all; `squares` is the sum of the squares of their times.

        Returns what is expected of the function now. A report that makes no sense is passed over.
        """
        if count > 0 and 0 <= seconds <= MAX_SECONDS * count and isfinite(squares):
            mean = seconds / count
            variance = max(0.0, squares / count - mean * mean)
            by_name = self._names.get(name)
            for record in self._records(function, name, now):
                if not record.count and by_name is not None:
                    record.mean, record.variance = by_name.mean, by_name.variance
                    record.count = min(1, by_name.count)
                record.add(count, mean, variance)
        return self.estimate(function, name) or Estimate(None, 0.0, 0, 0, False)

    def note_memory(self, function: bytes, name: str, size: int, now: float) -> None:
        """A worker that runs the function has `size` bytes."""
        if 0 < size <= MAX_BYTES:
            for record in self._records(function, name, now):
                record.note_memory(size)

    def estimate(self, function: bytes, name: str) -> Estimate | None:
        """What is expected of the function with this hash, or of those that had its name."""
        record = self._functions.get(function.hex())
        if record is not None and record.count:
            return record.estimate(True)
        by_name = self._names.get(name)
        if record is None:
            return by_name.estimate(False) if by_name is not None else None
        found = (by_name or record).estimate(False)
        return found._replace(memory=int(record.memory))  # its first worker was measured before it had ended

    def latest(self, functions: Iterable[bytes]) -> list[bytes]:
        """Those of `functions` that something is known of, the one seen last first."""
        seen = {
            function: record.seen for function in functions if (record := self._functions.get(function.hex()))
        }
        return sorted(seen, key=seen.__getitem__, reverse=True)

    def _records(self, function: bytes, name: str, now: float) -> list[_Record]:
        """Where what is measured of the function is noted: under its hash, and under its name if it has one."""
        by_name = self._names.get(name)
        fresh = _Record(now, memory=0.0 if by_name is None else by_name.memory)
        found = [self._touched("function", self._functions, function.hex(), fresh)]
        if not UNNAMED.fullmatch(name):
            found.append(self._touched("name", self._names, name, _Record(now)))
        return found

    def _touched(self, label: str, table: dict[str, _Record], at: str, fresh: _Record) -> _Record:
        record = table.pop(at, fresh)
        table[at] = record
        record.seen = fresh.seen
        self._changed.add((label, at))
        if len(table) > KEPT:
            gone = next(iter(table))
            del table[gone]
            self._changed.discard((label, gone))
        return record

    # -- kept across runs ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values that JSON has."""
        return {
            "format": FORMAT,
            "functions": {key: record.plain() for key, record in self._functions.items()},
            "names": {name: record.plain() for name, record in self._names.items()},
        }

    def take_changed(self) -> dict[str, Any] | None:
        """What has changed since the last call, as `to_dict`; None if nothing has."""
        if not self._changed:
            return None
        changed, self._changed = self._changed, set()
        functions = {key: self._functions[key].plain() for label, key in changed if label == "function"}
        names = {name: self._names[name].plain() for label, name in changed if label == "name"}
        return {"format": FORMAT, "functions": functions, "names": names}

    def merge(self, kept: Mapping[str, Any]) -> None:
        """Add what others have learned, as `to_dict` tells it: of each function what was seen last counts.

        What is not of that form is passed over.
        """
        if not isinstance(kept, Mapping) or kept.get("format") != FORMAT:
            return
        for table, rows in ((self._functions, kept.get("functions")), (self._names, kept.get("names"))):
            for key, row in rows.items() if isinstance(rows, Mapping) else ():
                record = _Record.read(row)
                known = table.get(key)
                if table is self._names and UNNAMED.fullmatch(key):
                    continue  # an earlier version kept it
                if record is not None and (known is None or known.seen < record.seen):
                    table[key] = record
            newest = sorted(table.items(), key=lambda item: item[1].seen)[-KEPT:]
            table.clear()
            table.update(newest)
        self._changed = {
            (label, key)
            for label, key in self._changed
            if key in (self._functions if label == "function" else self._names)
        }
