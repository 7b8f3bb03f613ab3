"""One task as its owner keeps it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from rustray.driver.entry import BLOCK, PENDING, VALUE, Entry

if TYPE_CHECKING:
    from rustray.driver.generator import Stream

NO_RESULT: tuple[Entry, ...] = ()


class Task:
    """A submitted call, from `remote()` until its results are known (longer while they can be lost).

    Attributes
    ----------
    number: names the task on leases and inside its results' ids.
    target: the queue it belongs to: a scheduling class or an actor.
    function: key of the function's code, or an actor method's name.
    args: the packed (args, kwargs), b"" for none, or (BLOCK, id) of the object that has them.
    deps: (position or keyword, entry) of arguments that are refs, sent as values.
    returns: the number of results; of a stream -1, on a lease less one for each object that has come already.
    entries: the results.
    pins: entries counted until the task has answered (Rule 3).
    queued: whether it took its place in an actor's queue before its arguments were known.
    weight: about how many bytes its message has.
    where: the lease or channel it was sent on, None while it waits here.
    bound: the node to which its big arguments are on their way while it waits, 0 for none.
    submitted: when, in monotonic seconds.
    retries: how often it may be run again, -1 without end.
    thread: the number of the one that submitted it, see `driver.threads`.
    """

    __slots__ = (
        "args",
        "bound",
        "cancelled",
        "deps",
        "entries",
        "function",
        "missing",
        "number",
        "options",
        "parent",
        "pins",
        "queued",
        "retries",
        "returns",
        "stream",
        "submitted",
        "target",
        "thread",
        "weight",
        "where",
    )

    def __init__(
        self,
        number: int,
        target: Any,
        function: Any,
        args: Any,
        returns: int,
        retries: int,
        options: Any,
    ) -> None:
        self.number = number
        self.target = target
        self.function = function
        self.args = args
        self.returns = returns
        self.retries = retries
        self.options = options
        self.deps: tuple[tuple[int | str, Entry], ...] = ()
        self.pins: tuple[Entry, ...] = ()
        self.entries: tuple[Entry, ...] = NO_RESULT
        self.missing = 0
        self.queued = False
        self.weight = 256
        self.where: Any = None
        self.bound = 0
        self.submitted = monotonic()
        self.thread = 0
        self.parent: tuple[int, int] | None = None
        self.cancelled = False
        self.stream: Stream | None = None

    @property
    def ended(self) -> bool:
        """Whether all its results are known."""
        if self.stream is not None:
            return self.stream.ended
        # Not by all(), which costs four times as much: of 100,000 that are stopped it is asked several times.
        for entry in self.entries:
            if entry.state == PENDING:
                return False
        return True

    def message(self) -> tuple[Any, ...]:
        """The task as the worker gets it: number, function, args, deps, returns, whether it may run only once."""
        deps = [(at, *_dep(entry)) for at, entry in self.deps] if self.deps else None
        returns = self.returns if self.stream is None else -1 - self.stream.received
        return self.number, self.function, self.args, deps, returns, self.retries == 0


def _dep(entry: Entry) -> tuple[int, Any]:
    # A block may be moved to disk at any time: its reader asks the node where it is. One that was known may also have
    # been lost, and be made again just now, or have failed in that: its reader waits for what comes of it.
    return (VALUE, entry.payload) if entry.state == VALUE else (BLOCK, entry.id)
