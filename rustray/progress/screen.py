"""Where a bar of this process is shown: in the notebook's cell, in that of the task that runs here, or in a terminal.

Shown at most five times a second. In a file, which cannot be erased, there is a line a minute, and one at the end.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from rustray.driver import bars, cells, output
from rustray.driver.session import Session
from rustray.progress.bar import Bar

EVERY_S = 0.2

Publish = Callable[[str, dict[str, Any]], None]


class Screen:
    """One bar.

    Parameters
    ----------
    session: of a worker it shows bars in the cell of the task that runs; None or a driver's: here.
    """

    def __init__(self, session: Session | None) -> None:
        self._id = uuid.uuid4().hex
        self._publish = session.publish if session is not None else None
        if self._publish is None and cells.kernel_shell() is not None:
            self._publish = _to_cell()
        self._bar: Bar | None = None
        self._shown = float("-inf")
        self._kind = bars.SHOW

    @property
    def is_due(self) -> bool:
        """Whether what `show` is given would be seen."""
        return time.monotonic() - self._shown >= EVERY_S

    def show(self, bar: Bar) -> None:
        """It looks like this now."""
        self._bar = bar
        if self.is_due:
            self._shown = time.monotonic()
            self._send(bar, over=False)

    def close(self) -> None:
        """It moves no more; harmless when that was said."""
        bar, self._bar = self._bar, None
        if bar is not None:
            self._send(bar, over=True)

    def _send(self, bar: Bar, over: bool) -> None:
        if self._publish is None:
            output.terminal.show_bar(self._id, bar.text(), over)
        else:
            self._publish(self._kind, bars.content(self._id, bar.text(), bar.html(), over))
            self._kind = bars.UPDATE


def _to_cell() -> Publish:
    write = cells.writer()
    return lambda kind, content: write(kind, json.dumps(content))
