"""The worker processes of a node: which exist, what each is for, and how each ended."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from rustray.errors import exit_advice, exit_text
from rustray.node.zygote import end_group


class Setting(NamedTuple):
    """What a worker is made for: it is shared only between tasks that want the same.

    Parameters
    ----------
    job: the job whose modules and classes it has loaded.
    env_key: content hash of the runtime environment, b"" for the job's own.
    threads: threads for BLAS and OpenMP, fixed when NumPy is imported.
    gpus: the devices it sees, fixed when CUDA starts.
    """

    job: int
    env_key: bytes
    threads: int
    gpus: tuple[int, ...]


class WorkerProcess:
    """One worker of the node.

    `leases` are those it serves (lease -> client), `actor` the actor it hosts. `doom` says why it is being
    killed, as (kind, text), when it is we who kill it. `is_own` is one that hosts an actor of RustRay's own, which
    does not count as work.
    """

    __slots__ = (
        "actor",
        "blocked",
        "client",
        "doom",
        "exited",
        "idle_since",
        "incarnation",
        "is_own",
        "leases",
        "log",
        "pid",
        "relays",
        "setting",
        "suspended",
    )

    def __init__(self, client: int, setting: Setting, log: str) -> None:
        self.client = client
        self.setting = setting
        self.log = log
        self.pid = 0
        self.leases: dict[int, int] = {}
        self.relays: dict[int, int] = {}
        """By lease or channel: the relay to a client of another node."""
        self.actor: bytes | None = None
        self.incarnation = 0
        self.is_own = False
        self.blocked = False
        self.suspended = False
        self.doom: tuple[str, str] | None = None
        self.exited = False
        self.idle_since = 0.0

    def how_it_ended(self, exit_code: int) -> tuple[str, str]:
        """(kind, text) of its end, the text to follow "the worker ..."."""
        if self.doom is not None:
            return self.doom
        kind = "exit" if exit_code >= 0 else "signal"
        what = f"ended unexpectedly: {exit_text(exit_code)} (pid {self.pid}). Its log: {self.log}"
        return kind, f"{what}. {exit_advice(exit_code)}"


Fork = Callable[[int, dict[str, Any], int], None]
"""fork(worker, place, fd): ask the zygote."""
Adopt = Callable[[WorkerProcess, socket.socket, dict[str, Any]], None]


class WorkerPool:
    """Workers by client number and, while idle, by what they are made for.

    Parameters
    ----------
    fork: asks the zygote for a process.
    adopt: called with (worker, socket, place): its node socket's other end, to be served from now on.
    log_folder: gets one file a worker for what it prints outside of tasks.
    """

    def __init__(self, fork: Fork, adopt: Adopt, log_folder: str) -> None:
        self._fork = fork
        self._adopt = adopt
        self._log_folder = log_folder
        self._idle: dict[Setting, list[WorkerProcess]] = {}
        self.workers: dict[int, WorkerProcess] = {}

    def start(self, client: int, setting: Setting, place: dict[str, Any]) -> WorkerProcess:
        """Have a worker forked. It can be sent tasks at once: its sockets hold them until it is up."""
        worker = WorkerProcess(client, setting, os.path.join(self._log_folder, f"worker-{client}.log"))
        ours, theirs = socket.socketpair()
        env = dict(place["env"])
        threads = str(setting.threads)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
            env.setdefault(name, threads)
        env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, setting.gpus))
        self.workers[client] = worker
        self._adopt(worker, ours, place)
        self._fork(client, {**place, "env": env, "log": worker.log}, theirs.fileno())
        theirs.close()
        return worker

    def take_idle(self, setting: Setting, suits: Callable[[WorkerProcess], bool]) -> WorkerProcess | None:
        """A worker for `setting` that has nothing to do and `suits`, the one that had something last."""
        idle = self._idle.get(setting, [])
        idle[:] = [worker for worker in idle if not worker.exited and worker.doom is None]
        for worker in idle[::-1]:
            if suits(worker) and worker in idle:
                idle.remove(worker)
                return worker
        return None

    def put_idle(self, worker: WorkerProcess) -> None:
        """`worker` serves no lease any more."""
        worker.idle_since = time.monotonic()
        self._idle.setdefault(worker.setting, []).append(worker)

    def superfluous(self, keep: int, idle_s: float) -> list[WorkerProcess]:
        """Idle workers beyond the `keep` that had work last, idle for `idle_s` seconds: they leave the pool."""
        now = time.monotonic()
        waiting = self.idle_workers()
        chosen = [w for w in waiting[: max(0, len(waiting) - keep)] if now - w.idle_since > idle_s]
        for worker in chosen:
            self._idle[worker.setting].remove(worker)
        return chosen

    def idle_workers(self) -> list[WorkerProcess]:
        """All idle workers, the longest idle first."""
        return sorted((w for idle in self._idle.values() for w in idle), key=lambda w: w.idle_since)

    def suspend(self, worker: WorkerProcess) -> int:
        """Stop `worker` and what it has started where they are. Returns the bytes of memory it holds meanwhile."""
        worker.suspended = True
        if not worker.pid or worker.exited:
            return 0
        _signal_group(worker.pid, signal.SIGSTOP)
        return resident(worker.pid)

    def resume(self, worker: WorkerProcess) -> None:
        """Let a stopped worker go on."""
        worker.suspended = False
        if worker.pid and not worker.exited:
            _signal_group(worker.pid, signal.SIGCONT)

    def kill(self, worker: WorkerProcess, kind: str, text: str) -> None:
        """Kill `worker` and what it has started; `kind` and `text` tell its clients why."""
        if worker.doom is None:
            worker.doom = (kind, text)
        self.end(worker)

    def end(self, worker: WorkerProcess) -> None:
        """Kill `worker` and what it has started, without giving a reason."""
        if worker.pid and not worker.exited:
            end_group(worker.pid)

    def on_forked(self, client: int, pid: int) -> None:
        """The zygote has made the process."""
        worker = self.workers.get(client)
        if worker is not None:
            worker.pid = pid
            if worker.doom is not None:
                self.end(worker)
            elif worker.suspended:
                self.suspend(worker)

    def on_exited(self, client: int) -> WorkerProcess | None:
        """The process has ended: forget it."""
        worker = self.workers.pop(client, None)
        if worker is not None:
            worker.exited = True
            idle = self._idle.get(worker.setting)
            if idle and worker in idle:
                idle.remove(worker)
            try:
                # What a task of it has started must not outlive it.
                os.killpg(worker.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # it had started nothing
        return worker


def _signal_group(pid: int, number: int) -> None:
    for send in (os.killpg, os.kill):
        try:
            send(pid, number)
        except ProcessLookupError:
            continue  # it has ended, or is so young that it does not lead its group yet
        return


def resident(pid: int) -> int:
    """Bytes of memory that a process has for itself, 0 when it is gone or cannot be asked."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            _size, used, shared, *_rest = map(int, file.read().split())
    except OSError:
        return 0
    return (used - shared) * os.sysconf("SC_PAGE_SIZE")
