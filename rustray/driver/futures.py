"""Objects as futures of `concurrent.futures` and of asyncio."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any

from rustray.driver.entry import BLOCK
from rustray.driver.refs import ObjectRef

if TYPE_CHECKING:
    import asyncio

    from rustray.driver.session import Session

CALLBACK_THREADS = 64
"""Callbacks of `ref.future()` that may wait for one another at once; a thread is started where none is free."""


class Futures:
    """Makes the futures of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._table = session.objects
        self._callbacks: concurrent.futures.ThreadPoolExecutor | None = None

    def future_of(self, ref: ObjectRef) -> concurrent.futures.Future[Any]:
        self._session.check_open()  # before the lock: in a forked child nobody may ever give it back
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._table.lock:
            if self._callbacks is None:
                self._callbacks = concurrent.futures.ThreadPoolExecutor(CALLBACK_THREADS, "rustray-futures")
        callbacks = self._callbacks

        def resolve() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                value = self._session.reader.value_of(ref._entry)
            except BaseException as error:  # of the task, or that there is none: it is whose the future is
                future.set_exception(error)
            else:
                future.set_result(value)

        def settled() -> None:
            # The user's callbacks may wait for other objects; the thread that settles this one must not.
            try:
                callbacks.submit(resolve)
            except RuntimeError:  # the interpreter is exiting: no thread can be started any more
                future.cancel()

        self._table.when_ready(ref._entry, settled)
        return future

    def asyncio_future_of(self, ref: ObjectRef, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        self._session.check_open()
        future: asyncio.Future[Any] = loop.create_future()

        def resolve() -> None:
            # It keeps `ref`, often the only one there is: `await f.remote()` lets go of it before the value is here.
            entry = ref._entry
            # In the event loop: it must not wait, so a block that is not in place is asked for first.
            with self._table.lock:
                in_store = entry.state == BLOCK
                if in_store and not entry.reading and self._session.ended is None:
                    if not future.done():
                        self._table.want([entry])
                        entry.add_waiter(settled)
                    return
                in_store = in_store and entry.reading
                if in_store:
                    entry.views += 1  # so that it stays in place until it has been read
                    entry.count += 1
            try:
                if not future.done():
                    future.set_result(self._session.reader.value_of(entry))
            except StopIteration as error:
                future.set_exception(RuntimeError(f"the task raised {error!r}"))
            except BaseException as error:  # as above
                future.set_exception(error)
            finally:
                if in_store:
                    self._table.view_dropped.append(entry)

        def settled() -> None:
            try:
                loop.call_soon_threadsafe(resolve)
            except RuntimeError:
                pass  # the loop is closed: nobody awaits any more

        def let_go(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                ref._entry.remove_waiter(settled)  # else who asks again and again leaves one each time

        future.add_done_callback(let_go)
        self._table.when_ready(ref._entry, settled)
        return future

    def close(self) -> None:
        """The session has ended: no more callbacks than those under way."""
        if self._callbacks is not None:
            self._callbacks.shutdown(wait=False)
