"""A cluster with a name, as an object: how it is, more or fewer nodes, its logs, its end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rustray.clusters import ending, registry, starting
from rustray.clusters.connection_file import ConnectionFile, Process, living
from rustray.clusters.contact import Contact, reach
from rustray.clusters.health import health
from rustray.clusters.logs import Log, tail
from rustray.clusters.processes import is_alive
from rustray.errors import ClusterStartError, OptionError, SessionError
from rustray.model.option_checks import meant
from rustray.model.quantities import counted, duration
from rustray.model.table import html_table
from rustray.pids import create_time
from rustray.status import ClusterStatus, cluster_status


class Cluster:
    """A cluster with a name, whose processes run on this machine by themselves: see `rustray.clusters`.

    Attributes
    ----------
    name: `rustray.init(name)` connects to it.
    address: "host:port,..." of its heads; the session folder where head and node are one process.
    token_file: with what nodes on other machines need to join; "" where none can.
    started: seconds since the epoch.
    """

    def __init__(self, file: ConnectionFile) -> None:
        self._file = file
        self.name = file.name
        self.started = file.started
        self.token_file = file.token_file

    @property
    def address(self) -> str:
        heads = ",".join(self._now().heads)
        return heads or next((process.folder for process in self._file.processes), "")

    @property
    def processes(self) -> tuple[Process, ...]:
        """Those that live, heads first, nodes in the order in which they were started."""
        return living(self._now().processes, create_time)

    @property
    def heads(self) -> int:
        """How many heads live; 0 where head and node are one process."""
        return _count(self.processes, "head")

    @property
    def nodes(self) -> int:
        """How many of its nodes on this machine live."""
        return _count(self.processes, "node", "embedded")

    @property
    def state(self) -> str:
        """ "starting", "running", "broken" (it has no node, or no majority of its heads) or "stopped"."""
        return self._health()[0]

    @property
    def remark(self) -> str:
        """What has ended by itself, as "1 of 3 heads is down"; "" where nothing has."""
        return self._health()[1]

    @property
    def busy(self) -> bool:
        """Whether somebody starts, scales or stops it at the moment."""
        busy = self._now().busy
        return busy is not None and is_alive(busy)

    def _health(self) -> tuple[str, str]:
        file = self._now()
        alive = living(file.processes, create_time)
        if self.busy and not any(process.role != "head" for process in file.processes):
            return "starting", ""
        if not alive:
            return "stopped", ""
        return health(file.processes, alive, len(file.heads))

    def _now(self) -> ConnectionFile:
        """What the registry says; the last that it said, once the cluster has ended."""
        file = registry.find(self.name)
        if file is not None and file.started == self.started:
            self._file = file
        return self._file

    # -- asking ----------------------------------------------------------------------------------------

    def contact(self) -> Contact:
        """A session for asking only; ClusterStartError, SessionError."""
        return reach(self.name)

    def status(self) -> ClusterStatus:
        """The nodes, and what goes on in the cluster. ClusterStartError, SessionError."""
        with self.contact() as asked:
            return cluster_status(*map(asked.query, ("nodes", "workers", "store", "metrics", "functions")))

    def logs(self, process: str | None = None, lines: int = 200) -> str:
        """The last lines of its logs, one log after the other.

        Parameters
        ----------
        process: a head, a node (both by name) or a pid; all of them when None.
        """
        return tail(self.log_files(process), lines)

    def log_files(self, process: str | None = None) -> list[Log]:
        """The logs of all its processes or of one. OptionError: there is no such process."""
        known = self._now().processes
        chosen = [one for one in known if process in (None, one.name, str(one.pid))]
        if process is not None and not chosen:
            names = ", ".join(one.name for one in known)
            raise OptionError(f"The cluster {self.name!r} has no process {process!r}: it has {names}.")
        return [log for one in chosen for log in Log.of(one)]

    # -- changing --------------------------------------------------------------------------------------

    def scale(self, nodes: int, force: bool = False) -> Cluster:
        """Have so many nodes on this machine: start more like the first ones, or have the newest leave.

        A node that leaves finishes its tasks first, for up to a minute.

        Parameters
        ----------
        force: have the last one leave too, with which programs here lose their connection, and the cluster its objects.

        Raises
        ------
        OptionError: it cannot have so many, or so few. ClusterStartError: it has ended, or nodes could not be started.
        """
        starting.check_counts(nodes=nodes)
        if nodes == 0 and not force and self.heads and self.nodes:
            raise OptionError(self._last_node_text())
        with registry.alone(self.name) as file:
            if not file.heads:
                raise OptionError(
                    f"The cluster {self.name!r} is one process that ends with its notebook or program: it cannot have "
                    "more nodes. Start another one with 'rustray start --head', or rustray.clusters.start()."
                )
            here = [process for process in living(file.processes, create_time) if process.role == "node"]
            if nodes > len(here):
                starting.add_nodes(file, nodes - len(here))
            ending.end(here[nodes:], signal.SIGUSR1, ending.DRAIN_TIMEOUT_S)
            registry.change(self.name, _without_gone_nodes)
        return self

    def _last_node_text(self) -> str:
        try:
            with self.contact() as asked:
                programs = sum(job["end"] is None for job in asked.query("jobs"))
        except (ClusterStartError, SessionError):
            connected = ""  # what it is asked about is refused in any case
        else:
            connected = f" {counted(programs, 'program')} connected now."
        return (
            f"The cluster {self.name!r} would have no node here: its objects and actors would be lost, and programs "
            f"and notebooks on this machine their connection.{connected} To end it: 'rustray stop {self.name}'. "
            "To have it go on without a node: 'rustray scale 0 --force', scale(0, force=True)."
        )

    def stop(self, drain: bool = False) -> Sequence[Process]:
        """End it: its nodes, then its heads; gives those that had to be killed. Harmless when it has ended.

        Parameters
        ----------
        drain: let the nodes finish the tasks that run on them, for up to a minute.
        """
        try:
            with registry.alone(self.name) as file:
                if file.started != self.started:
                    return []  # it has ended, and another one has its name
                killed = ending.end_in_order(living(file.processes, create_time), drain)
                registry.remove(self.name)
                return killed
        except ClusterStartError:
            if self.state == "stopped":
                return []
            raise

    # -- for reading -----------------------------------------------------------------------------------

    def row(self) -> dict[str, Any]:
        """What is true of it now, as plain values; without its token."""
        state, remark = self._health()
        return {
            "name": self.name,
            "state": state,
            "remark": remark,
            "address": self.address,
            "started": self.started,
            "heads": self.heads,
            "nodes": self.nodes,
            "processes": [
                {"pid": one.pid, "role": one.role, "name": one.name, "folder": one.folder}
                for one in self.processes
            ],
        }

    def facts(self) -> list[tuple[str, str]]:
        """What is true of it now: (name, value) for reading."""
        state, remark = self._health()
        lasts = bool(self._file.heads) or state == "starting"
        return [
            ("state", f"{state}: {remark}" if remark else state),
            ("heads", str(self.heads) if lasts else ""),
            ("nodes", str(self.nodes)),
            ("address", self.address if lasts else "notebook"),
            ("up for", duration(time.time() - self.started)),
        ]

    def __repr__(self) -> str:
        return f"<Cluster {self.name}: " + ", ".join(f"{name} {value}" for name, value in self.facts() if value) + ">"

    def _repr_html_(self) -> str:
        return Clusters([self])._repr_html_()


class Clusters(list[Cluster]):
    """Clusters, with a table as their display in a notebook."""

    def _repr_html_(self) -> str:
        if not self:
            return "<em>No cluster runs here.</em>"
        rows = [dict([("name", cluster.name), *cluster.facts()]) for cluster in self]
        return html_table(rows[0], (row.values() for row in rows))


def _count(processes: Iterable[Process], *roles: str) -> int:
    return sum(process.role in roles for process in processes)


def _without_gone_nodes(file: ConnectionFile) -> ConnectionFile:
    """It has as many as its user has just asked for; a head that is gone is still missed."""
    alive = living(file.processes, create_time)
    return replace(file, processes=tuple(p for p in file.processes if p in alive or p.role == "head"))


def no_cluster(name: str | None) -> ClusterStartError:
    """The error of who looks for one that does not run."""
    if name is None:
        return ClusterStartError(
            "No cluster runs here. Start one: 'rustray start --head', 'jupyter rustray start', or "
            "rustray.clusters.start()."
        )
    known = [file.name for file in registry.files()]
    others = f".{meant(name, known)} There are: {', '.join(known)}" if known else ", nor any other"
    return ClusterStartError(f"No cluster named {name!r} runs here{others}.")
