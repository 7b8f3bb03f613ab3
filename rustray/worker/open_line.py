"""The line that a task is printing: when it is whole, what has come of it, and how much of a progress bar is needed."""

from __future__ import annotations

from rustray.driver.transcript import UNENDED

BAR_S = 0.25
"""Steps of a progress bar come no closer than this."""


class OpenLine:
    """Whole lines are sent as they come, an unfinished one when it is asked for. Of what "\\r" writes over only the
    last is kept: a piece that begins with "\\r" takes the place of what was sent of its line."""

    def __init__(self) -> None:
        self._unsent = ""
        self._begun = False
        self._seen = ""
        self._bar_at = float("-inf")

    def feed(self, text: str) -> str:
        """The lines that are whole now."""
        text = self._unsent + text
        whole, newline, rest = text.rpartition("\n")
        if "\r" in text:
            if newline:
                first, *others = whole.split("\n")
                over = self._begun and "\r" in first.rstrip("\r")
                whole = "\n".join(["\r" * over + _last(first), *map(_last, others)])
            rest = _latest(rest)
        self._unsent = rest
        if not newline:
            return ""
        self._begun = False
        return whole + newline

    def part(self, now: float) -> str:
        """What is to be sent of the unfinished line, "" for nothing yet."""
        part = self._unsent.rstrip("\r")
        if part.startswith("\r"):
            if now < self._bar_at + BAR_S:
                return ""
            self._bar_at = now
        if not part:
            return ""
        self._unsent = "\r" if self._unsent.endswith("\r") else ""
        self._begun = True
        return part

    def settled(self, now: float) -> str:
        """The same, where it has not changed since this was asked last."""
        if self._unsent and self._unsent == self._seen:
            self._seen = ""
            return self.part(now)
        self._seen = self._unsent
        return ""

    def end(self) -> str:
        """All that is left, and the end of the line if one was begun: one that its task has not ended."""
        self._bar_at = float("-inf")
        begun = self._begun
        part = self.part(0.0)
        return part + UNENDED if part or begun else ""


def _last(line: str) -> str:
    """What is seen of a whole line."""
    return line.rstrip("\r").rpartition("\r")[2]


def _latest(part: str) -> str:
    """An unfinished line as short as it can be: the "\\r" before what is seen, that, and one after it."""
    body = part.rstrip("\r")
    _before, over, seen = body.rpartition("\r")
    return over + seen + "\r" * (len(body) < len(part))
