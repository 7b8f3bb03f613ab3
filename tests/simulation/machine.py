"""The operating system as nodes, workers and drivers use it: stream sockets, descriptors, pages, signals.

`installed` puts it in the place of the real one in the modules that run here.
"""

from __future__ import annotations

import contextlib
import marshal
import signal
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

from rustray.wire.frames import ConnectionClosed, FrameReader, Message
from tests.simulation.clock import Clock, VirtualLoop

_LENGTH = struct.Struct("<I")


class End:
    """One end of a stream: what has come for it, and who reads it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.other: End
        self.input = bytearray()
        self.fds: deque[Any] = deque()
        self.descriptors = 0
        self.over = False
        self._watch: tuple[VirtualLoop, Callable[..., Any], Any] | None = None
        self._woken = False

    def watch(self, loop: VirtualLoop, callback: Callable[..., Any], args: Any) -> None:
        self._watch = (loop, callback, args)
        self.wake()

    def unwatch(self) -> None:
        self._watch = None

    def wake(self) -> None:
        """Have the reader called, as long as there is something to read."""
        if self._watch is None or self._woken or not (self.input or self.over):
            return
        self._woken = True
        loop = self._watch[0]
        loop.call_later(self.kernel.clock.random.random() * 2e-4, self._call, loop)

    def _call(self, loop: VirtualLoop) -> None:
        self._woken = False
        if self._watch is not None and self._watch[0] is loop:
            _loop, callback, args = self._watch
            if self.input or self.over:
                callback(*args)
        self.wake()

    def close(self) -> None:
        self.unwatch()
        self.other.over = True
        self.other.wake()
        while self.fds:
            self.kernel.let_go(self.fds.popleft())


class Socket:
    """A descriptor of an end, as `socket.socket`."""

    def __init__(self, kernel: Kernel, end: End, fd: int) -> None:
        self._kernel = kernel
        self.end = end
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def setblocking(self, _flag: bool) -> None:
        pass

    def recv(self, size: int) -> bytes:
        data = bytes(self.end.input[:size])
        del self.end.input[:size]
        if not data and not self.end.over:
            raise BlockingIOError
        return data

    def send(self, data: bytes | memoryview) -> int:
        if self.end.over:
            raise BrokenPipeError
        self.end.other.input += data
        self.end.other.wake()
        return len(data)

    def detach(self) -> int:
        fd, self._fd = self._fd, -1
        return fd

    def close(self) -> None:
        if self._fd >= 0:
            self._kernel.close(self.detach())


class Page(bytearray):
    """A page of shared memory, mapped."""

    def close(self) -> None:
        pass


class Connection:
    """As `wire.frames.Connection`, on a virtual socket."""

    def __init__(self, sock: Socket, takes_fds: bool = False) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.fds: deque[int] = deque()
        self.closed = False
        self.backlog = 0
        self.on_backlog: Any = None
        self._reader = FrameReader()

    def send(self, messages: Sequence[Message], fds: Sequence[int] = ()) -> None:
        if self.closed:
            return
        body = marshal.dumps(messages, 4)  # type: ignore[arg-type]
        end = self.sock.end
        with contextlib.suppress(BrokenPipeError):
            end.other.fds.extend(end.kernel.share(fd) for fd in fds)
            self.sock.send(_LENGTH.pack(len(body)) + body)

    def receive(self) -> list[Message]:
        if self.closed:
            raise ConnectionClosed
        end = self.sock.end
        try:
            data = self.sock.recv(1 << 30)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionClosed
        while end.fds:
            self.fds.append(end.kernel.open(end.fds.popleft()))
        return self._reader.feed(data)

    def flush(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.sock.close()


class Kernel:
    """Descriptors and processes of the whole cluster: a number names one thing on one machine for ever."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._things: dict[int, Any] = {}
        self._fd = 0
        self._pid = 1 << 30
        """Beyond what a real one can be: should a signal for one escape from here, it meets nobody."""
        self.processes: dict[int, Any] = {}

    # -- descriptors

    def open(self, thing: Any) -> int:
        """A new descriptor of an end or a page."""
        self._fd += 1
        self._things[self._fd] = thing
        if isinstance(thing, End):
            self.clock.readers[self._fd] = thing
        return self._fd

    def share(self, fd: int) -> Any:
        """What a message carries: the thing stays open on its way."""
        thing = self._things[fd]
        if isinstance(thing, End):
            thing.descriptors += 1
        return thing

    def close(self, fd: int) -> None:
        self.clock.readers.pop(fd, None)
        self.let_go(self._things.pop(fd))

    def let_go(self, thing: Any) -> None:
        """One descriptor less; the last one ends a stream."""
        if isinstance(thing, End):
            thing.descriptors -= 1
            if thing.descriptors == 0:
                thing.close()

    def socketpair(self) -> tuple[Socket, Socket]:
        one, two = End(self), End(self)
        one.other, two.other = two, one
        return self._socket(one), self._socket(two)

    def _socket(self, end: End) -> Socket:
        end.descriptors += 1
        return Socket(self, end, self.open(end))

    def socket(self, fileno: int) -> Socket:
        thing = self._things[fileno]
        return Socket(self, thing, fileno)

    def memfd_create(self, _name: str, _flags: int) -> int:
        return self.open(Page(64))

    def mmap(self, fd: int, _size: int, prot: int) -> Page:
        page = self._things[fd]
        assert isinstance(page, Page)
        return page

    # -- processes

    def new_pid(self, process: Any) -> int:
        self._pid += 1
        self.processes[self._pid] = process
        return self._pid

    def signal(self, pid: int, number: int) -> None:
        process = self.processes.get(pid)
        if process is None:
            raise ProcessLookupError
        if number == signal.SIGSTOP:
            process.loop.pause()
        elif number == signal.SIGCONT:
            process.loop.resume()
        else:
            process.die(-9)

    def end_group(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.signal(pid, signal.SIGKILL)

    def signal_group(self, pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.signal(pid, number)


class Store:
    """In place of the object store: there are no objects here, so nothing that it is told matters."""

    def __init__(self, *_arguments: Any) -> None:
        nothing = ("retract", "hold", "hold_for", "release", "publish")
        self.handlers: dict[str, Callable[..., None]] = dict.fromkeys(nothing, lambda *_fields: None)
        self.ledger = SimpleNamespace(hold_for=lambda *_fields: (), owes=lambda _client: False, stats=dict)

    def sent_to(self, _node: int) -> int:
        return 0

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_fields, **_more: None


@contextlib.contextmanager
def installed(kernel: Kernel, dial: Callable[..., Any]) -> Iterator[None]:
    """Have the modules of nodes and clients use `kernel`, and `dial` for channels."""
    from rustray.driver import actors, answers, scheduling_class, submitter
    from rustray.node import agent, door, head_link, introductions, partings, pool, relays
    from rustray.wire import page

    os = SimpleNamespace(
        close=kernel.close,
        killpg=kernel.signal,
        kill=kernel.signal,
        memfd_create=kernel.memfd_create,
        ftruncate=lambda _fd, _size: None,
        MFD_CLOEXEC=1,
        path=SimpleNamespace(join=lambda *parts: "/".join(parts)),
    )
    socket = SimpleNamespace(socketpair=kernel.socketpair, socket=kernel.socket)
    mmap = SimpleNamespace(mmap=kernel.mmap, PAGESIZE=4096, PROT_READ=1, PROT_WRITE=2)
    time = SimpleNamespace(monotonic=lambda: kernel.clock.now)
    with contextlib.ExitStack() as stack:

        def put(module: Any, **values: Any) -> None:
            for name, value in values.items():
                stack.enter_context(mock.patch.object(module, name, value))

        put(page, os=os, mmap=mmap)
        put(agent, os=os, time=time, StoreService=Store)
        put(partings, time=time)
        put(door, Connection=Connection, peer_is_me=lambda _sock: True)
        put(introductions, os=os, socket=socket)
        put(relays, os=os, socket=socket)
        put(pool, os=os, socket=socket, time=time, end_group=kernel.end_group, resident=lambda _pid: 1 << 20)
        put(pool, _signal_group=kernel.signal_group)
        put(submitter, socket=socket, time=time, Connection=Connection)
        put(scheduling_class, time=time)
        put(answers, time=time)
        put(actors, socket=socket, Connection=Connection)
        put(head_link, time=time, dial=dial)
        yield
