"""The jobs that have clients or workers on a node, from their start until nothing of them runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rustray.node.classes import Classes
from rustray.node.clients import Clients
from rustray.node.partings import Partings
from rustray.node.pool import Setting, WorkerPool, WorkerProcess
from rustray.wire.frames import Message


class Job:
    """What all workers of a job share. It is kept after its end while detached actors of it live here.

    `place` has "env", "cwd", "sys_path", "runtime_env" of the driver, and as "session" what the job's clients are told.
    """

    __slots__ = ("driver", "ended", "number", "place")

    def __init__(self, number: int, driver: int, place: dict[str, Any], ended: bool = False) -> None:
        self.number = number
        self.driver = driver
        self.place = place
        self.ended = ended


class Jobs:
    """See the module.

    Parameters
    ----------
    prestart: workers forked for a new job before its first task asks.
    welcome: welcome(client, job, place) tells a driver that it has a job.
    """

    def __init__(
        self,
        clients: Clients,
        classes: Classes,
        pool: WorkerPool,
        partings: Partings,
        prestart: int,
        welcome: Callable[[int, int, dict[str, Any]], None],
        head: Callable[[Message], None],
    ) -> None:
        self._clients = clients
        self._classes = classes
        self._pool = pool
        self._partings = partings
        self._prestart = prestart
        self._welcome = welcome
        self._head = head
        self.known: dict[int, Job] = {}
        self._detached: dict[bytes, int] = {}
        """Jobs of the detached actors: what their workers need of the job is kept when its driver has gone."""

    def on_started(self, client: int, job: int, session: dict[str, Any]) -> None:
        """The head has given a driver of ours its job."""
        at = self._clients.connected.get(client)
        if at is None:
            self._head(("job_end", job))
            return
        if at.job == job:
            return  # told twice
        at.job = job
        place = {key: at.info.get(key) for key in ("env", "cwd", "sys_path", "runtime_env")}
        place["session"] = session
        self.known[job] = Job(job, client, place)
        self._welcome(client, job, place)
        if at.info.get("prestart", True):
            for _worker in range(self._prestart):
                setting = Setting(job, b"", 1, ())
                self._pool.put_idle(self._pool.start(self._clients.new_number(), setting, place))

    def on_told(self, job: int, driver: int, place: dict[str, Any], ended: bool) -> None:
        """A job of another node is to have workers here."""
        self.known.setdefault(job, Job(job, driver, place, ended))

    # -- the end ---------------------------------------------------------------------------------------

    def on_driver_gone(self, job: int) -> None:
        """The driver of the job, a client of ours, has ended."""
        self._head(("job_end", job))
        self.on_ended(job)

    def on_ended(self, job: int) -> None:
        """Its workers end, except what detached actors of it need."""
        at = self.known.get(job)
        if at is None or at.ended:
            return
        at.ended = True
        for worker in list(self._pool.workers.values()):
            if worker.setting.job == job and not self._is_detached(worker):
                self._stop(worker)
        self.sweep(job)

    def is_over(self, job: int) -> bool:
        """Whether it has ended, and no detached actor keeps it."""
        return self.known[job].ended and job not in self._detached.values()

    def take_back(self, worker: WorkerProcess) -> None:
        """A worker has nothing to do: it waits for more of its job, if that is not over."""
        if self.is_over(worker.setting.job):
            self._stop(worker)  # it was left alone for the sake of a client of another node
        else:
            self._pool.put_idle(worker)

    def _stop(self, worker: WorkerProcess) -> None:
        self._partings.end(worker, "job", "was stopped because its job has ended")

    def sweep(self, job: int) -> None:
        """Forget the job if nothing of it is left."""
        if job in self.known and self.is_over(job):
            if not any(worker.setting.job == job for worker in self._pool.workers.values()):
                del self.known[job]
                self._classes.forget_job(job)

    # -- detached actors -------------------------------------------------------------------------------

    @property
    def keep_detached(self) -> bool:
        """Whether there are any."""
        return bool(self._detached)

    def keep_for(self, actor: bytes, job: int) -> None:
        """Keep what a detached actor, or its next process, needs of its job."""
        self._detached[actor] = job

    def let_go_of(self, actor: bytes) -> None:
        """The actor is gone for good."""
        job = self._detached.pop(actor, None)
        if job is not None:
            self.sweep(job)

    def _is_detached(self, worker: WorkerProcess) -> bool:
        """Whether it is a detached actor, or runs a task for one."""
        if worker.actor is not None:
            return worker.actor in self._detached
        for client in worker.leases.values():
            at = self._clients.connected.get(client)
            if at is None:
                if not self._clients.is_ours(client) and self.known[worker.setting.job].driver != client:
                    return True  # its own node ends it if it ends with the job
            elif at.worker is not None and at.worker.actor in self._detached:
                return True
        return False
