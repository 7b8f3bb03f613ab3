"""How far some work is, in a line of text and with a bar. Pure.

The HTML has no colours of its own: the bar is the browser's, in the page's own scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from rustray.model.quantities import duration

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
    """

    what: str
    done: float
    total: float | None
    told: tuple[str, ...] = ()

    @property
    def part(self) -> float | None:
        """From 0 to 1; None where it is not known."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total > 0 else 1.0

    def text(self) -> str:
        """In a line."""
        named = f"{self.what}: " if self.what else ""
        part = self.part
        drawn = "" if part is None else f"{100 * part:3.0f} % │{drawing(part)}│ "
        return named + drawn + self.words()

    def words(self) -> str:
        """The numbers alone."""
        amount = (
            _number(self.done) if self.total is None else f"{_number(self.done)} of {_number(self.total)}"
        )
        return ", ".join((amount, *self.told))

    def html(self) -> str:
        """For a notebook."""
        value = "" if self.total is None else f' value="{self.done:g}" max="{self.total:g}"'
        name = f"<b>{escape(self.what)}</b> " if self.what else ""
        bar = f'<progress{value} style="width:16em;max-width:40%;vertical-align:middle"></progress>'
        return f"<div>{name}{bar} <span>{escape(self.words())}</span></div>"


def drawing(part: float, width: int = WIDTH) -> str:
    """A bar of blocks, of which `part` is filled."""
    eighths = int(part * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if full < width else "")).ljust(width)


def rate_text(per_second: float, unit: str = "") -> str:
    """As "12.5/s", "3.2 min each"."""
    if per_second >= 1:
        pace = f"{per_second:.3g}" if per_second < 1000 else f"{per_second:,.0f}"
        return f"{pace} {unit}/s" if unit else f"{pace}/s"
    return f"{duration(1 / per_second)} each"


def _number(count: float) -> str:
    return f"{count:,.0f}" if count == int(count) else f"{count:,.2f}"
