"""What the cluster expects of scheduling classes, asked now and then without waiting for the answer."""

from __future__ import annotations

from collections.abc import Collection

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
        self._keys: frozenset[bytes] = frozenset()
        self.known: Expected = {}

    def look(self, now: float, keys: Collection[bytes]) -> Expected:
        """What is known by now (monotonic seconds).

        Parameters
        ----------
        keys: of the classes that are asked for, when there are new ones among them or the last answer is old.
        """
        if self._reply is not None and self._reply.ready:
            fields, self._reply = self._reply.fields, None
            if fields and fields[0]:
                self.known.update(fields[1])
        new = not self._keys.issuperset(keys)
        if keys and self._reply is None and (new or now - self._asked >= ASK_EVERY_S):
            self._asked, self._keys = now, frozenset(keys)
            number, self._reply = self._session.requests.begin()
            self._session.tell(("query", number, "expected", (list(keys),)))
        return self.known
