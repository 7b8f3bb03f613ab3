"""What is known of a `%%remote` cell at a moment, and how it is told in a line. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from rustray.model.quantities import lapse, pace
from rustray.progress.bar import task_counts
from rustray.progress.forecast import Forecast

RUNNING, DONE, FAILED, STOPPED, TIMED_OUT = "running", "done", "failed", "stopped", "timed out"
LEFT, LOST = "left running", "out of sight"
"""How cells are whose kernel ends, or whose keeper has: what becomes of them is not known there."""

CLIP = 80
"""Characters of an error that are shown."""


@dataclass(frozen=True)
class CellState:
    """A cell as the keeper sees it.

    Parameters
    ----------
    cell: names this run of it. name: what the user calls it.
    how: RUNNING, DONE, FAILED, STOPPED or TIMED_OUT; LEFT or LOST where nobody can tell.
    total, done, failed, running, stopped: numbers of its tasks; `running` are on workers now, `stopped` were cancelled.
    started, ended: seconds since the epoch; None while it runs.
    wanted: the variables of `-o`.
    mapped, background: whether `--map` and `-b` were given.
    kept: whether its results are.
    tail: the last lines that it has printed.
    origin: where its code was and how it begins, as "In[5] model = train(data)".
    ends, error: when it will probably have ended, in seconds since the epoch, None where nothing is expected; and the
        standard deviation of that in seconds. They move all the time: a state with others is no other state.
    overdue: see `Forecast`.
    failure: what the first of its tasks that has failed has raised, as "ValueError: no".
    """

    cell: str
    name: str
    how: str
    total: int
    done: int
    failed: int
    running: int
    started: float
    ended: float | None
    wanted: tuple[str, ...] = ()
    mapped: bool = False
    background: bool = False
    kept: bool = True
    tail: tuple[str, ...] = ()
    origin: str = ""
    ends: float | None = field(default=None, compare=False)
    error: float = field(default=0.0, compare=False)
    stopped: int = 0
    overdue: float = field(default=0.0, compare=False)
    failure: str = ""

    @classmethod
    def begins(cls, cell: str, name: str, started: float, total: int = 1, mapped: bool = False) -> CellState:
        """Of a cell that has been sent, and of which nothing is known yet."""
        return cls(cell, name, RUNNING, total, 0, 0, 0, started, None, mapped=mapped)

    def seconds(self, now: float) -> float:
        """For how long it has run."""
        return max(0.0, (self.ended or now) - self.started)

    @property
    def without_value(self) -> int:
        """How many tasks were stopped, also before they were submitted."""
        left_out = self.total - self.done - self.failed if self.how in (STOPPED, TIMED_OUT) else 0
        return max(self.stopped, left_out)

    def told(self, now: float) -> str:
        """One line without the cell's name."""
        spent = lapse(self.seconds(now))
        if not self.mapped:
            if self.how == RUNNING:
                return (
                    f"running for {spent}{self.left(now)}"
                    if self.running
                    else f"waiting for a worker for {spent}"
                )
            return f"{self.how} after {spent}{self._why()}"
        going = self.how == RUNNING
        parts = task_counts(self.total, self.done, self.failed, self.without_value, self.running if going else 0)
        if self.done and self.seconds(now) > 0:
            parts.append(pace(self.done / self.seconds(now)))
        if going:
            return f"{', '.join(parts)}, for {spent}{self.left(now)}"
        how = "" if self.how == STOPPED and self.without_value else f"{self.how} "  # that has been said
        return f"{', '.join(parts)}, {how}after {spent}{self._why()}"

    def _why(self) -> str:
        told = self.failure if len(self.failure) <= CLIP else self.failure[: CLIP - 1] + "…"
        return f": {told}" if self.how == FAILED and told else ""

    def left(self, now: float) -> str:
        """As ", about 12 s ± 2 s left", or that it takes longer; "" where nothing is expected."""
        told = "" if self.ends is None else Forecast(self.ends - now, self.error, self.overdue).told()
        return told and f", {told}"
