"""A fixed set of actors that share work: each has one call at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rustray.driver.actor_handle import ActorHandle
from rustray.driver.api import get, wait
from rustray.driver.refs import ObjectRef
from rustray.errors import ActorDiedError

Work = Callable[[ActorHandle, Any], ObjectRef]


class ActorPool:
    """Spreads calls over `actors`, as `ray.util.ActorPool`.

        pool = ActorPool([Worker.remote() for _ in range(4)])
        list(pool.map(lambda actor, value: actor.double.remote(value), range(100)))

    A call that fails raises when its result is taken. An actor that has died leaves the pool.
    """

    def __init__(self, actors: Iterable[ActorHandle]) -> None:
        self._idle = list(actors)
        self._running: dict[ObjectRef, tuple[int, ActorHandle]] = {}
        self._ordered: dict[int, ObjectRef] = {}
        self._waiting: deque[tuple[Work, Any]] = deque()
        self._submitted = 0
        self._next = 0

    def map(self, work: Work, values: Iterable[Any]) -> Iterator[Any]:
        """The results of ``work(actor, value)``, in the order of `values`."""
        return self._map(work, values, self.get_next)

    def map_unordered(self, work: Work, values: Iterable[Any]) -> Iterator[Any]:
        """The results of ``work(actor, value)``, each as soon as it is there."""
        return self._map(work, values, self.get_next_unordered)

    def _map(self, work: Work, values: Iterable[Any], take: Callable[[], Any]) -> Iterator[Any]:
        self._waiting.clear()
        for ref in list(self._running):  # results of earlier calls, which nobody takes
            self._idle_again(self._take(ref))
        for value in values:
            self.submit(work, value)

        def results() -> Iterator[Any]:
            while self.has_next():
                yield take()

        return results()

    def submit(self, work: Work, value: Any) -> None:
        """Have ``work(actor, value)``, which gives a ref, called when an actor is idle."""
        if not self._idle:
            self._waiting.append((work, value))
            return
        actor = self._idle.pop()
        ref = work(actor, value)
        self._running[ref] = self._submitted, actor
        self._ordered[self._submitted] = ref
        self._submitted += 1

    def has_next(self) -> bool:
        """Whether a result is still to be taken."""
        return bool(self._running)

    def has_free(self) -> bool:
        """Whether an actor is idle and nothing waits."""
        return bool(self._idle) and not self._waiting

    def get_next(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """The next result in the order of submission.

        Parameters
        ----------
        timeout: seconds; then TimeoutError is raised.
        ignore_if_timedout: give that result up, and go on with the one after it next time.

        Raises
        ------
        StopIteration: there is none. ValueError: after `get_next_unordered` has taken a later one.
        """
        if not self._running:
            raise StopIteration("No more results to get.")
        if self._next not in self._ordered:
            raise ValueError("get_next() cannot go on in order after get_next_unordered().")
        ref = self._ordered[self._next]
        return self._result(ref, bool(wait([ref], timeout=timeout)[0]), ignore_if_timedout)

    def get_next_unordered(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """Any result, the first that is there. See `get_next`."""
        if not self._running:
            raise StopIteration("No more results to get.")
        ready, rest = wait(list(self._running), timeout=timeout)
        return self._result((ready or rest)[0], bool(ready), ignore_if_timedout)

    def _result(self, ref: ObjectRef, ready: bool, ignore: bool) -> Any:
        if not ready:
            if ignore:
                self._idle_again(self._take(ref))
            raise TimeoutError("The result is not ready yet." + " It has been given up." * ignore)
        actor = self._take(ref)
        try:
            value = get(ref)
        except ActorDiedError:
            self._start_waiting()
            raise
        except BaseException:
            self._idle_again(actor)
            raise
        self._idle_again(actor)
        return value

    def _take(self, ref: ObjectRef) -> ActorHandle:
        number, actor = self._running.pop(ref)
        del self._ordered[number]
        self._next = max(self._next, number + 1)
        return actor

    def _idle_again(self, actor: ActorHandle) -> None:
        self._idle.append(actor)
        self._start_waiting()

    def _start_waiting(self) -> None:
        if self._waiting and self._idle:
            self.submit(*self._waiting.popleft())

    def pop_idle(self) -> ActorHandle | None:
        """Take an idle actor out of the pool; None if all are busy."""
        return self._idle.pop() if self.has_free() else None

    def push(self, actor: ActorHandle) -> None:
        """Add an actor to the pool."""
        busy = any(actor == other for _number, other in self._running.values())
        if actor in self._idle or busy:
            raise ValueError("The actor belongs to the pool already.")
        self._idle_again(actor)
