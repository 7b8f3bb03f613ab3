"""The worker's end of a lease, or of a caller's channel to the actor that it hosts."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from rustray.wire.frames import Connection, Message
from rustray.wire.page import LeasePage

FLUSH_S = 0.001
"""Answers of short tasks are gathered for this long,"""
MAX_GATHERED = 64
"""and no more of them: those not sent are lost when the process dies."""
MAX_LOG_CHARS = 1 << 16
"""Printed text that is gathered; more is sent at once."""
AT_ONCE, AT_ONCE_PER_S = 100.0, 100.0
"""So many lines, and then so many a second, are sent as they are printed: where a process was that crashes."""


class Channel:
    """Tasks come in, answers and printed text go out, gathered while tasks are short.

    Parameters
    ----------
    client: the submitter; it owns the results.
    resources: what each of its tasks has, {"CPU": 1.0, ...}.
    group: the placement group that they run in, see `Session.around`.
    page: shared with the submitter.
    """

    __slots__ = (
        "_log",
        "_log_chars",
        "_lock",
        "_logged",
        "_may_send",
        "_results",
        "_since",
        "_spent",
        "client",
        "connection",
        "group",
        "lease",
        "page",
        "resources",
    )

    def __init__(
        self,
        lease: int,
        client: int,
        connection: Connection,
        page: LeasePage,
        resources: dict[str, float],
        group: tuple[bytes, bool] | None,
    ) -> None:
        self.lease = lease
        self.client = client
        self.connection = connection
        self.page = page
        self.resources = resources
        self.group = group
        self._lock = threading.Lock()
        self._results: list[Any] = []
        self._spent = 0.0
        self._since = 0.0
        self._log: list[tuple[str, int, int, list[str]]] = []
        self._log_chars = 0
        self._may_send = AT_ONCE
        self._logged = 0.0
        page.pid = os.getpid()

    def answer(self, result: tuple[Any, ...], spent: float) -> None:
        """Queue the result of a task that took `spent` seconds; sent soon, by `flush` at the latest."""
        now = time.monotonic()
        with self._lock:
            if not self._results:
                self._since = now
            self._results.append(result)
            self._spent += spent
            if now - self._since < FLUSH_S and spent < FLUSH_S and len(self._results) < MAX_GATHERED:
                return
        self.flush()

    def log(self, stream: str, text: str, number: int, pid: int = 0) -> None:
        """Queue printed text; of another process than this one, if `pid` is given."""
        with self._lock:
            log = self._log
            if log and log[-1][:3] == (stream, number, pid) and stream in ("stdout", "stderr"):
                log[-1][3].append(text)
            else:
                log.append((stream, number, pid, [text]))
            self._log_chars += len(text)
            now = time.monotonic()
            self._may_send = min(AT_ONCE, self._may_send + (now - self._logged) * AT_ONCE_PER_S)
            self._logged = now
            if self._may_send >= 1:
                self._may_send -= 1
            elif self._log_chars < MAX_LOG_CHARS:
                return
        self.flush()

    def flush(self) -> None:
        """Send what is gathered: text first, so that it is seen before the result it led to."""
        with self._lock:
            if not self._results and not self._log:
                return
            own = os.getpid()
            messages: list[Message] = [
                ("log", stream, "".join(texts), number, pid or own)
                for stream, number, pid, texts in self._log
            ]
            if self._results:
                messages.append(("done", self._results, self._spent))
            self._results, self._log, self._log_chars, self._spent = [], [], 0, 0.0
            # Sent under the lock: a later answer must not overtake this one.
            self.connection.send(messages)

    def send(self, *messages: Message) -> None:
        """Send at once, behind what is gathered."""
        self.flush()
        self.connection.send(messages)

    def abandon(self) -> None:
        """In a forked child: the channel is the parent's."""
        self._lock = threading.Lock()
        self.connection.abandon()
