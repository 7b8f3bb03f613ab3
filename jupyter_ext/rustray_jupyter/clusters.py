"""The clusters of this user as the handlers need them: nothing here blocks the event loop, and answers are JSON values.

Which clusters run is known from `rustray.clusters`, whose files outlive the Jupyter server: it starts and stops none
by itself, and finds them all again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import rustray.clusters
from rustray.clusters.connection_file import is_name
from rustray.clusters.contact import reach
from rustray.clusters.registry import ADDRESS_VARIABLE, usual
from rustray.errors import RustRayError, SessionError
from rustray_jupyter.contacts import Contacts
from rustray_jupyter.json_values import json_value

T = TypeVar("T")
Query = Callable[..., Any]

QUESTIONS = ("nodes", "tasks", "actors", "objects", "metrics", "jobs", "heads")
"""What a cluster is asked as it stands: each gives rows."""
LOG_LINES = 200
AUTO = "auto"
"""What $RUSTRAY_ADDRESS may be in place of nothing."""
CHANGES = 4
"""Clusters that are started, scaled or stopped at once: each takes a thread for up to minutes, in which the lists that
pages ask for must not wait."""


class NoSuchClusterError(RustRayError):
    """No cluster of this name runs here."""


class Clusters:
    """What one Jupyter server knows of its user's clusters.

    Parameters
    ----------
    contacts: the connections to ask through.
    """

    def __init__(self, contacts: Contacts) -> None:
        self.contacts = contacts
        self._changes = ThreadPoolExecutor(CHANGES, "rustray-changes")

    def close(self) -> None:
        """Begin no more changes; those under way are brought to their end."""
        self._changes.shutdown(wait=False, cancel_futures=True)

    async def all(self) -> list[dict[str, Any]]:
        """One row a cluster, the newest last.

        "name", "state" ("starting", "running", or "broken": it has no node, or no majority of its heads), "remark"
        ("1 of 3 heads is down", "" where nothing is), "address", "started" (seconds since the epoch), "heads" and
        "nodes" (how many live).
        """
        return await asyncio.to_thread(lambda: [_row(cluster) for cluster in rustray.clusters.list()])

    async def one(self, name: str) -> dict[str, Any]:
        """The row of a cluster, and its last sample as "metrics": None before there is one, and where a gateway would
        have to be started to ask for it."""
        row = await asyncio.to_thread(_row, await self._find(name))
        is_reached = row["nodes"] or name in self.contacts.open
        samples = await self.contacts.query(name, "metrics", 0.0) if is_reached else []
        return {**row, "metrics": json_value(samples[-1]) if samples else None}

    async def started(self, name: str) -> float | None:
        """When it was started, in seconds since the epoch; None: there is no such cluster."""
        return next((row["started"] for row in await self.all() if row["name"] == name), None)

    async def start(self, options: dict[str, Any]) -> dict[str, Any]:
        """Start a cluster with options as `fields.START` allows them, and its row. `registry.NameTakenError`."""
        given = {name: value for name, value in options.items() if value is not None}
        given.setdefault("name", "default")
        return await self._change(lambda: _row(rustray.clusters.start(**given)))

    async def stop(self, name: str) -> None:
        """Stop a cluster."""
        await self._change((await self._find(name)).stop)

    async def scale(self, name: str, nodes: int, force: bool = False) -> dict[str, Any]:
        """Have it run so many nodes, none with `force` only, and its row."""
        cluster = await self._find(name)
        return await self._change(lambda: _row(cluster.scale(nodes, force)))

    async def ask(self, name: str, what: str, since: float) -> Any:
        """One of QUESTIONS; `since` (seconds since the epoch) is for "metrics"."""
        await self._find(name)
        arguments = (since,) if what == "metrics" else ()
        return json_value(await self.contacts.query(name, what, *arguments))

    async def logs(self, name: str, process: str | None, lines: int) -> str:
        """The last lines of what its processes, or one of them by name or pid, have logged."""
        cluster = await self._find(name)
        return await asyncio.to_thread(cluster.logs, process, lines)

    async def render(self, name: str | None, write: Callable[[Query], str]) -> str:
        """What `write` makes of a cluster, that which is meant if no name is given; "" where none runs."""
        if name is not None:
            await self._find(name)
        else:
            name = await self._meant()
        return await self.contacts.call(name, lambda contact: write(contact.query)) if name else ""

    async def _meant(self) -> str:
        """As `rustray.init("auto")` has it: the address in $RUSTRAY_ADDRESS, else the cluster of that name, else the
        newest that is up; "" where none is."""
        address = os.environ.get(ADDRESS_VARIABLE, "")
        if address not in ("", AUTO) and not usual():
            return address
        up = [row["name"] for row in await self.all() if row["state"] != "starting"]
        return usual() if usual() in up else up[-1] if up else ""

    async def _change(self, change: Callable[[], T]) -> T:
        try:
            changed = asyncio.get_running_loop().run_in_executor(self._changes, change)
        except RuntimeError:  # its threads are shut down
            raise SessionError("The Jupyter server is ending: it changes no cluster any more.") from None
        return await changed

    async def _find(self, name: str) -> rustray.clusters.Cluster:
        for cluster in await asyncio.to_thread(rustray.clusters.list):
            if cluster.name == name:
                return cluster
        raise NoSuchClusterError(f"No cluster named {name!r} runs here. Start one, or look which there are.")


def connect(name: str) -> rustray.clusters.Contact:
    """A connection for asking a cluster, by its name or address.

    ClusterStartError: there is none; SessionError: it cannot be asked now.

    Heads talk to nodes only, over gRPC, which this process does not load. So a cluster without a node here is asked
    through a gateway: a process of ours that joins it for as long as it is asked, offers it nothing and is no node to
    its users. For a cluster that is being started or stopped that would take long and come to nothing.
    """
    if not is_name(name):  # an address, of `_meant`
        return reach(name)
    cluster = rustray.clusters.find(name)
    if not cluster.nodes and cluster.busy:
        raise SessionError(f"The cluster {name!r} is being started or stopped: it has no node now.")
    return cluster.contact()


def _row(cluster: rustray.clusters.Cluster) -> dict[str, Any]:
    return {
        name: getattr(cluster, name)
        for name in ("name", "state", "remark", "address", "started", "heads", "nodes")
    }
