"""What the cluster expects of functions, asked now and then without waiting for the answer."""

from __future__ import annotations

from typing import Any

from rustray.driver.requests import Reply
from rustray.driver.session import Session
from rustray.progress.counting import Expected

ASK_EVERY_S = 2.0


class Predictions:
    """See the module."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reply: Reply | None = None
        self._asked = float("-inf")
        self.known: Expected = {}

    def look(self, now: float) -> Expected:
        """What is known by now (monotonic seconds)."""
        if self._reply is not None and self._reply.ready:
            fields, self._reply = self._reply.fields, None
            if fields and fields[0]:
                self._take(fields[1])
        if self._reply is None and now - self._asked >= ASK_EVERY_S:
            self._asked = now
            number, self._reply = self._session.requests.begin()
            self._session.tell(("query", number, "functions", ()))
        return self.known

    def _take(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["run_s"] is not None:
                self.known[row["name"]] = (row["run_s"], row["spread_s"])
