"""A worker's log: the file that its descriptors 1 and 2 are open for.

What Python prints goes to the submitters of tasks, and here only if there is none. What libraries in C print, and
processes that tasks start, comes here past Python; it is read from the file then. So nothing stands between them and
their output, and what a dying process says is in the log all the same.
"""

from __future__ import annotations

import os
import sys
import threading

MOST = 1 << 20
"""Bytes that are read at once; of more, the last."""


class WorkerLog:
    """See the module.

    Parameters
    ----------
    fd: the file, open for writing at its end.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.RLock()
        self._reader: int | None = None
        self._at = os.fstat(fd).st_size
        self._unread = b""

    def write(self, text: str) -> None:
        """Add text of our own, which `others` does not give. What finds no room is lost."""
        data = text.encode("utf-8", "backslashreplace")
        with self._lock:
            self._read()
            while data:
                try:
                    written = os.write(self._fd, data)
                except OSError:
                    return  # the disk is full: a task is not to fail because nobody can keep what it prints
                self._at += written
                data = data[written:]

    def others(self) -> str:
        """What others have written since the last time; mostly nothing."""
        if not self._unread and os.fstat(self._fd).st_size <= self._at:
            return ""
        with self._lock:
            self._read()
            data, self._unread = self._unread, b""
        return data.decode("utf-8", "replace")

    def _read(self) -> None:
        end = os.fstat(self._fd).st_size
        if end <= self._at:
            return
        start, self._at = max(self._at, end - MOST), end
        try:
            if self._reader is None:
                self._reader = os.open(self.path(), os.O_RDONLY | os.O_CLOEXEC)
            self._unread = (self._unread + os.pread(self._reader, MOST, start))[-MOST:]
        except OSError:
            pass  # somebody has removed the file: it is still written to, and nobody can read it any more

    def path(self) -> str:
        """Where it is; OSError if it has no name, as a pipe."""
        if sys.platform == "darwin":
            import fcntl

            return fcntl.fcntl(self._fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
        return os.readlink(f"/proc/self/fd/{self._fd}")
