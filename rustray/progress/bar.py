"""How far some work is, in a line of text and with a bar. Pure.

`rustray.progress`, the cards of cells and `tqdm` all look like this; the colours are those of the panels of the
dashboard, and are seen on light and on dark pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from rustray.model.colours import CANCELLED, DONE, FAILED, RUNNING, TRACK

WIDTH = 12
"""Characters of a bar in a terminal."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Bar:
    """See the module.

    Parameters
    ----------
    what: its name, "" for none.
    done, total: how far it is, and how far it goes; None where that is not known.
    told: what else is to be said, in the order in which it is said.
    failed, stopped, running: of tasks, how many others are that.
    """

    what: str
    done: float
    total: float | None
    told: tuple[str, ...] = ()
    failed: int = 0
    stopped: int = 0
    running: int = 0

    @property
    def part(self) -> float | None:
        """From 0 to 1; None where it is not known."""
        if self.total is None:
            return None
        return min(1.0, (self.done + self.failed + self.stopped) / self.total) if self.total > 0 else 1.0

    def text(self) -> str:
        """In a line."""
        named = f"{self.what}: " if self.what else ""
        part = self.part
        drawn = "" if part is None else f"{100 * part:3.0f} % │{drawing(part)}│ "
        return named + drawn + self.words()

    def words(self) -> str:
        """The numbers alone."""
        counts = task_counts(self.total, self.done, self.failed, self.stopped, self.running)
        return ", ".join((*counts, *self.told))

    def html(self) -> str:
        """For a notebook."""
        name = f"<b>{escape(self.what)}</b> " if self.what else ""
        line = f"{name}<span>{escape(self.words())}</span>"
        return laid_out(line, colour_bar(self.total, self.done, self.failed, self.stopped, self.running))


def task_counts(
    total: float | None, done: float, failed: int = 0, stopped: int = 0, running: int = 0
) -> list[str]:
    """As ["40 of 100 done", "2 failed", "4 running"]; ["40"] where it is not known how far it goes."""
    amount = _number(done) if total is None else f"{_number(done)} of {_number(total)} done"
    others = (("failed", failed), ("stopped", stopped), ("running", running))
    return [amount, *(f"{count:,} {how}" for how, count in others if count)]


def colour_bar(total: float | None, done: float, failed: int = 0, stopped: int = 0, running: int = 0) -> str:
    """A bar in HTML; "" where it is not known how far it goes."""
    if total is None:
        return ""
    parts = ((done, DONE), (failed, FAILED), (stopped, CANCELLED), (running, RUNNING))
    whole = max(total, done + failed + stopped + running) or 1
    filled = "".join(
        f'<div style="width:{100 * count / whole:.1f}%;background:{colour}"></div>'
        for count, colour in parts
        if count
    )
    look = "display:flex;height:6px;max-width:24em;margin:3px 0 2px;border-radius:3px;overflow:hidden"
    return f'<div style="{look};background:{TRACK}">{filled}</div>'


def laid_out(*lines: str) -> str:
    """Lines of HTML below each other; in JupyterLab and Notebook they begin where the text of other outputs does."""
    rows = "".join(f"<div>{line}</div>" for line in lines if line)
    return f'<div style="margin-left:var(--jp-code-padding, 0px)">{rows}</div>'


def drawing(part: float, width: int = WIDTH) -> str:
    """A bar of blocks, of which `part` is filled."""
    eighths = int(part * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if full < width else "")).ljust(width)


def _number(count: float) -> str:
    return f"{count:,.0f}" if count == int(count) else f"{count:,.2f}"
