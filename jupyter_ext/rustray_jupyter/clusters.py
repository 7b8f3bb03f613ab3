"""The clusters of this user as the handlers need them: nothing here blocks the event loop, and answers are JSON values.

Which clusters run is known from `rustray.clusters`, whose files outlive the Jupyter server: it starts and stops none
by itself, and finds them all again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import rustray.clusters
from rustray.errors import OptionError, RustRayError, SessionError
from rustray_jupyter.contacts import Contacts
from rustray_jupyter.json_values import json_value

Query = Callable[..., Any]

QUESTIONS = ("nodes", "tasks", "actors", "objects", "metrics", "jobs", "heads")
"""What a cluster is asked as it stands: each gives rows."""
OPTIONS = {"name", "num_cpus", "heads", "nodes"}
"""Of a cluster that is to be started."""
LOG_LINES = 200


class NoSuchClusterError(RustRayError):
    """No cluster of this name runs here."""


class NameTakenError(RustRayError):
    """A cluster of this name runs already."""


class Clusters:
    """What one Jupyter server knows of its user's clusters.

    Parameters
    ----------
    contacts: the connections to ask through.
    """

    def __init__(self, contacts: Contacts) -> None:
        self.contacts = contacts

    async def all(self) -> list[dict[str, Any]]:
        """One row a cluster, the newest last.

        "name", "state" ("starting", "running", or "broken": it has no node, or no majority of its heads), "remark"
        ("1 of 3 heads is down", "" where nothing is), "address", "started" (seconds since the epoch), "heads" and
        "nodes" (how many live).
        """
        return await asyncio.to_thread(lambda: [_row(cluster) for cluster in rustray.clusters.list()])

    async def one(self, name: str) -> dict[str, Any]:
        """The row of a cluster, and its last sample as "metrics", None before there is one."""
        row = await asyncio.to_thread(_row, await self._find(name))
        samples = [] if row["state"] == "starting" else await self.contacts.query(name, "metrics", 0.0)
        return {**row, "metrics": json_value(samples[-1]) if samples else None}

    async def started(self, name: str) -> float | None:
        """When it was started, in seconds since the epoch; None: there is no such cluster."""
        return next((row["started"] for row in await self.all() if row["name"] == name), None)

    async def start(self, options: dict[str, Any]) -> dict[str, Any]:
        """Start a cluster, and its row. NameTakenError; OptionError of what is not in OPTIONS or not allowed."""
        if unknown := sorted(options.keys() - OPTIONS):
            raise OptionError(
                f"{', '.join(unknown)} is not known here. There are: {', '.join(sorted(OPTIONS))}."
            )
        given = {name: value for name, value in options.items() if value is not None}
        name = given.setdefault("name", "default")
        if not isinstance(name, str):
            raise OptionError(f"name={name!r}: give a text.")
        if await self.started(name) is not None:
            raise NameTakenError(
                f"A cluster named {name!r} runs already: take another name, or stop it first."
            )
        return await asyncio.to_thread(lambda: _row(rustray.clusters.start(**given)))

    async def stop(self, name: str) -> None:
        """Stop a cluster."""
        cluster = await self._find(name)
        await asyncio.to_thread(cluster.stop)

    async def scale(self, name: str, nodes: Any) -> dict[str, Any]:
        """Have it run so many nodes, and its row."""
        if not isinstance(nodes, int) or isinstance(nodes, bool) or nodes < 0:
            raise OptionError(f"nodes={nodes!r}: give a whole number from 0 on.")
        cluster = await self._find(name)
        await asyncio.to_thread(cluster.scale, nodes)
        return await self.one(name)

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
        """What `write` makes of a cluster, the newest if no name is given; "" where none runs."""
        if name is None:
            running = [row["name"] for row in await self.all() if row["state"] != "starting"]
            if not running:
                return ""
            name = running[-1]
        await self._find(name)
        return await self.contacts.call(name, lambda contact: write(contact.query))

    async def _find(self, name: str) -> rustray.clusters.Cluster:
        for cluster in await asyncio.to_thread(rustray.clusters.list):
            if cluster.name == name:
                return cluster
        raise NoSuchClusterError(f"No cluster named {name!r} runs here. Start one, or look which there are.")


def connect(name: str) -> rustray.clusters.Contact:
    """A connection for asking a cluster. ClusterStartError: there is none; SessionError: it cannot be asked now.

    Where there are no nodes on purpose a gateway is started for it. For one that is being started or stopped that
    would take long and come to nothing.
    """
    cluster = rustray.clusters.find(name)
    if not cluster.nodes and cluster.state != "running":
        raise SessionError(f"The cluster {name!r} is being started or stopped: it has no node now.")
    return cluster.contact()


def _row(cluster: rustray.clusters.Cluster) -> dict[str, Any]:
    return {
        name: getattr(cluster, name)
        for name in ("name", "state", "remark", "address", "started", "heads", "nodes")
    }
