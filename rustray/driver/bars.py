"""Bars of progress on their way to where they are shown, and as a terminal shows them. Pure.

A bar is a display with an id (the "display_id" of Jupyter's messages), which is shown once and then updated. A notebook
has its HTML; a terminal has its text, in a block of lines below all else, one a bar.

Rule 1. The block is erased before anything else is written there, and drawn again after it.
Rule 2. A bar that is over leaves the block, and its last text stays above it.
Rule 3. A bar whose task has ended is over, also if the worker has died before it could say so.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

TYPE = "application/vnd.rustray.bar+json"
"""In the data of such a display: {"over": whether it moves no more}."""
SHOW, UPDATE = "display_data", "update_display_data"
SHORT_NAME = 12
"""Characters of a bar's name that are left, however narrow the terminal is."""
_BAR = re.compile(r"(.*?)((?:: )? *\d+ %)( │.*?│)(.*)")
_UP_AND_CLEAR = "\x1b[1A\x1b[2K"


class Message(NamedTuple):
    """What is known of a bar that has come."""

    id: str
    text: str
    over: bool
    content: dict[str, Any]


def content(id: str, text: str, html: str, over: bool) -> dict[str, Any]:
    """The content of a message that shows or updates a bar."""
    data = {"text/plain": text, "text/html": html, TYPE: {"over": over}}
    return {"data": data, "metadata": {}, "transient": {"display_id": id}}


def read(kind: str, text: str) -> Message | None:
    """The bar in a message of this kind, whose content is JSON; None if it is something else."""
    if kind not in (SHOW, UPDATE) or TYPE not in text:
        return None
    found = json.loads(text)
    data, id = found.get("data", {}), found.get("transient", {}).get("display_id", "")
    if TYPE not in data or not id:
        return None
    return Message(id, str(data.get("text/plain", "")), bool(data[TYPE].get("over")), found)


class Open:
    """The bars of a session's tasks that are not over, each with whatever names its task."""

    def __init__(self) -> None:
        self._bars: dict[str, tuple[Message, Any]] = {}

    def __len__(self) -> int:
        return len(self._bars)

    def take(self, message: Message, whose: Any) -> None:
        """A bar has come."""
        if message.over:
            self._bars.pop(message.id, None)
        else:
            self._bars[message.id] = (message, whose)

    def whose(self) -> list[Any]:
        """What names the tasks."""
        return [whose for _message, whose in self._bars.values()]

    def end(self, whose: Any) -> list[str]:
        """Their task has ended: the contents that say that its bars are over."""
        gone = [id for id, (_message, task) in self._bars.items() if task is whose]
        texts = []
        for id in gone:
            message = self._bars.pop(id)[0]
            message.content["data"][TYPE]["over"] = True
            texts.append(json.dumps(message.content))
        return texts


class Block:
    """The bars at the bottom of a terminal. What is to be written to it comes out as text."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._drawn = 0

    def __len__(self) -> int:
        return len(self._lines)

    def erase(self) -> str:
        """Take the block away; the cursor is then where it began."""
        drawn, self._drawn = self._drawn, 0
        return _UP_AND_CLEAR * drawn

    def draw(self, columns: int) -> str:
        """Put it there, below what was written since."""
        self._drawn = len(self._lines)
        return "".join(f"{cut(line, columns)}\n" for line in self._lines.values())

    def take(self, id: str, text: str, over: bool, columns: int) -> str:
        """A bar has another text, or is over."""
        erased = self.erase()
        if over:
            self._lines.pop(id, None)
            return f"{erased}{cut(text, columns)}\n{self.draw(columns)}"
        self._lines[id] = text
        return erased + self.draw(columns)


def cut(line: str, columns: int) -> str:
    """What of a line fits into so many columns, so that it takes one line of the terminal.

    Its name is cut first, then it loses the bar itself: numbers tell the same.
    """
    if len(line) < columns:
        return line
    found = _BAR.fullmatch(line)
    if found is not None:
        name, percent, drawing, rest = found.groups()
        if columns - len(percent + drawing + rest) - 1 < min(len(name), SHORT_NAME):
            drawing = ""
        room = max(SHORT_NAME, columns - len(percent + drawing + rest) - 1)
        line = (name if len(name) <= room else f"{name[: room - 1]}…") + percent + drawing + rest
    return line if len(line) < columns else line[: max(0, columns - 2)] + "…"
