"""The node: owns this machine's workers and store, and passes between its clients, other nodes and the head.

Everything here runs in one event loop. What crosses to the head are plain tuples on a *link* (`head(message)`): a call
inside an embedded server, a gRPC stream between machines. What crosses to other nodes goes through `neighbours`.

A client's number says its node: who is not ours is reached through its own node, by the same `send`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from rustray.error_packing import pack_system_error
from rustray.errors import SessionError
from rustray.model.ids import NODE_SHIFT, node_of
from rustray.node.gpus import GpuSlots
from rustray.node.neighbours import Neighbours
from rustray.node.peers import Peer
from rustray.node.pool import Setting, WorkerPool, WorkerProcess
from rustray.node.relays import Relays
from rustray.node.store import StoreService
from rustray.store.errors import InvalidRequest
from rustray.wire.frames import Connection, Message, peer_is_me
from rustray.wire.page import new_page

log = logging.getLogger(__name__)

RETIRE_AFTER_S = 10.0
"""Seconds after which an idle worker beyond one for each CPU may go."""
ASK_AGAIN_TICKS = 20
"""Ticks after which those that wait for an actor are asked for again: a node or head that knew of it may be gone."""
COMPLAIN_TICKS = 10
"""Ticks after which the head is told of the nodes that cannot be reached, again and again."""
REVOKED_EARLY = 1_000
"""Leases not known here of which it is remembered that they are asked back: few of them are still on their way."""
MAX_PRESTART = 8
"""Workers forked before the first task asks; the rest on demand."""


class Client:
    """A process connected to the node."""

    __slots__ = ("client", "demands", "info", "job", "leases", "nodes", "peer", "worker")

    def __init__(self, client: int, peer: Peer | None, job: int, worker: WorkerProcess | None) -> None:
        self.client = client
        self.peer = peer
        self.job = job
        self.worker = worker
        self.leases: set[int] = set()
        self.demands: dict[bytes, int] = {}
        self.nodes: set[int] = set()
        """Other nodes that have workers which serve it."""
        self.info: dict[str, Any] = {}


class Job:
    """What all workers of a job share. It is kept after its end while detached actors of it live here."""

    __slots__ = ("driver", "ended", "number", "place")

    def __init__(self, number: int, driver: int, place: dict[str, Any], ended: bool = False) -> None:
        self.number = number
        self.driver = driver
        self.place = place
        self.ended = ended


class NodeAgent:
    """See the module.

    Parameters
    ----------
    name: the node's name in the cluster.
    number: the node's number, which is part of those of its clients.
    resources: what the node offers, {"CPU": 2.0, ...}.
    folder: the session directory.
    fork: asks the zygote for a worker process.
    object_store_memory: bytes, None for what suits the machine.
    neighbours: the way to other nodes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        number: int,
        resources: dict[str, float],
        folder: str,
        fork: Callable[[int, dict[str, Any], int], None],
        object_store_memory: int | None,
        neighbours: Neighbours,
    ) -> None:
        self._loop = loop
        self.name = name
        self.number = number
        self.neighbours = neighbours
        self.resources = resources
        self.folder = folder
        self._node_names: dict[int, str] = {}
        self._next_client = number << NODE_SHIFT
        self.clients: dict[int, Client] = {}
        self.jobs: dict[int, Job] = {}
        self.classes: dict[bytes, dict[str, Any]] = {}
        self._job_of: dict[bytes, int] = {}
        """The jobs of the classes of tasks."""
        self._refused: dict[bytes, str] = {}
        """Classes that could not be handled, and why: demand for them is infeasible."""
        self.leases: dict[int, tuple[WorkerProcess, int, bytes]] = {}
        self.actors: dict[bytes, WorkerProcess] = {}
        self._detached: dict[bytes, int] = {}
        """Jobs of the detached actors: what their workers need of the job is kept when its driver has gone."""
        self._gpus = GpuSlots(int(resources.get("GPU", 0)))
        self.store = StoreService(loop, object_store_memory, os.path.join(folder, "spill"), self.send)
        self.pool = WorkerPool(fork, self._adopt, os.path.join(folder, "logs"))
        self.head: Callable[[Message], None] = lambda _message: None
        self.on_last_driver_gone: Callable[[int], None] = lambda _client: None
        self._without_head: tuple[float, str, Sequence[str]] | None = None
        """Since when there is no head, why, and which were tried."""
        self.finished = self.failed = 0
        self.draining = False
        """Set when nothing new is to run here, for what runs is let finish."""
        self._ticks = 0
        self._channel_numbers = -1
        self._leased_from: dict[int, tuple[int, int]] = {}
        """Leases that clients of ours have on other nodes: (node, client)."""
        self._revoked_early: dict[int, None] = {}
        """Leases that the head has asked back before their node has told us of them, or after they were returned."""
        self._guests: dict[int, set[int]] = {}
        """The leases here of clients of other nodes."""
        self._connecting: dict[tuple[int, bytes], int] = {}
        """Clients that wait for a channel to an actor, and the worker they had lost: a new leader is asked again."""
        self.relays = Relays(loop, number, neighbours, self._tell_relayed, self._hear_first)
        neighbours.handlers.update(
            to_client=self._on_to_client,
            return_lease=lambda node, client, lease: self._on_return(client, lease),
            guest_gone=lambda node, client: self._on_guest_gone(client),
            kill_worker=lambda node, client, worker, why: self._on_kill_worker(client, worker, why),
        )
        neighbours.on_down.append(self._on_node_down)
        self._from_client: dict[str, Callable[..., None]] = {
            **self.store.handlers,
            "class": self._on_class,
            "demand": self._on_demand,
            "return": self._on_return,
            "blocked": lambda c: self._lent(c, "worker_blocked"),
            "unblocked": lambda c: self._lent(c, "worker_unblocked"),
            "kill_worker": self._on_kill_worker,
            "setup_failed": self._on_setup_failed,
            "counts": self._on_counts,
            "explained": lambda c, token, description: self.head(("explained", token, description)),
            "predicted": lambda c, rows: self.head(("predicted", rows)),
            "staying": self._on_staying,
            "create_actor": self._on_create_actor,
            "connect_actor": self._on_connect_actor,
            "actor_arguments": lambda c, actor, args, deps: self.head(("actor_arguments", actor, args, deps)),
            "actor_log": lambda c, owner, *fields: self.send(owner, ("actor_log", *fields)),
            "kill_actor": lambda c, actor, no_restart: self.head(("kill_actor", actor, no_restart)),
            "actor_unreferenced": lambda c, actor: self.head(("actor_unreferenced", actor)),
            "actor_ready": self._on_actor_ready,
            "actor_failed": lambda c, actor, packed: self.head(("actor_failed", actor, packed)),
            "actor_ended": lambda c, actor, text: self.head(("actor_ended", actor, text)),
            "query": self._on_query,
        }
        self._from_head: dict[str, Callable[..., None]] = {
            "job_started": self._on_job_started,
            "job": self._on_job,
            "job_ended": self._end_workers_of,
            "class": self._on_class_told,
            "suspend": self._on_suspend,
            "resume": self._on_resume,
            "requeue": self._on_requeue,
            "evict": self._on_evict,
            "node_up": self.on_node_up,
            "node_down": lambda number, _cause: neighbours.remove(number),
            "grant": self._on_grant,
            "revoke": self._on_revoke,
            "explain": self._on_explain,
            "estimate": lambda client, *fields: self.send(client, ("estimate", *fields)),
            "infeasible": lambda key, client, text: self.send(client, ("infeasible", key, text)),
            "start_actor": self._on_start_actor,
            "stop_actor": self._on_stop_actor,
            "actor_place": self._on_actor_place,
            "actor_restarting": lambda c, actor, text: self.send(c, ("actor_restarting", actor, text)),
            "actor_dead": self._on_actor_dead,
            "actor_over": self._on_actor_over,
            "answer": lambda client, request, ok, value: self.send(client, ("answer", request, ok, value)),
        }

    # -- clients ---------------------------------------------------------------------------------------

    def new_client(self) -> int:
        """A client number never used before."""
        self._next_client += 1
        return self._next_client

    def send(self, client: int, *messages: Message, fds: Sequence[int] = ()) -> None:
        """Send to a client; one that is gone needs nothing any more."""
        at = self.clients.get(client)
        if at is not None:
            if at.peer is not None:
                at.peer.send(*messages, fds=fds)
        elif client >> NODE_SHIFT != self.number and client:
            assert not fds, "descriptors do not leave the machine"
            node = node_of(client)
            self.neighbours.send(node, *[("to_client", client, message) for message in messages])

    def _on_to_client(self, _node: int, client: int, message: Message) -> None:
        if node_of(client) == self.number:
            self.send(client, message)

    def accept(self, listener: socket.socket) -> None:
        """A process has connected to the node's socket: it must be this user's, and say hello."""
        try:
            sock, _address = listener.accept()
        except OSError:
            return  # it has gone again
        if not peer_is_me(sock):
            log.warning("refused a connection to the node socket by another user")
            sock.close()
            return
        holder: list[Peer] = []

        def on_messages(messages: list[Message]) -> None:
            op, *fields = messages[0]
            if op != "hello" or len(fields) != 2:
                log.warning("refused a client whose first message is %r", op)
                holder[0].close()
                return
            self._on_hello(holder[0], *fields)

        holder.append(Peer(self._loop, Connection(sock), on_messages, lambda: None))

    def _on_hello(self, peer: Peer, _kind: str, info: dict[str, Any]) -> None:
        number = self.new_client()
        client = Client(number, peer, 0, None)
        client.info = info
        self.clients[number] = client
        self._serve(client, peer)
        self.store.connect(number)
        self._tell_of_head(client)
        self.head(("job_start", number, info))

    def _serve(self, client: Client, peer: Peer) -> None:
        handlers, number = self._from_client, client.client

        def on_messages(messages: list[Message]) -> None:
            try:
                for message in messages:
                    try:
                        handlers[message[0]](number, *message[1:])
                    except Exception as error:
                        if not self._refuse(number, message, error):
                            raise
            except Exception as error:
                # It asked what it may not, or we have a defect. It must learn of it rather than wait for ever.
                log.exception("client %s is disconnected: its message could not be handled", number)
                peer.send(("ended", f"{type(error).__name__}: {error}"))
                peer.close()
                self._on_client_closed(client)

        peer._on_messages = on_messages
        peer._on_closed = lambda: self._on_client_closed(client)

    def _refuse(self, client: int, message: Message, error: Exception) -> bool:
        """Tell the one who asked that it cannot be done; False where nobody waits for an answer."""
        op, *fields = message
        text = f"{type(error).__name__}: {error}"
        if op == "create_actor":
            self._on_actor_over(fields[1])
        if op == "class":
            self._refused[fields[0]] = text  # nothing waits for it yet
        elif op in ("create_actor", "query") and fields[0]:
            packed = pack_system_error(SessionError(f"The node cannot handle this request: {text}."))
            self.send(client, ("answer", fields[0], False, packed))
        elif op == "create_actor":
            self.send(client, ("actor_dead", fields[1], "text", f"it cannot be created: {text}"))
        else:
            return False
        log.error("the request %r of client %s is refused", op, client, exc_info=error)
        return True

    def _adopt(self, worker: WorkerProcess, sock: socket.socket) -> None:
        client = Client(worker.client, None, worker.setting.job, worker)
        client.peer = Peer(self._loop, Connection(sock), lambda _m: None, lambda: None)
        self._serve(client, client.peer)
        self.clients[worker.client] = client
        self.store.connect(worker.client)
        self._tell_of_head(client)
        client.peer.send(("welcome", worker.client, self._welcome(worker.setting.job)))

    def _welcome(self, job: int) -> dict[str, Any]:
        at = self.jobs[job]
        return {"job": job, "node": self.name, "folder": self.folder, **at.place["session"]}

    def _on_client_closed(self, client: Client) -> None:
        if client.worker is not None:
            # How it ended is the zygote's to say; one that only closed its socket is of no use any more.
            self.pool.end(client.worker)
            return
        self._forget_client(client)
        if client.job:
            self._end_job(client.job)
        self.on_last_driver_gone(client.client)

    def _forget_client(self, client: Client) -> None:
        self.clients.pop(client.client, None)
        self._connecting = {at: lost for at, lost in self._connecting.items() if at[0] != client.client}
        self._leased_from = {lease: at for lease, at in self._leased_from.items() if at[1] != client.client}
        self.head(("client_gone", client.client))
        for node in client.nodes:
            self.neighbours.send(node, ("guest_gone", client.client))
        for lease in list(client.leases):
            worker, _client, _key = self.leases[lease]
            # It may be in the middle of a task whose result nobody wants.
            self.pool.kill(worker, "owner", "was stopped because the owner of its task has ended")
        self.store.disconnect(client.client)

    # -- jobs ------------------------------------------------------------------------------------------

    def _on_job_started(self, client: int, job: int, session: dict[str, Any]) -> None:
        at = self.clients.get(client)
        if at is None:
            self.head(("job_end", job))
            return
        if at.job == job:
            return  # told twice
        at.job = job
        info = at.info
        place = {key: info.get(key) for key in ("env", "cwd", "sys_path", "runtime_env")}
        place["session"] = session
        self.jobs[job] = Job(job, client, place)
        self.send(client, ("welcome", client, self._welcome(job)))
        if info.get("prestart", True):
            for _worker in range(min(int(self.resources.get("CPU", 0)), MAX_PRESTART)):
                setting = Setting(job, b"", 1, ())
                self.pool.put_idle(self.pool.start(self.new_client(), setting, place))

    def _on_job(self, job: int, driver: int, place: dict[str, Any], ended: bool) -> None:
        """A job of another node is to have workers here."""
        self.jobs.setdefault(job, Job(job, driver, place, ended))

    def _end_job(self, job: int) -> None:
        self.head(("job_end", job))
        self._end_workers_of(job)

    def _end_workers_of(self, job: int) -> None:
        at = self.jobs.get(job)
        if at is None or at.ended:
            return
        at.ended = True
        for worker in list(self.pool.workers.values()):
            if worker.setting.job == job and not self._is_detached(worker):
                self.pool.kill(worker, "job", "was stopped because its job has ended")
        self._sweep_job(job)

    def _is_detached(self, worker: WorkerProcess) -> bool:
        """Whether it is a detached actor, or runs a task for one."""
        if worker.actor is not None:
            return worker.actor in self._detached
        for client in worker.leases.values():
            at = self.clients.get(client)
            if at is None:
                if node_of(client) != self.number and self.jobs[worker.setting.job].driver != client:
                    return True  # its own node ends it if it ends with the job
            elif at.worker is not None and at.worker.actor in self._detached:
                return True
        return False

    # -- leases ----------------------------------------------------------------------------------------

    def _on_demand(self, client: int, key: bytes, count: int, near: dict[int, int] | None = None) -> None:
        if key not in self._refused:
            demands = self.clients[client].demands
            if count:
                demands[key] = count
            else:
                demands.pop(key, None)
            self.head(("demand", key, client, count, near))
        elif count:
            self.send(client, ("infeasible", key, self._refused[key]))

    def _on_class(self, client: int, key: bytes, spec: dict[str, Any]) -> None:
        self._refused.pop(key, None)
        job = self.clients[client].job
        self._on_class_told(key, job, spec)
        self.head(("class", key, job, spec, client))

    def _on_class_told(self, key: bytes, job: int, spec: dict[str, Any]) -> None:
        self.classes[key] = spec
        self._job_of[key] = job

    def _setting(self, job: int, spec: dict[str, Any], gpus: tuple[int, ...]) -> Setting:
        return Setting(job, spec["env_key"], max(1, int(spec["resources"].get("CPU", 1))), gpus)

    def _worker_for(self, job: int, spec: dict[str, Any], lease: int) -> WorkerProcess:
        gpus = self._gpus.take(lease, spec["resources"].get("GPU", 0.0))
        setting = self._setting(job, spec, gpus)
        worker = self.pool.take_idle(setting)
        if worker is None:
            place = self.jobs[job].place
            if spec.get("runtime_env") is not None:
                place = {**place, "runtime_env": spec["runtime_env"]}
            worker = self.pool.start(self.new_client(), setting, place)
        return worker

    def _on_grant(self, lease: int, key: bytes, client: int) -> None:
        at = self.clients.get(client)
        job, spec = self._job_of.get(key, 0), self.classes.get(key)
        gone = at is None if node_of(client) == self.number else self.neighbours.is_down(node_of(client))
        if gone or spec is None or job not in self.jobs:
            self.head(("returned", lease))
            return
        worker = self._worker_for(job, spec, lease)
        worker.leases[lease] = client
        self.leases[lease] = (worker, client, key)
        if at is not None:
            at.leases.add(lease)
        else:
            self._guests.setdefault(client, set()).add(lease)
        message = ("lease", key, lease, worker.client)
        self._introduce(worker, client, lease, message, spec["resources"], spec.get("group"))

    def _introduce(
        self,
        worker: WorkerProcess,
        client: int,
        number: int,
        message: Message,
        resources: dict[str, float],
        group: tuple[bytes, bool] | None = None,
    ) -> None:
        """Give `client` and `worker` the two ends of a socket and a page to share, or of a relay to another node.

        `resources` and `group` are what each task that comes by it has; what an actor has it was told at its start.
        """
        serve = ("serve", number, client, resources, group)
        if node_of(client) != self.number:
            relay, sock, page = self.relays.lend(node_of(client), client, message, worker.client)
            # A caller of an actor leaves without a word but the end of its relay.
            worker.relays = {n: other for n, other in worker.relays.items() if self.relays.is_open(other)}
            worker.relays[number] = relay
            self.send(worker.client, serve, fds=[sock, page])
            os.close(sock)
            os.close(page)
            return
        ours, theirs = socket.socketpair()
        page = new_page()
        self.send(worker.client, serve, fds=[theirs.fileno(), page])
        self._connecting.pop((client, message[1]), None)
        self.send(client, message, fds=[ours.fileno(), page])
        os.close(page)
        ours.close()
        theirs.close()

    def _hear_first(self, worker: int) -> None:
        """Before a worker's answers go to another node: the holds it has made for what is in them must count."""
        at = self.clients.get(worker)
        if at is not None and at.peer is not None:
            at.peer.drain()

    def _tell_relayed(self, node: int, client: int, message: Message, fds: Sequence[int]) -> bool:
        """What a worker of another node is for: a lease or a channel to an actor. False when the client is gone."""
        at = self.clients.get(client)
        if at is None:
            if message[0] == "lease":
                # That node was not among those that were told of its end.
                self.neighbours.send(node, ("guest_gone", client))
            return False
        if message[0] == "lease":
            self._leased_from[message[2]] = node, client
        elif message[0] == "lease_lost":
            self._leased_from.pop(message[1], None)
        elif message[0] == "actor_channel":
            self._connecting.pop((client, message[1]), None)
        at.nodes.add(node)
        self.send(client, message, fds=fds)
        if message[0] == "lease" and message[2] in self._revoked_early:
            del self._revoked_early[message[2]]
            self.send(client, ("revoke", message[2]))
        return True

    def _on_revoke(self, lease: int, client: int) -> None:
        if lease not in self.leases and lease not in self._leased_from:
            # The word of the head may have overtaken that of the lease's node.
            self._revoked_early[lease] = None
            while len(self._revoked_early) > REVOKED_EARLY:
                del self._revoked_early[next(iter(self._revoked_early))]
        self.send(client, ("revoke", lease))

    def _on_return(self, client: int, lease: int) -> None:
        at = self.leases.get(lease)
        if at is not None:
            worker = at[0]
            self._end_lease(lease)
            if not worker.leases and not worker.exited and worker.doom is None:
                job = worker.setting.job
                if self.jobs[job].ended and job not in self._detached.values():
                    # It was left alone for the sake of a client of another node.
                    self.pool.kill(worker, "job", "was stopped because its job has ended")
                else:
                    self.pool.put_idle(worker)
        elif (lent := self._leased_from.pop(lease, None)) is not None:
            self.neighbours.send(lent[0], ("return_lease", client, lease))

    def _end_lease(self, lease: int) -> None:
        worker, client, _key = self.leases.pop(lease)
        worker.leases.pop(lease, None)
        worker.relays.pop(lease, None)
        if worker.suspended:
            self.pool.resume(worker)
        at = self.clients.get(client)
        if at is not None:
            at.leases.discard(lease)
        elif client in self._guests:
            self._guests[client].discard(lease)
            if not self._guests[client]:
                del self._guests[client]
        self._gpus.give_back(lease)
        self.head(("returned", lease))

    # -- preemption ------------------------------------------------------------------------------------

    def _on_suspend(self, lease: int) -> None:
        """Stop the worker where it is; its slot goes to others."""
        at = self.leases.get(lease)
        if at is not None and at[0].doom is None:
            worker, client, _key = at
            memory = self.pool.suspend(worker)
            self.head(("suspended", lease, memory))
            self.send(client, ("suspended", lease, True))

    def _on_resume(self, lease: int) -> None:
        at = self.leases.get(lease)
        if at is not None:
            worker, client, _key = at
            self.pool.resume(worker)
            self.head(("resumed", lease))
            self.send(client, ("suspended", lease, False))

    def _on_requeue(self, lease: int) -> None:
        at = self.leases.get(lease)
        if at is not None:
            text = (
                "was stopped to make room for more urgent work, with too little memory to keep it meanwhile"
            )
            self.pool.kill(at[0], "requeue", text)

    def _on_evict(self, lease: int, reason: str) -> None:
        at = self.leases.get(lease)
        if at is not None:
            self.pool.kill(at[0], "evicted", f"was stopped because {reason}")

    # -- other nodes -----------------------------------------------------------------------------------

    def _on_guest_gone(self, client: int) -> None:
        """A client of another node has ended: what it had running here is of no use any more."""
        for lease in list(self._guests.get(client, ())):
            worker = self.leases[lease][0]
            self.pool.kill(worker, "owner", "was stopped because the owner of its task has ended")

    def on_node_up(self, number: int, name: str, address: str) -> None:
        """The cluster has this node."""
        self._node_names[number] = name
        self.neighbours.add(number, address)

    def _on_node_down(self, node: int) -> None:
        for guest in [client for client in self._guests if node_of(client) == node]:
            self._on_guest_gone(guest)
        self.relays.forget_node(node)
        name = self._node_names.pop(node, "")
        text = f"was lost with its node{f' {name}' if name else ''}"
        for lease, (other, client) in list(self._leased_from.items()):
            if other == node:
                del self._leased_from[lease]
                self.send(client, ("lease_lost", lease, "node", text))
        for at in self.clients.values():
            at.nodes.discard(node)

    def report(self) -> dict[str, Any]:
        """What is true of this node now, for a head that leads since a moment ago, or has lost sight of it."""
        return {
            "draining": self.draining,
            "jobs": list(self.jobs),
            "clients": [(at.client, at.job) for at in self.clients.values()],
            "classes": [(key, job, self.classes[key]) for key, job in self._job_of.items()],
            "demands": [
                (key, at.client, count) for at in self.clients.values() for key, count in at.demands.items()
            ],
            "leases": [
                (lease, key, client, worker.blocked, worker.suspended)
                for lease, (worker, client, key) in self.leases.items()
            ],
            "actors": [
                (actor, worker.client, worker.incarnation)
                for actor, worker in self.actors.items()
                if worker.doom is None
            ],
        }

    def ask_again(self) -> None:
        """Ask for the actors that clients wait for: a new leader, or the actor's node, may not know of them."""
        for (client, actor), lost in self._connecting.items():
            self.head(("connect_actor", client, actor, lost))

    def _lent(self, client: int, event: str) -> None:
        worker = self.clients[client].worker
        if worker is not None:
            worker.blocked = event == "worker_blocked"
            for lease in worker.leases:
                self.head((event, lease))

    def _on_kill_worker(self, client: int, worker: int, why: str) -> None:
        if node_of(worker) != self.number:
            self.neighbours.send(node_of(worker), ("kill_worker", client, worker, why))
            return
        at = self.pool.workers.get(worker)
        if at is None:
            return
        local = self.clients.get(client)
        if client in at.leases.values() or local is not None and at.setting.job == local.job:
            self.pool.kill(at, "cancelled", why)

    def tick(self) -> None:
        """Let idle workers go that were started for a burst, or for waiting ones that lent their slot."""
        keep = max(2, int(self.resources.get("CPU", 0)))
        for worker in self.pool.superfluous(keep, RETIRE_AFTER_S):
            self.send(worker.client, ("retire",))
        self.relays.tick()
        self._ticks += 1
        if self._ticks % ASK_AGAIN_TICKS == 0:
            self.ask_again()
        if self._ticks % COMPLAIN_TICKS == 0 and (unreachable := self.neighbours.unreachable()):
            self.head(("unreachable", unreachable))

    def _on_staying(self, client: int) -> None:
        worker = self.clients[client].worker
        if worker is not None and not worker.leases and worker.doom is None:
            self.pool.put_idle(worker)

    def _on_setup_failed(self, client: int, text: str) -> None:
        worker = self.clients[client].worker
        if worker is not None:
            self.pool.kill(worker, "setup", f"could not be set up: {text}")

    def _on_counts(self, _client: int, finished: int, failed: int) -> None:
        self.finished += finished
        self.failed += failed

    # -- workers that end ------------------------------------------------------------------------------

    def on_forked(self, client: int, pid: int) -> None:
        """The zygote has made a worker."""
        self.pool.on_forked(client, pid)

    def on_exited(self, client: int, _pid: int, exit_code: int) -> None:
        """A worker has ended: tell those whose tasks it ran."""
        worker = self.pool.on_exited(client)
        if worker is None:
            return
        kind, text = worker.how_it_ended(exit_code)
        at = self.clients.get(client)
        if at is not None and at.peer is not None:
            # What it wrote before it died still counts.
            at.peer.drain()
            at.peer.close()
        if worker.actor is not None:
            # Before its lease ends: the head must know what the next lease of the actor is for.
            if self.actors.get(worker.actor) is worker:
                del self.actors[worker.actor]
            self.head(("actor_exited", worker.actor, client, kind, text, worker.incarnation))
        for lease, holder in list(worker.leases.items()):
            if lease in self.leases:
                relay = worker.relays.get(lease)
                self._end_lease(lease)
                words = ("lease_lost", lease, kind, text)
                if relay is not None:
                    self.relays.end(relay, words)
                elif holder:
                    self.send(holder, words)
        for relay in worker.relays.values():
            self.relays.end(relay, None)
        if at is not None:
            self._forget_client(at)
        self._sweep_job(worker.setting.job)

    def _sweep_job(self, job: int) -> None:
        at = self.jobs.get(job)
        if at is not None and at.ended and job not in self._detached.values():
            if not any(worker.setting.job == job for worker in self.pool.workers.values()):
                del self.jobs[job]
                for key in [key for key, of in self._job_of.items() if of == job]:
                    del self._job_of[key]
                    self.classes.pop(key, None)
                    self._refused.pop(key, None)

    # -- actors ----------------------------------------------------------------------------------------

    def _on_create_actor(self, client: int, request: int, actor: bytes, spec: dict[str, Any]) -> None:
        job = self.clients[client].job
        if spec["detached"]:
            self._detached[actor] = job
        self.head(("create_actor", client, request, actor, job, spec))

    def _on_start_actor(self, lease: int, actor: bytes, job: int, spec: dict[str, Any]) -> None:
        if job not in self.jobs:
            text = "was not started because its job has ended"
            self.head(("actor_exited", actor, 0, "job", text, spec["incarnation"]))
            self.head(("returned", lease))
            return
        if spec["detached"]:
            self._detached[actor] = job
        self.classes[actor] = spec
        worker = self._worker_for(job, spec, lease)
        worker.actor = actor
        worker.incarnation = spec["incarnation"]
        worker.leases[lease] = 0
        self.leases[lease] = (worker, 0, actor)
        self.actors[actor] = worker
        self.send(worker.client, ("host", actor, spec))

    def _on_actor_ready(self, client: int, actor: bytes, borrowed: list[bytes]) -> None:
        self.store.borrow(client, actor, borrowed)
        worker = self.clients[client].worker
        assert worker is not None
        self.head(("actor_ready", actor, client, worker.incarnation))

    def _on_connect_actor(self, client: int, actor: bytes, lost: int) -> None:
        self._connecting[client, actor] = lost
        self.head(("connect_actor", client, actor, lost))

    def _on_actor_dead(self, client: int, actor: bytes, kind: str, cause: Any) -> None:
        self._connecting.pop((client, actor), None)
        self.send(client, ("actor_dead", actor, kind, cause))

    def _on_actor_place(self, client: int, actor: bytes) -> None:
        worker = self.actors.get(actor)
        if worker is None or worker.exited or worker.doom is not None:
            return  # the head hears of its end and tells the client
        self._channel_numbers -= 1
        self._introduce(worker, client, self._channel_numbers, ("actor_channel", actor, worker.client), {})

    def _on_stop_actor(self, actor: bytes, graceful: bool, text: str) -> None:
        worker = self.actors.get(actor)
        if worker is None:
            return
        if graceful:
            self.send(worker.client, ("exit_when_idle",))
        else:
            self.pool.kill(worker, "killed", text)

    def _on_actor_over(self, actor: bytes) -> None:
        self.classes.pop(actor, None)
        job = self._detached.pop(actor, None)
        if job is not None:
            self._sweep_job(job)

    # -- questions -------------------------------------------------------------------------------------

    def _on_query(self, client: int, request: int, what: str, args: tuple[Any, ...]) -> None:
        answer = getattr(self, f"_query_{what}", None)
        if answer is None:
            self.head(("query", client, request, what, args))
        else:
            self.send(client, ("answer", request, True, answer(*args)))

    def _on_explain(self, client: int, token: int, number: int) -> None:
        if client in self.clients:
            self.send(client, ("explain", token, number))
        else:
            self.head(("explained", token, None))

    def _query_store(self) -> dict[str, int]:
        return self.store.ledger.stats()

    def _query_workers(self) -> list[dict[str, Any]]:
        return [
            {
                "worker": worker.client,
                "pid": worker.pid,
                "job": worker.setting.job,
                "leases": len(worker.leases),
                "actor": worker.actor.hex() if worker.actor else None,
            }
            for worker in self.pool.workers.values()
        ]

    def _query_lose(self, oid: bytes) -> bool:
        # For tests of recovery: as if the machine's memory had failed. False: somebody reads it.
        try:
            self.store.do(self.store.ledger.lose(oid))
        except InvalidRequest:
            return False
        return True

    def on_head_lost(self, reason: str, heads: Sequence[str]) -> None:
        """No head answers, for this reason: the clients are told, those that come meanwhile too."""
        if self._without_head is None:
            self._without_head = (self._loop.time(), reason, heads)
        elif reason == self._without_head[1]:
            return
        else:
            self._without_head = (self._without_head[0], reason, heads)
        for client in self.clients.values():
            self._tell_of_head(client)

    def on_head_found(self) -> None:
        """A head answers, for the first time or again."""
        if self._without_head is not None:
            self._without_head = None
            for client in self.clients:
                self.send(client, ("head_found",))

    def _tell_of_head(self, client: Client) -> None:
        if self._without_head is not None:
            since, reason, heads = self._without_head
            self.send(client.client, ("head_lost", self._loop.time() - since, reason, list(heads)))

    def from_head(self, message: Message) -> None:
        """A message of the head."""
        self._from_head[message[0]](*message[1:])

    def close(self) -> None:
        """Kill every worker and let the store go."""
        for worker in list(self.pool.workers.values()):
            self.pool.kill(worker, "node", "was stopped because its node is shutting down")
        for client in list(self.clients.values()):
            if client.peer is not None:
                client.peer.close()
        self.relays.close()
        self.store.close()
