"""What is known of a `%%remote` cell at a moment, and how it is told in a line. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

RUNNING, DONE, FAILED, STOPPED, TIMED_OUT = "running", "done", "failed", "stopped", "timed out"
LEFT, LOST = "left running", "out of sight"
"""How cells are whose kernel ends, or whose keeper has: what becomes of them is not known there."""
SOON_S = 0.1
"""What should have ended by now, or will at once, is not forecast."""


@dataclass(frozen=True)
class CellState:
    """A cell as the keeper sees it.

    Parameters
    ----------
    cell: names this run of it. name: what the user calls it.
    how: RUNNING, DONE, FAILED, STOPPED or TIMED_OUT; LEFT or LOST where nobody can tell.
    total, done, failed, running: numbers of its tasks; `running` are on workers now.
    started, ended: seconds since the epoch; None while it runs.
    wanted: the variables of `-o`.
    mapped, background: whether `--map` and `-b` were given.
    kept: whether its results are.
    tail: the last lines that it has printed.
    origin: where its code was and how it begins, as "In[5] model = train(data)".
    ends, error: when it will probably have ended, in seconds since the epoch, None where nothing is expected; and the
        standard deviation of that in seconds. They move all the time: a state with others is no other state.
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

    @classmethod
    def begins(cls, cell: str, name: str, started: float, total: int = 1, mapped: bool = False) -> CellState:
        """Of a cell that has been sent, and of which nothing is known yet."""
        return cls(cell, name, RUNNING, total, 0, 0, 0, started, None, mapped=mapped)

    def seconds(self, now: float) -> float:
        """For how long it has run."""
        return max(0.0, (self.ended or now) - self.started)

    def told(self, now: float) -> str:
        """One line without the cell's name."""
        spent = duration(self.seconds(now))
        if not self.mapped:
            if self.how == RUNNING:
                return (
                    f"running for {spent}{self.left(now)}"
                    if self.running
                    else f"waiting for a worker for {spent}"
                )
            return f"{self.how} after {spent}"
        parts = [f"{self.done} of {self.total} done"]
        if self.how == RUNNING and self.running:
            parts.append(f"{self.running} on workers")
        if self.how in (STOPPED, TIMED_OUT) and self.done < self.total:
            parts.append(f"{self.total - self.done} without a value")
        elif self.failed:
            parts.append(f"{self.failed} failed")
        if self.done and self.seconds(now) > 0:
            parts.append(f"{rate(self.done / self.seconds(now))}")
        if self.how == RUNNING:
            return f"{', '.join(parts)}, running for {spent}{self.left(now)}"
        return f"{', '.join(parts)}, {self.how} after {spent}"

    def left(self, now: float) -> str:
        """As ", about 12 s ± 2 s left"; "" where nothing is expected, or not any more."""
        if self.ends is None or self.ends - now < SOON_S:
            return ""
        error = f" ± {short(self.error)}" if self.error >= 0.05 else ""
        return f", about {duration(self.ends - now)}{error} left"


def duration(seconds: float) -> str:
    """As "0.3 s", "12 s", "3 min 5 s", "2 h 3 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def short(seconds: float) -> str:
    """With as many digits as an error deserves: "0.4 s", "2 s", "25 s", "3 min 5 s"."""
    return (
        f"{float(f'{seconds:.1g}' if seconds < 1 else f'{seconds:.2g}'):g} s"
        if seconds < 60
        else duration(seconds)
    )


def rate(per_second: float) -> str:
    """As "3.2/s", or "12/min" where it is slow."""
    if per_second >= 100:
        return f"{per_second:,.0f}/s"
    return f"{per_second:.3g}/s" if per_second >= 1 else f"{per_second * 60:.3g}/min"
