"""The process that forks workers.

It has imported what a worker needs, has one thread, and holds no lock, so that a fork is safe, takes a few
milliseconds and shares its pages. Workers are its children: it alone learns how they end.

Messages: ("fork", worker, place) with the worker's node socket; answers ("forked", worker, pid) and
("exited", worker, pid, exit code), negative for a signal. A worker that has ended stays a zombie until the node has
answered that by ("reap", pid): its pid is no other process's as long as the node may send it a signal.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from rustray.errors import RustRayError
from rustray.pids import call_this_process
from rustray.wire.frames import SHORTAGE_PAUSE_S, Connection, ConnectionClosed

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies (Linux; elsewhere a closed socket tells it)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def end_group(pid: int) -> None:
    """Kill the worker `pid` and what it has started; harmless when it is gone."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # It has not made its process group yet, or is gone already.
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended by itself


def start() -> tuple[int, socket.socket]:
    """Fork the zygote, with all imported that a worker needs; its pid, and the way to it.

    To be called before this process starts a thread or holds a lock.
    """
    from rustray import serialization

    serialization.preload()
    import rustray.worker.process  # noqa: F401  imported once and shared by all forks

    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        run(theirs)
    theirs.close()
    return pid, ours


def run(sock: socket.socket) -> NoReturn:
    """Fork workers until the server is gone; then end them and what they have started."""
    call_this_process("rustray-zygote")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
    os.set_blocking(wake_writer, False)
    os.set_blocking(wake_reader, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake_writer)
    connection = Connection(sock, takes_fds=True)
    workers: dict[int, int] = {}
    ended: set[int] = set()
    gc.collect()
    gc.freeze()
    while True:
        if connection.short:
            select.select([connection.fd, wake_reader], [], [], SHORTAGE_PAUSE_S)
            connection.flush()
        elif connection.backlog:
            select.select([connection.fd, wake_reader], [connection.fd], [])
            connection.flush()
        else:
            select.select([connection.fd, wake_reader], [], [])
        try:
            messages = connection.receive()
        except ConnectionClosed:
            for pid in workers:
                end_group(pid)
            os._exit(0)
        for op, *fields in messages:
            if op == "reap":
                (pid,) = fields
                os.waitpid(pid, 0)
                ended.discard(pid)
                del workers[pid]
                continue
            worker, place = fields
            fd = connection.fds.popleft()
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                os.close(wake_reader)
                os.close(wake_writer)
                connection.sock.detach()
                os.close(connection.fd)
                _become_worker(fd, place)
            os.close(fd)
            workers[pid] = worker
            connection.send([("forked", worker, pid)])
        _tell_ends(connection, workers, ended, wake_reader)


def _tell_ends(connection: Connection, workers: dict[int, int], ended: set[int], wake_reader: int) -> None:
    """Tell which workers have ended; `ended` are those of which that has been told."""
    try:
        while os.read(wake_reader, 512):
            pass
    except BlockingIOError:
        pass
    for pid in workers.keys() - ended:
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if end is not None:
            ended.add(pid)
            code = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
            connection.send([("exited", workers[pid], pid, code)])


def _become_worker(fd: int, place: dict[str, Any]) -> NoReturn:
    """`place`: "env" (all of the environment), "cwd", "sys_path", "log" (file), "runtime_env" (prepared)."""
    code = 1
    try:
        die_with_parent()
        call_this_process("rustray-worker")
        os.setpgid(0, 0)  # what a task starts dies with its worker
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        log = os.open(place["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        import faulthandler

        faulthandler.enable()
        os.environ.clear()
        os.environ.update(place["env"])
        sys.path[:] = place["sys_path"]
        try:
            os.chdir(place["cwd"])
        except OSError:
            pass  # the driver's folder is gone: as with any process whose folder was removed
        if place["runtime_env"]:
            from rustray import runtime_env

            try:
                runtime_env.apply(place["runtime_env"])
            except RustRayError as error:
                Connection(socket.socket(fileno=fd)).send([("setup_failed", str(error))])
                raise
        sys.argv = ["rustray-worker"]
        from rustray.worker import process

        gc.enable()
        process.main(fd)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
