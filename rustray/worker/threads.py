"""The calls of a threaded actor: a pool of threads for each concurrency group."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rustray.worker.context import Running, running
from rustray.worker.executor import Exit

if TYPE_CHECKING:
    from rustray.worker.actor import ActorHost, Call
    from rustray.worker.channel import Channel


class Threads:
    """See `worker.actor.ConcurrentCalls`.

    Parameters
    ----------
    at_once: {group: calls of it that run at once}, "" for calls of no group.
    """

    def __init__(self, host: ActorHost, at_once: dict[str, int]) -> None:
        self._host = host
        self._pools = {
            group: ThreadPoolExecutor(count, f"rustray-actor{'-' * bool(group)}{group}")
            for group, count in at_once.items()
        }
        self._futures: dict[tuple[int, int], tuple[Future[None], Call]] = {}
        self.at_work: dict[tuple[int, int], Running] = {}

    def start(self) -> None:
        """Threads are started by the calls that need them."""

    def serve(self) -> None:
        """The main thread goes on to receive."""

    def take(self, channel: Channel, calls: list[Call]) -> None:
        for call in calls:
            pool = self._pools[call[1].partition("@")[2]]
            key = (channel.lease, call[0])
            future = pool.submit(self._run, channel, call)
            self._futures[key] = future, call
            future.add_done_callback(lambda _future, key=key: self._futures.pop(key, None))  # type: ignore[misc]

    def cancel(self, channel: Channel, number: int) -> bool:
        future, call = self._futures.get((channel.lease, number), (None, ()))
        if future is None:
            return True
        if not future.cancel():
            return False
        channel.answer(self._host.cancelled(call), 0.0)
        channel.flush()
        self._host.answered()
        return True

    def drop_waiting(self) -> int:
        return sum(future.cancel() for future, _call in list(self._futures.values()))

    def _run(self, channel: Channel, call: Call) -> None:
        host, worker = self._host, self._host.worker
        if host.ended:
            host.answered()
            return
        number, method = call[0], call[1]
        task = Running(channel, number, f"{host.name}.{method.partition('@')[0]}")
        token = running.set(task)
        self.at_work[channel.lease, number] = task

        def bound(*args: Any, **kwargs: Any) -> Any:
            value = host.method(method)(*args, **kwargs)
            worker.session.check_not_cancelled(channel.client, number, task.name)
            return value

        try:
            answer, spent = worker.executor.run(channel, call, bound, task.name)
        except Exit as end:
            worker.printing.end_of(task)
            channel.flush()
            host.end_by(end)
            return
        finally:
            running.reset(token)
            del self.at_work[channel.lease, number]
        worker.printing.end_of(task)
        channel.answer(answer, spent)
        channel.flush()
        host.answered()
