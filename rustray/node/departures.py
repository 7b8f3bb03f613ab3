"""Clients that leave and workers that end: what they had goes back, and who had to do with them is told."""

from __future__ import annotations

import time
from collections.abc import Callable

from rustray.node.actors import Actors
from rustray.node.classes import Classes
from rustray.node.clients import Client, Clients
from rustray.node.elsewhere import Elsewhere
from rustray.node.figures import Figures
from rustray.node.jobs import Jobs
from rustray.node.leases import Leases
from rustray.node.pool import WorkerPool, WorkerProcess
from rustray.node.relays import Relays
from rustray.node.store import StoreService
from rustray.wire.frames import Message


class Departures:
    """See the module.

    Parameters
    ----------
    on_driver_gone: called when a driver has left.
    """

    def __init__(
        self,
        clients: Clients,
        jobs: Jobs,
        classes: Classes,
        leases: Leases,
        elsewhere: Elsewhere,
        actors: Actors,
        relays: Relays,
        pool: WorkerPool,
        store: StoreService,
        figures: Figures,
        head: Callable[[Message], None],
        on_driver_gone: Callable[[], None],
    ) -> None:
        self._clients = clients
        self._jobs = jobs
        self._classes = classes
        self._leases = leases
        self._elsewhere = elsewhere
        self._actors = actors
        self._relays = relays
        self._pool = pool
        self._store = store
        self._figures = figures
        self._head = head
        self._on_driver_gone = on_driver_gone

    def on_closed(self, client: Client) -> None:
        """The connection of a client has ended."""
        if client.worker is not None:
            # How it ended is the zygote's to say; one that only closed its socket is of no use any more.
            self._pool.end(client.worker)
            return
        self._forget(client)
        if client.job:
            self._jobs.on_driver_gone(client.job)
        self._on_driver_gone()

    def on_exited(self, number: int, _pid: int, exit_code: int) -> None:
        """The zygote tells that the process of a worker has ended: tell those whose tasks it ran."""
        worker = self._pool.on_exited(number)
        if worker is None:
            return
        kind, text = worker.how_it_ended(exit_code)
        client = self._clients.connected.get(number)
        if client is not None and client.peer is not None:
            # What it wrote before it died still counts.
            client.peer.drain()
            client.peer.close()
        if worker.actor is not None:
            # Before its lease ends: the head must know what the next lease of the actor is for.
            self._actors.on_exited(worker, kind, text)
        self._end_leases(worker, kind, text)
        self._figures.on_exited(number, kind, time.time())
        if client is not None:
            self._forget(client)
        self._jobs.sweep(worker.setting.job)

    def _end_leases(self, worker: WorkerProcess, kind: str, text: str) -> None:
        for lease, holder in list(worker.leases.items()):
            if lease in self._leases.here:
                relay = worker.relays.get(lease)
                self._leases.close(lease)
                words = ("lease_lost", lease, kind, text)
                if relay is not None:
                    self._relays.end(relay, words)
                elif holder:
                    self._clients.send(holder, words)
        for relay in worker.relays.values():
            self._relays.end(relay, None)

    def _forget(self, client: Client) -> None:
        self._clients.connected.pop(client.client, None)
        self._head(("client_gone", client.client))
        self._classes.on_client_gone(client.client)
        self._elsewhere.on_client_gone(client)
        self._leases.on_client_gone(client.leases)
        self._store.disconnect(client.client)
        self._figures.forget(client.client)
