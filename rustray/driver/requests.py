"""What a session asks its node, or by way of it the head, and the answers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rustray.driver import failures
from rustray.errors import SessionError

if TYPE_CHECKING:
    from rustray.driver.session import Session

QUERIES = {
    "kv_put": ("kv.put()", True),
    "kv_delete": ("kv.delete()", True),
    "kv_get": ("kv.get()", False),
    "kv_exists": ("kv.exists()", False),
    "kv_keys": ("kv.keys()", False),
    "group_create": ("placement_group()", True),
    "group_remove": ("remove_placement_group()", True),
    "group_named": ("get_placement_group()", False),
    "group_table": ("placement_group_table()", False),
    "actor_named": ("get_actor()", False),
    "nodes": ("nodes()", False),
    "resources": ("The question for the cluster's resources", False),
    "explained": ("explain()", False),
    "explain_task": ("explain()", False),
}
"""By query, how users call it, and whether it changes the cluster's facts."""


class Reply:
    """The answer to one request, when it comes."""

    __slots__ = ("_waiters", "fds", "fields", "ready")

    def __init__(self) -> None:
        self.ready = False
        self.fields: tuple[Any, ...] = ()
        self.fds: list[int] = []
        self._waiters: list[Callable[[], object]] = []

    def add_waiter(self, wake: Callable[[], object]) -> None:
        self._waiters.append(wake)

    def remove_waiter(self, wake: Callable[[], object]) -> None:
        if wake in self._waiters:
            self._waiters.remove(wake)

    def settle(self, fields: tuple[Any, ...], fds: list[int]) -> None:
        self.fields, self.fds = fields, fds
        self.ready = True
        for wake in list(self._waiters):
            wake()


class Requests:
    """The requests of one session that have no answer yet."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open: dict[int, Reply] = {}
        self._number = 0
        self._lock = threading.Lock()

    def begin(self) -> tuple[int, Reply]:
        """A number to ask under, and where its answer will be: an empty one when the session has ended."""
        reply = Reply()
        with self._lock:
            self._number += 1
            number = self._number
        self._open[number] = reply
        if self._session.ended is not None:  # looked at last: `end` may have passed this one by
            self._open.pop(number, None)
            reply.settle((), [])
        return number, reply

    def ask(self, op: str, *fields: Any) -> Reply:
        """Send ``(op, number, *fields)`` to the node and wait for the answer that carries the number."""
        return self._ask(op, fields, self._session.reactor.wait)

    def ask_head(self, what: str, op: str, *fields: Any, changes: bool) -> Reply:
        """As `ask`, when the head has to answer: see `HeadContact.wait_for_answer`."""
        head = self._session.head
        return self._ask(op, fields, lambda reply: head.wait_for_answer(reply, what, changes))

    def _ask(self, op: str, fields: tuple[Any, ...], wait: Callable[[Reply], object]) -> Reply:
        self._session.check_open()
        number, reply = self.begin()
        self._session.tell((op, number, *fields))
        try:
            wait(reply)
        except BaseException:
            if self._open.pop(number, None) is None and reply.fields:
                self._refuse(op, reply)  # it came at the very moment of the interrupt
            raise
        self._open.pop(number, None)
        if not reply.fields:
            self._session.check_open()
        return reply

    def _refuse(self, op: str, reply: Reply) -> None:
        """What was given to nobody goes back."""
        for fd in reply.fds:
            os.close(fd)
        if op == "alloc" and len(reply.fields) == 3:
            self._session.tell(("abandon", *reply.fields[:2]))

    def query(self, what: str, *args: Any) -> Any:
        """Ask the node or its head for a plain value; raises what they answered in place of one.

        NotCommittedError or SessionError when no head answers for long: see `HeadContact.wait_for_answer`.
        """
        call, changes = QUERIES.get(what, (f"The question {what!r}", False))
        ok, value = self.ask_head(call, "query", what, args, changes=changes).fields
        if not ok:
            raise failures.unpack(value)
        return value

    def query_within(self, timeout: float, what: str, *args: Any) -> Any:
        """As `query`, but waits for `timeout` seconds at most; SessionError when there is no answer by then."""
        reply = self._ask("query", (what, args), lambda reply: self._session.reactor.wait(reply, timeout))
        if not reply.ready:
            without = self._session.head.text(time.monotonic()) or "no head has answered"
            raise SessionError(f"The question {what!r} has no answer after {timeout:g} s: {without}.")
        ok, value = reply.fields
        if not ok:
            raise failures.unpack(value)
        return value

    def on_answer(self, number: int, *fields: Any) -> bool:
        """The answer to one of them; False: nobody waits for it any more."""
        reply = self._open.pop(number, None)
        if reply is not None:
            reply.settle(fields or (None,), [])
        return reply is not None

    def on_segment(self, number: int, size: int) -> None:
        """The answer to one of them that brings a descriptor."""
        fd = self._session.take_fd()
        reply = self._open.pop(number, None)
        if reply is None:
            os.close(fd)
        else:
            reply.settle((size,), [fd])

    def end(self) -> None:
        """The session has ended: none of them has an answer."""
        for reply in list(self._open.values()):
            reply.settle((), [])
        self._open.clear()
