"""What one cell or terminal shows of what tasks print. Pure: text comes in with a time, text to show comes out.

Text is of a *kind*: "stdout", "stderr", or the type of a Jupyter message that shows something, and then it is that
message's content as JSON. Lines come whole, or in pieces that go on with the next piece of the same source. A piece
that begins with "\\r" takes the place of its line, as progress bars do. A line that its task had not ended when it
ended itself has "\\r\\n" at its end.

Rule 1. Lines of different sources never mix: who goes on after another begins a new line.
Rule 2. A progress bar is in one line, whoever prints between its steps; bars of several workers take turns there.
"""

from __future__ import annotations

from collections.abc import Iterable

from rustray.driver.flood import SHOWN, Flood, Left, counted
from rustray.driver.folding import Folding, Repeated, Source
from rustray.driver.redrawing import CLEAR, UPDATE, Redrawing, Shown

STREAMS = ("stdout", "stderr")
UNENDED = "\r\n"
DISPLAY_COSTS = 4000
"""Characters of the allowance, however big it is: about a hundred are shown at once, then one a second."""
LAST_DISPLAYS = 3
"""Of a flood, that are shown when it is told."""
BAR_COSTS = -50

_Line = tuple[str, Source | None, str]


class Transcript:
    """See the module.

    Parameters
    ----------
    where: tells, after what was left out, where it is to be found.
    moves: whether "\\r" goes back to the start of a line, as in a notebook or terminal but not in a file.
    """

    def __init__(self, where: str, moves: bool = True) -> None:
        self._where = where
        self._moves = moves
        self._folding = Folding()
        self._flood: Flood[_Line] = Flood(SHOWN)
        self._displays_left: list[int] = []
        """The sizes of displays in the flood."""
        self._redrawing = Redrawing()
        self._open: tuple[str, Source | None] | None = None
        self._is_bar = False
        self._width = 0
        self._latest = 0.0

    @property
    def waits(self) -> bool:
        """Whether `due` has something to show one day."""
        return self._folding.waits or self._flood.waits or self._redrawing.waits

    def take(self, now: float, kind: str, text: str, source: Source | None) -> Shown:
        """Something has come; lines of a `source` have its name in front."""
        self._latest = now
        shown = self._held(now)
        if kind not in STREAMS:
            self._break_off(now, kind, source, "", shown)
        if kind in STREAMS:
            for piece in _lines(text):
                self._piece(now, kind, piece, source, shown)
        elif kind == UPDATE:
            shown.append((kind, text))  # lines below it are left as they are
        elif kind == CLEAR:
            self._flood, self._displays_left, self._open = Flood(SHOWN), [], None  # the page is empty
            shown.append((kind, text))
        elif self._flood.shows(now, (kind, source, text), len(text), cost=DISPLAY_COSTS):
            shown.append((kind, text))
            self._open = None
        else:
            self._displays_left.append(len(text))
        return _joined(self._redrawing.due(now) + self._redrawing.paced(now, shown))

    def due(self, now: float) -> Shown:
        """What was held back and is to be shown at `now`; with infinity, all of it."""
        return _joined(self._redrawing.due(now) + self._redrawing.paced(self._latest, self._held(now)))

    def _held(self, now: float) -> Shown:
        """The repeated lines and floods that are to be told."""
        shown: Shown = []
        for repeated in self._folding.due(now):
            if not self._flood.waits:  # else it is not among the last lines of the flood
                self._again(now, repeated, shown)
        left = self._flood.due(now)
        if left is not None:
            self._tell(left, shown)
        return shown

    def _again(self, now: float, repeated: Repeated, shown: Shown) -> None:
        stream, source, line, times, workers = repeated
        of = f", by {workers} workers in all" if workers > 1 else ""
        told = f"{line}  [{times:,} more times{of}]" if times > 1 else line
        if self._flood.shows(min(now, self._latest), (stream, source, told), len(told)):
            self._whole(stream, told, source, shown)

    def _break_off(self, now: float, kind: str, source: Source | None, line: str, shown: Shown) -> None:
        before = None if source is None else self._folding.broken_off(kind, source, line)
        if before is not None:
            self._again(now, before, shown)

    def _tell(self, left: Left[_Line], shown: Shown) -> None:
        displays, self._displays_left = self._displays_left, []
        last = [at for at, (kind, _source, _text) in enumerate(left.last) if kind not in STREAMS]
        told = [one for at, one in enumerate(left.last) if at not in last[:-LAST_DISPLAYS]]
        texts = [len(text) for kind, _source, text in told if kind in STREAMS]
        pictures = [len(text) for kind, _source, text in told if kind not in STREAMS]
        lines = (left.lines - len(displays) - len(texts), left.chars - sum(displays) - sum(texts), "line")
        more = (len(displays) - len(pictures), sum(displays) - sum(pictures), "display")
        hidden = " and ".join(counted(*one) for one in (lines, more) if one[0] > 0)
        if hidden:
            self._whole("stderr", f"... {hidden} not shown{self._where} ...", None, shown)
        for kind, source, text in told:
            if kind in STREAMS:
                self._whole(kind, text, source, shown)
            else:
                shown.append((kind, text))
                self._open = None

    # -- pieces of text --------------------------------------------------------------------------------

    def _piece(self, now: float, stream: str, piece: str, source: Source | None, shown: Shown) -> None:
        unended = piece.endswith(UNENDED)
        is_whole = piece.endswith("\n") and not (unended and source is None)
        text = piece.removesuffix("\n").removesuffix("\r")
        again = text.startswith("\r")
        text = text.removeprefix("\r")
        goes_on = self._open == (stream, source)
        if unended and not text and not (goes_on and is_whole):
            return
        fresh = not goes_on and not again
        self._break_off(now, stream, source, text if is_whole and fresh else "", shown)
        goes_on = self._open == (stream, source)
        if is_whole and fresh and source is not None and not self._folding.shows(now, stream, source, text):
            return
        if again and not is_whole and not self._moves:
            return
        cost = BAR_COSTS if again and not is_whole else 0
        if not self._flood.shows(now, (stream, source, text), len(text) + cost):
            return
        if is_whole and not goes_on:
            self._whole(stream, text, source, shown)
        else:
            self._part(stream, text, source, again, is_whole, shown)

    def _whole(self, stream: str, text: str, source: Source | None, shown: Shown) -> None:
        line = prefix(source) + text
        shown.append((stream, self._begin(stream, line) + "\n"))
        self._open = None

    def _begin(self, stream: str, line: str) -> str:
        """`line` where a new one begins: over a bar of another source, or below an unfinished line."""
        if self._open is None or self._open[0] != stream:
            return line  # a notebook begins a new output for each change of stream
        return "\r" + line.ljust(self._width) if self._is_bar and self._moves else "\n" + line

    def _part(
        self, stream: str, text: str, source: Source | None, again: bool, is_whole: bool, shown: Shown
    ) -> None:
        goes_on = self._open == (stream, source)
        if goes_on and not again:
            told = text
            self._width += len(text)
        elif goes_on and self._moves:
            line = prefix(source) + text
            told = "\r" + line.ljust(self._width)
            self._width = len(line)
        else:
            line = prefix(source) + text
            told = self._begin(stream, line)
            self._width = len(line)
        shown.append((stream, told + "\n" * is_whole))
        self._open = None if is_whole else (stream, source)
        self._is_bar = again


def prefix(source: Source | None) -> str:
    """What stands in front of a line of a task."""
    return "" if source is None else f"({source.name} pid={source.pid}) "


def _lines(text: str) -> Iterable[str]:
    """Lines with their ends; only "\\n" ends one."""
    lines = text.split("\n")
    last = lines.pop()
    yield from (line + "\n" for line in lines)
    if last:
        yield last


def _joined(shown: Shown) -> Shown:
    """Neighbours of the same stream as one text."""
    joined: Shown = []
    for kind, text in shown:
        if joined and kind in STREAMS and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + text)
        else:
            joined.append((kind, text))
    return joined
