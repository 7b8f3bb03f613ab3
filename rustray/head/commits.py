"""Messages of nodes in their order, and the commands that they and the head itself have committed.

Rule 1. What follows from a command is done when it is committed: `submit(command, then)`. In an embedded cluster that
        is at once. One that the log cannot take now, or does not know the outcome of, is submitted again, in the same
        order and under the same operation id.
Rule 2. Messages of one node are handled in order: while a command of one is being committed the next ones wait, but
        for those of `NEED_NOT_WAIT`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rustray.cluster import commands
from rustray.head.log import Log, Then
from rustray.head.node_links import Done, NodeLink, NodeLinks
from rustray.wire.frames import Message
from rustray.wire.node_words import NEED_NOT_WAIT

_NOT_NOW = frozenset(("read_only", "busy"))
_UNKNOWN = frozenset(("unknown_outcome", "not_leader"))
"""Errors of the log itself."""


class _Handling(NamedTuple):
    """A message that is being handled."""

    link: NodeLink
    operation: str
    commands: _Commands
    done: Done | None


class _Commands:
    """Of one message: how many are being committed, and how many there were."""

    __slots__ = ("begun", "open")

    def __init__(self) -> None:
        self.open = self.begun = 0


class Commits:
    """See the module.

    Parameters
    ----------
    name: names the head's own commands, so that one that is submitted again is done once; "" where none is ever lost.
    handle: carries out a message of a node, given the node's name.

    Attributes
    ----------
    before: called with each result, before what follows from it.
    over: set when another head leads: what is still being committed concerns this one no more.
    """

    def __init__(self, log: Log, nodes: NodeLinks, name: str, handle: Callable[[str, Message], None]) -> None:
        self._log = log
        self._nodes = nodes
        self._name = name
        self._handle_message = handle
        self.before: Then = lambda _result: None
        self.over = False
        self._handling: _Handling | None = None
        self._own_commands = 0
        self._again: list[Callable[[], None]] = []
        """Submits what the log could not take."""

    # -- commands --------------------------------------------------------------------------------------

    def submit(
        self, command: commands.Command, then: Then = lambda _result: None, waits: bool = True
    ) -> None:
        """Have a command committed; then(result) follows, unless another head leads by then.

        Within the handling of a node's message, that node's next ones wait for it, and the message is acknowledged
        after it.

        Parameters
        ----------
        waits: while the log takes no commands; else `then` is told the error, "read_only" or "busy".
        """
        payload = dict(command.payload)

        def follow(result: dict[str, Any]) -> None:
            self.before(result)
            then(result)

        handling = self._handling
        if handling is None:
            if self._name:
                self._own_commands += 1
                payload.setdefault("operation", f"{self._name}.{self._own_commands}")
            self._commit(command.op, payload, follow, waits)
            return
        if handling.operation:
            # The same again if the message is: whoever asks twice is answered twice, and it is done once.
            handling.commands.begun += 1
            payload.setdefault("operation", f"{handling.operation}.{handling.commands.begun}")
        handling.commands.open += 1
        handling.link.busy += 1

        def committed(result: dict[str, Any]) -> None:
            link = handling.link
            link.busy -= 1
            handling.commands.open -= 1
            before, self._handling = self._handling, handling
            try:
                follow(result)
            finally:
                self._handling = before
            if not handling.commands.open and handling.done is not None and self._handling is None:
                handling.done()
            if not link.busy and self._handling is None:
                self._go_on(link)

        self._commit(command.op, payload, committed, waits)

    @property
    def of_named_message(self) -> bool:
        """Whether a message is being handled that has an operation id, so that its commands have one too."""
        return self._handling is not None and bool(self._handling.operation)

    def _commit(self, op: str, payload: dict[str, Any], then: Then, waits: bool) -> None:
        def submit() -> None:
            self._log.submit(op, payload, done)

        def done(result: dict[str, Any]) -> None:
            if self.over:
                return
            error = result.get("error")
            if error in _UNKNOWN or waits and error in _NOT_NOW:
                self._again.append(submit)
            else:
                then(result)

        if self._again and waits:
            self._again.append(submit)  # behind those that came before
        else:
            submit()

    def retry(self) -> None:
        """Submit once more what the log could not take."""
        again, self._again = self._again, []
        for submit in again:
            submit()

    def submit_apart(self, command: commands.Command, then: Then, waits: bool = True) -> None:
        """Submit what does not belong to the message that is being handled."""
        before, self._handling = self._handling, None
        try:
            self.submit(command, then, waits)
        finally:
            self._handling = before

    # -- messages --------------------------------------------------------------------------------------

    def take(self, link: NodeLink, message: Message, operation: str = "", done: Done | None = None) -> None:
        """A message of a node.

        Parameters
        ----------
        operation: names the message; one that is sent again after a reconnection has the same. "" for those that
            are not.
        done: called when all that the message asks for is committed.
        """
        if (link.busy or link.waiting) and (message[0] not in NEED_NOT_WAIT or link.waiting):
            link.waiting.append((message, operation, done))
        else:
            self._handle(link, message, operation, done)

    def _go_on(self, link: NodeLink) -> None:
        if self._nodes.get(link.name) is not link:
            # It is lost, or has joined again: then it says once more what was not acknowledged.
            link.waiting.clear()
        while link.waiting and not link.busy:
            self._handle(link, *link.waiting.popleft())

    def _handle(self, link: NodeLink, message: Message, operation: str, done: Done | None) -> None:
        handling = self._handling = _Handling(link, operation, _Commands(), done)
        try:
            self._handle_message(link.name, message)
        finally:
            self._handling = None
        if not handling.commands.open and done is not None:
            done()
