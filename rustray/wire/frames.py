"""Frames on a local stream socket: the one codec between the processes of a machine.

A frame is a 4-byte little-endian length and a ``marshal`` (version 4) list of messages; a message is a
tuple ``(op, *fields)`` of plain values. marshal makes plain values only, so reading a frame runs nobody's
code, and it is as quick as pickle. File descriptors travel in the ``sendmsg`` of the frame whose
messages speak of them, and are taken from :attr:`Connection.fds` in the same order.
"""

from __future__ import annotations

import array
import contextlib
import errno
import marshal
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

Message = tuple[Any, ...]

_LENGTH = struct.Struct("<I")
_MARSHAL_VERSION = 4
_READ_SIZE = 1 << 18
SHORTAGE_PAUSE_S = 0.02
CONGESTED_BYTES = 1 << 20
"""A backlog beyond this is more than the peer takes in one go."""
_MAX_FRAME = 1 << 30
_MAX_FDS = 64
_SHORTAGES = (errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)
"""The system has no room just now, ETOOMANYREFS for descriptors in flight, while the socket counts as writable."""
_ENDS = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)
_FD_SPACE = socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)


class ConnectionClosed(Exception):
    """The peer closed its end, died, or sent what is not a frame."""


def encode(messages: Sequence[Message]) -> bytes:
    """The frame that carries `messages`."""
    body = marshal.dumps(messages, _MARSHAL_VERSION)  # type: ignore[arg-type]
    return _LENGTH.pack(len(body)) + body


def encode_parts(messages: Sequence[Message]) -> tuple[bytes, bytes]:
    """The same frame in two parts, for who puts many frames together."""
    body = marshal.dumps(messages, _MARSHAL_VERSION)  # type: ignore[arg-type]
    return _LENGTH.pack(len(body)), body


class FrameReader:
    """Takes frames out of a stream that comes in pieces of any size."""

    __slots__ = ("_missing", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[bytes | memoryview] = []
        self._missing = 0

    def feed(self, piece: bytes | memoryview) -> list[Message]:
        """The messages of the frames that `piece` completes; ConnectionClosed if it is not of a stream of frames."""
        if self._pieces:
            # A long frame comes in many pieces: joined once, when the last is there.
            self._pieces.append(piece)
            self._missing -= len(piece)
            if self._missing > 0:
                return []
            piece = b"".join(self._pieces)
            self._pieces.clear()
        view = memoryview(piece)
        messages: list[Message] = []
        at, end = 0, len(view)
        while end - at >= 4:
            (size,) = _LENGTH.unpack_from(view, at)
            if size > _MAX_FRAME:
                raise ConnectionClosed(f"a frame of {size} bytes is over the limit of {_MAX_FRAME}")
            if end - at - 4 < size:
                break
            try:
                messages += marshal.loads(view[at + 4 : at + 4 + size])
            except (ValueError, EOFError, TypeError) as error:
                raise ConnectionClosed(f"not a frame: {error}") from error
            at += 4 + size
        if at < end:
            self._pieces.append(view[at:])
            have = end - at
            self._missing = (4 if have < 4 else 4 + _LENGTH.unpack_from(view, at)[0]) - have
        return messages


class Connection:
    """A non-blocking stream socket that speaks frames.

    Any thread may send; one thread at a time receives. What the socket does not take at once is kept and
    sent by :meth:`flush`, which the event loop calls when the socket is writable: `on_backlog(connection)`
    tells the loop that there is such a rest. A peer that is suspended therefore blocks nobody.

    Parameters
    ----------
    sock: a connected stream socket; the connection owns it from here on.
    takes_fds: whether frames from the peer may bring file descriptors.

    Attributes
    ----------
    short: the last :meth:`flush` has failed for want of something other than room in the socket, which may be writable
        all the while: the loop must try again after `SHORTAGE_PAUSE_S`, not at once.
    """

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_input",
        "_lock",
        "_receive",
        "closed",
        "fd",
        "fds",
        "on_backlog",
        "short",
        "sock",
    )

    def __init__(self, sock: socket.socket, takes_fds: bool = False) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.fds: deque[int] = deque()
        self.closed = False
        self.short = False
        self.on_backlog: Callable[[Connection], None] | None = None
        self._input = b""
        self._backlog: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._backlog_bytes = 0
        self._lock = threading.Lock()
        self._receive = self._receive_with_fds if takes_fds else self._receive_bytes

    def send(self, messages: Sequence[Message], fds: Sequence[int] = ()) -> None:
        """Send one frame; the descriptors in `fds` are duplicated into the peer and stay the caller's.

        A closed connection swallows the frame: its owner learns of the end through :meth:`receive`.
        """
        body = marshal.dumps(messages, _MARSHAL_VERSION)  # type: ignore[arg-type]
        data = _LENGTH.pack(len(body)) + body
        with self._lock:
            if self.closed:
                return
            if self._backlog:
                self._keep(memoryview(data), fds)
                return
            sent = self._write(data, fds)
            if sent == len(data):
                return
            self._keep(memoryview(data)[sent:], fds if sent == 0 else ())
        if self.on_backlog is not None:
            self.on_backlog(self)

    def _keep(self, data: memoryview, fds: Sequence[int]) -> None:
        # The caller may close its descriptors as soon as send() returns, so the backlog has copies.
        self._backlog.append((data, [os.dup(fd) for fd in fds]))
        self._backlog_bytes += len(data)

    def _write(self, data: bytes | memoryview, fds: Sequence[int]) -> int:
        self.short = False
        try:
            if fds:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
                return self.sock.sendmsg([data], rights)
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in _SHORTAGES:
                self.short = True
                return 0
            if error.errno not in _ENDS:
                with contextlib.suppress(OSError):  # it is not connected any more
                    self.sock.shutdown(socket.SHUT_RDWR)  # a frame is lost, so this has to be the end
            # The reading side reports the end once; what is written after it has nowhere to go.
            return len(data)

    @property
    def backlog(self) -> bool:
        """Whether something waits for the socket to become writable."""
        return bool(self._backlog)

    @property
    def congested(self) -> bool:
        """Whether so much waits that a sender who can had better wait too."""
        return self._backlog_bytes > CONGESTED_BYTES and not self.closed

    def flush(self) -> bool:
        """Send what is kept; True when nothing is left."""
        with self._lock:
            while self._backlog:
                data, fds = self._backlog[0]
                sent = self._write(data, fds)
                if sent == 0:
                    return False
                self._backlog_bytes -= sent
                for fd in fds:
                    os.close(fd)
                if sent < len(data):
                    self._backlog[0] = (data[sent:], ())
                    return False
                self._backlog.popleft()
        return True

    def receive(self) -> list[Message]:
        """The messages that have arrived (perhaps none); raises ConnectionClosed at the end."""
        try:
            data = self._receive()
        except BlockingIOError:
            return []
        except OSError as error:
            raise ConnectionClosed(str(error)) from error
        if not data:
            raise ConnectionClosed("the peer closed the connection")
        if self._input:
            data = self._input + data
        messages: list[Message] = []
        at, end = 0, len(data)
        while end - at >= 4:
            (size,) = _LENGTH.unpack_from(data, at)
            if size > _MAX_FRAME:
                raise ConnectionClosed(f"a frame of {size} bytes is over the limit of {_MAX_FRAME}")
            if end - at - 4 < size:
                # A long frame comes in many reads: ask for the rest at once instead of joining each piece.
                if size > _READ_SIZE:
                    data = self._read_rest(data[at:], size + 4)
                    if len(data) < size + 4:
                        self._input = data
                        return messages
                    at, end = 0, len(data)
                    continue
                break
            try:
                messages += marshal.loads(memoryview(data)[at + 4 : at + 4 + size])
            except (ValueError, EOFError, TypeError) as error:
                raise ConnectionClosed(f"not a frame: {error}") from error
            at += 4 + size
        self._input = data[at:] if at < end else b""
        return messages

    def _read_rest(self, head: bytes, size: int) -> bytes:
        parts = [head]
        have = len(head)
        while have < size:
            try:
                part = self._receive()
            except BlockingIOError:
                break
            except OSError as error:
                raise ConnectionClosed(str(error)) from error
            if not part:
                raise ConnectionClosed("the peer closed the connection inside a frame")
            parts.append(part)
            have += len(part)
        return b"".join(parts)

    def _receive_bytes(self) -> bytes:
        return self.sock.recv(_READ_SIZE)

    def _receive_with_fds(self) -> bytes:
        data, ancillary, _flags, _address = self.sock.recvmsg(_READ_SIZE, _FD_SPACE)
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                for fd in fds:
                    os.set_inheritable(fd, False)
                self.fds.extend(fds)
        return data

    def abandon(self) -> None:
        """In a forked child: let go of the socket, which is the parent's, without a word to the peer."""
        self._lock = threading.Lock()  # another thread may have had it, and there are no others here
        self.closed = True
        os.close(self.sock.detach())

    def close(self) -> None:
        """Close the socket and every descriptor still kept; harmless when closed already."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            for _data, fds in self._backlog:
                for fd in fds:
                    os.close(fd)
            self._backlog.clear()
        while self.fds:
            os.close(self.fds.popleft())
        self.sock.close()


def peer_is_me(sock: socket.socket) -> bool:
    """Whether the process at the other end of a Unix socket runs as this user (or as root)."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _pid, uid, _gid = struct.unpack("3i", credentials)
    else:  # macOS: struct xucred {u_int version; uid_t uid; ...}, LOCAL_PEERCRED = 1 at level 0
        uid = struct.unpack_from("Ii", sock.getsockopt(0, 1, 76))[1]
    return uid in (os.getuid(), 0)
