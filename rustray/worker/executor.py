"""Running one task: its function and arguments in, its packed answer out."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from rustray import serialization
from rustray.actor import ActorExit
from rustray.driver import failures
from rustray.driver.blocks import Location
from rustray.driver.entry import BLOCK, ERROR, VALUE, Entry
from rustray.driver.packing import INLINE_LIMIT, inline, packed_size
from rustray.driver.session import Session
from rustray.driver.tasks import FINISHED, MULTIPLE
from rustray.error_packing import pack_error
from rustray.errors import OptionError, RustRayError, TaskCancelledError, WorkerExitedError
from rustray.model import ids
from rustray.model.option_checks import kind_of
from rustray.worker.channel import Channel
from rustray.worker.figures import WorkerFigures

Answer = tuple[Any, ...]

CONGESTED_PAUSE_S = 0.001
"""How often a stream looks whether its submitter has caught up."""


class Exit(BaseException):
    """The task has asked for the end of this process.

    Parameters
    ----------
    text: who asked, to follow "the actor is dead:".
    code: the exit status.
    answer: the task's result; a call of an actor has none, it fails with the actor.
    """

    def __init__(self, text: str, code: int, answer: Answer | None = None) -> None:
        self.text = text
        self.code = code
        self.answer = answer


class Executor:
    """Runs tasks for one worker process.

    The answer of a task is ``(number, kind, payload[, contains[, borrowed]])``: see `driver.tasks`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sharing = session.sharing
        self.figures = WorkerFigures(session.tell)
        self.forked = False
        """Whether this is a child that a task has forked: it may not answer in its parent's place."""

    # -- arguments -------------------------------------------------------------------------------------

    def arguments(self, args: Any, deps: Any, lent: list[Entry]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Read (args, kwargs). The entries of the refs met, pinned by the submitter, are added to `lent`."""
        if not args and not deps:
            return (), {}
        with self._sharing.lending(lent):
            positional, kwargs = self._read(args, lent) if args else ((), {})
            if deps:
                values = list(positional)
                for at, state, payload in deps:
                    value = self._read(payload if state != BLOCK else (BLOCK, payload), lent)
                    if isinstance(at, int):
                        values[at] = value
                    else:
                        kwargs[at] = value
                positional = tuple(values)
        return positional, kwargs

    def _read(self, packed: Any, lent: list[Entry]) -> Any:
        if type(packed) is bytes:
            return serialization.deserialize(packed)
        if packed[0] == BLOCK:
            with self._session.objects.lock:
                entry = self._sharing.entry_of(packed[1])
                entry.count += 1
            try:
                self._session.reader.fetch(entry)
                return self._session.reader.value_of(entry)
            finally:
                self._sharing.unpin_lent(entry)
        return serialization.deserialize(packed[0], packed[1])

    # -- results ---------------------------------------------------------------------------------------

    def pack(
        self, value: Any, client: int, number: int, index: int | None, name: str
    ) -> tuple[int, Any, list[bytes]]:
        """(state, payload, contains) of the one result, or of that at `index` of a stream; a big one is stored for its
        owner `client`."""
        packed = serialization.serialize(value, f"the result of {name}()")
        contains: list[bytes] = []
        if packed.refs:
            contains = [entry.id for entry in self._sharing.escape(packed.refs)]
        if packed_size(packed) >= INLINE_LIMIT:
            if index is None:
                oid = ids.make_object_id(client, number, 0)
            else:
                oid = ids.make_stream_id(client, number, index)
            location = self._session.blocks.store(oid, packed, contains, client)
            return BLOCK, self._told_to(client, location), []
        if contains:
            # Rule 2: the owner's holds are made before ours can go.
            self._session.tell(("hold_for", client, contains))
        return VALUE, inline(packed), contains

    def results(self, value: Any, channel: Channel, number: int, returns: int, name: str) -> Answer:
        """The answer of a task that returned `value`."""
        if returns == 1:
            state, payload, contains = self.pack(value, channel.client, number, None, name)
            return (number, state, payload, contains) if contains else (number, state, payload)
        if returns == 0:
            return number, MULTIPLE, []
        if returns < 0:
            count = 0
            sent_before = -1 - returns
            for count, item in enumerate(_iterate(value, name), 1):
                if count > sent_before:
                    self.send_item(channel, number, count - 1, item, name)
            return number, FINISHED, count
        values = list(value) if _is_sized(value) else None
        if values is None or len(values) != returns:
            got = f"{len(values)} values" if values is not None else kind_of(value)
            raise OptionError(
                f"{name}() has num_returns={returns} but returned {got}: return exactly {returns} values."
            )
        return number, MULTIPLE, self._pack_all(values, channel.client, number, name)

    def _pack_all(
        self, values: list[Any], client: int, number: int, name: str
    ) -> list[tuple[int, Any, list[bytes]]]:
        """`pack` of several results, all or none: nobody would ever release those before one that fails."""
        packed = [
            serialization.serialize(value, f"result {index} of {name}()")
            for index, value in enumerate(values)
        ]
        blocks = self._session.blocks
        locations: dict[int, Location] = {}
        try:
            for index, one in enumerate(packed):
                if packed_size(one) >= INLINE_LIMIT:
                    locations[index] = blocks.write(one)
        except BaseException:
            for location in locations.values():
                blocks.abandon(location)
            raise
        results: list[tuple[int, Any, list[bytes]]] = []
        for index, one in enumerate(packed):
            contains = [entry.id for entry in self._sharing.escape(one.refs)]
            if index in locations:
                blocks.seal(ids.make_object_id(client, number, index), locations[index], contains, client)
                results.append((BLOCK, self._told_to(client, locations[index]), []))
            else:
                if contains:
                    self._session.tell(("hold_for", client, contains))
                results.append((VALUE, inline(one), contains))
        return results

    def _told_to(self, client: int, location: Location) -> Location | None:
        """Where a client finds a result; one on another node asks its own node."""
        return location if ids.node_of(client) == ids.node_of(self._session.client) else None

    def send_item(self, channel: Channel, number: int, index: int, item: Any, name: str) -> None:
        """One object of a stream, sent at once: somebody may be waiting for it.

        Waits while the submitter is behind, and ends the call of an actor that was cancelled.
        """
        self._session.check_not_cancelled(channel.client, number, name)
        while channel.connection.congested:
            time.sleep(CONGESTED_PAUSE_S)  # the background thread sends meanwhile
            self._session.check_not_cancelled(channel.client, number, name)
        channel.send(("yield", number, index, *self.pack(item, channel.client, number, index, name)))

    def failure(self, error: BaseException, channel: Channel, number: int, name: str) -> Answer:
        """The answer of a task that raised `error`."""
        if isinstance(error, ActorExit):
            raise Exit(f"{name}() called exit_actor() (pid {self._session.pid})", 0)
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else 1 if error.code else 0
            if self._session.hosted_actor is not None:
                raise Exit(f"{name}() called sys.exit({error.code!r}) (pid {self._session.pid})", code)
            packed = failures.typed(
                WorkerExitedError(
                    f"Task {name}() called sys.exit({error.code!r}), which ends its worker process. Return from "
                    "the function, or raise an exception.",
                    exit_code=code,
                )
            )
            raise Exit("", code, (number, ERROR, packed))
        if (
            isinstance(error, TaskCancelledError | KeyboardInterrupt)
            and getattr(error, "of_task", None) == number
        ):
            return number, ERROR, failures.typed(TaskCancelledError.of(name))
        if isinstance(error, RustRayError) and not error.__traceback__:
            return number, ERROR, failures.typed(error)
        task_id = ids.make_object_id(channel.client, number, 0)
        return number, ERROR, pack_error(error, name, pid=self._session.pid, task_id=task_id)

    def with_borrowed(self, answer: Answer, lent: list[Entry]) -> Answer:
        """Add to an answer which of the lent refs are still in use here (Rule 3)."""
        borrowed = self._sharing.borrowed(lent)
        if not borrowed:
            return answer
        number, kind, payload, *contains = answer
        return number, kind, payload, contains[0] if contains else [], borrowed

    def run(
        self, channel: Channel, message: tuple[Any, ...], call: Callable[..., Any], name: str
    ) -> tuple[Answer, float]:
        """Run a task from start to end in this thread: its answer, and the seconds it took."""
        lent: list[Entry] = []
        figures, cancelled = self.figures, False
        if name != figures.name:
            figures.begin(name)
        start = time.perf_counter()
        try:
            answer = self._attempt(channel, message, call, name, lent)
        except BaseException as error:
            if self.forked:
                _leave_child(error)
            cancelled = getattr(error, "of_task", None) == message[0]
            answer = self.failure(error, channel, message[0], name)
        if self.forked:
            _leave_child()
        spent = time.perf_counter() - start
        figures.end(name, spent, answer[1] == ERROR, cancelled, channel.client, message[0])
        if lent:
            answer = self.with_borrowed(answer, lent)
        return answer, spent

    def _attempt(
        self,
        channel: Channel,
        message: tuple[Any, ...],
        call: Callable[..., Any],
        name: str,
        lent: list[Entry],
    ) -> Answer:
        # A frame of its own: its arguments and its value are gone before `run` looks what is still borrowed.
        number, _function, args, deps, returns, _once = message
        positional, kwargs = self.arguments(args, deps, lent)
        value = call(*positional, **kwargs)
        del positional, kwargs
        if self.forked:
            _leave_child()
        return self.results(value, channel, number, returns, name)


def _leave_child(error: BaseException | None = None) -> NoReturn:
    """End a process that a task has forked, where the task's function ended in it."""
    code: Any = 0
    if isinstance(error, SystemExit):
        code = error.code
    elif error is not None:
        code = 1
        traceback.print_exception(error, file=sys.__stderr__)
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _is_sized(value: Any) -> bool:
    with contextlib.suppress(TypeError):
        len(value)
        return True
    return False


def _iterate(value: Any, name: str) -> Iterator[Any]:
    try:
        return iter(value)
    except TypeError:
        raise TypeError(
            f'{name}() has num_returns="streaming" (or "dynamic") but returned {kind_of(value)}: make it a generator.'
        ) from None
