"""Nodes of the cluster: they join and report, are lost, and go when they cannot reach each other.

A leader knows the facts and nothing else when it takes office. Leases, demand and clients it learns from the nodes'
reports; until all nodes of the cluster have reported, or `SETTLE_S` has passed, nothing is granted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rustray.cluster import commands
from rustray.cluster.state import ClusterState
from rustray.head.actor_recovery import ActorRecovery
from rustray.head.actor_starts import ActorStarts
from rustray.head.actors import Actors
from rustray.head.commits import Commits
from rustray.head.infeasible import Refusals
from rustray.head.jobs import Jobs
from rustray.head.leases import Leases
from rustray.head.measurements import Measurements
from rustray.head.node_links import NodeLink, NodeLinks, Send
from rustray.head.reachability import Reachability
from rustray.head.scheduling import Scheduling
from rustray.head.task_classes import resources_of
from rustray.model import ids
from rustray.scheduler import events

SETTLE_S = 1.0
"""Seconds for which a new leader's first leases wait for the reports of nodes."""
NODE_TIMEOUT_S = 3.0
"""Seconds of silence after which a node is taken for dead."""


class Membership:
    """Which nodes belong to the cluster.

    Parameters
    ----------
    now: monotonic seconds. wall: seconds since the epoch.

    Attributes
    ----------
    settled: whether the scheduler grants leases.
    dismiss: called with a linked node that has to go, and why: cuts its link, and calls `on_node_lost`.
    """

    def __init__(
        self,
        state: ClusterState,
        now: Callable[[], float],
        wall: Callable[[], float],
        commits: Commits,
        nodes: NodeLinks,
        scheduling: Scheduling,
        measured: Measurements,
        jobs: Jobs,
        leases: Leases,
        actors: Actors,
        starts: ActorStarts,
        recovery: ActorRecovery,
        refusals: Refusals,
    ) -> None:
        self._state = state
        self._now = now
        self._wall = wall
        self._commits = commits
        self._nodes = nodes
        self._scheduling = scheduling
        self._measured = measured
        self._jobs = jobs
        self._leases = leases
        self._actors = actors
        self._starts = starts
        self._recovery = recovery
        self._refusals = refusals
        self._reachability = Reachability()
        self._since = now()
        self.settled = False
        self._expected: dict[str, float] = {}
        """Nodes of the facts that have not reported, and when they are given up."""
        self.dismiss: Callable[[str, str], None] = self.on_node_lost

    def take_over(self) -> None:
        """Wait for the nodes that the facts tell of."""
        deadline = self._since + NODE_TIMEOUT_S
        self._expected = {node.name: deadline for node in self._state.nodes.values() if node.removed is None}
        if not self._expected:
            self._settle()

    # -- joining ---------------------------------------------------------------------------------------

    def on_node_up(
        self,
        name: str,
        resources: dict[str, float],
        labels: dict[str, str],
        info: dict[str, Any],
        send: Send,
        then: Callable[[int], None] = lambda _number: None,
        refused: Callable[[dict[str, Any]], None] = lambda _result: None,
        report: dict[str, Any] | None = None,
    ) -> None:
        """A node joins with what it offers, for the first time or again after its link was cut.

        Parameters
        ----------
        then: called with the node's number before anything is sent to it.
        refused: called with the log's error: the node was removed, or the log could not take it now.
        report: what is true on it now, see `node.report`; None when it is new.
        """
        total = resources_of(resources)
        address = info.get("address", "")
        known = self._state.nodes.get(name)
        # One whose join was committed and not answered says 0 once more; names are as good as unique.
        number = info.get("number", 0) or (known.number if known is not None and known.removed is None else 0)
        if name in self._expected:
            self._expected[name] = self._now() + NODE_TIMEOUT_S  # it is there
        said = report or {}

        def added(result: dict[str, Any]) -> None:
            number = result.get("number", 0)
            if not number:
                refused(result)
                return
            before = self._nodes.get(name)
            link = NodeLink(name, number, info, send)
            if before is not None:
                link.clients = before.clients
            link.jobs = set(said.get("jobs", ()))
            then(number)
            self._nodes.add(link)
            self._nodes.to_all(("node_up", number, name, address), but=link)
            self._leases.take_classes(link, said.get("classes", ()))
            leases = tuple(
                events.LeaseAdopted(lease, key, client, name, blocked, suspended)
                for lease, key, client, blocked, suspended in said.get("leases", ())
            )
            self._starts.exits_are_coming(name, said.get("exits", ()))
            if before is not None:
                self._leases.take_leases(name, leases)
            else:
                self._scheduling.step(events.NodeAdded(name, total, labels, leases))
            self._take_report(link, said)
            if self._expected.pop(name, None) is not None and not self._expected:
                self._settle()

        command = commands.add_node(name, address, total, labels, self._wall(), number)
        self._commits.submit_apart(command, added, waits=False)

    def _take_report(self, link: NodeLink, report: dict[str, Any]) -> None:
        """What the node says is true of it; what it does not say is not."""
        for job in link.jobs:
            fact = self._state.jobs.get(job)
            if fact is None or fact.end is not None:
                link.send(("job_ended", job))
        clients = {client for client, _job in report.get("clients", ())}
        gone = link.clients - clients
        link.clients = clients
        for client in gone:
            self._client_gone(client)
        for fact in list(self._state.jobs.values()):
            if fact.end is None and ids.node_of(fact.client) == link.number and fact.client not in clients:
                self._jobs.end(fact.id)
        self._recovery.take_report(link, report, clients)
        if report.get("draining"):
            self._scheduling.step(events.NodeDraining(link.name))
        self._leases.take_demands(report, clients)

    def _settle(self) -> None:
        """All expected nodes have reported, or are given up: schedule."""
        if not self.settled:
            self.settled = True
            self._scheduling.step(events.Recovered())
        if not self._expected:
            members = {node.number for node in self._state.nodes.values() if node.removed is None}
            for job in list(self._state.jobs.values()):
                if job.end is None and ids.node_of(job.client) not in members:
                    # The leader that removed the node did not come to this.
                    self._jobs.end(job.id, "the node of its driver is gone")
            self._refusals.all_are_here()
            self._recovery.settled()

    # -- being there -----------------------------------------------------------------------------------

    def on_draining(self, node: str) -> None:
        """The node takes nothing new: it will leave when what runs on it has ended."""
        self._scheduling.step(events.NodeDraining(node))

    def on_client_gone(self, node: str, client: int) -> None:
        """A driver or worker has ended."""
        self._nodes[node].clients.discard(client)
        self._client_gone(client)

    def _client_gone(self, client: int) -> None:
        self._scheduling.step(events.ClientGone(client))
        self._actors.client_gone(client)

    def on_unreachable(self, node: str, others: list[int]) -> None:
        """The node cannot reach these."""
        self._reachability.hear(self._now(), self._nodes[node].number, others)

    def tick(self, now: float) -> None:
        """Who has not come back is given up, and of nodes that cannot reach each other one goes."""
        if not self.settled and now - self._since >= SETTLE_S:
            self._settle()
        for name, deadline in list(self._expected.items()):
            if now >= deadline:
                self.on_node_lost(name, "it has not come back since the head that led before was lost")
        if self._reachability:
            drivers = {ids.node_of(job.client) for job in self._state.jobs.values() if job.end is None}
            decided = self._reachability.decide(now, self._nodes.numbers, drivers)
            if decided is not None:
                goes, other = (link.name for n in decided if (link := self._nodes.numbered(n)) is not None)
                self.dismiss(goes, f"{other} and it could not reach each other")

    # -- going -----------------------------------------------------------------------------------------

    def on_node_lost(self, name: str, cause: str) -> None:
        """A node is dead, or has left: its leases, clients, jobs and actors are gone with it."""
        expected = self._expected.pop(name, None)
        node = self._state.nodes.get(name)
        link = self._nodes.remove(name)
        if node is None or node.removed is not None:
            return
        self._measured.forget(name)

        def removed(result: dict[str, Any]) -> None:
            if "error" in result:
                return  # told twice
            here = self._nodes.get(name)
            if here is not None and here.number == node.number:
                self.dismiss(name, cause)  # it came back before this was committed, and too late
            self._nodes.to_all(("node_down", node.number, cause))
            for old in self._nodes.info.keys() - self._state.nodes.keys():
                del self._nodes.info[old]
            self._recovery.forget_node(name)
            self._scheduling.step(events.NodeRemoved(name))
            gone = here or link
            for client in gone.clients if gone is not None else ():
                self._client_gone(client)
            self._leases.forget_users(name)
            for job in list(self._state.jobs.values()):
                if job.end is None and ids.node_of(job.client) == node.number:
                    self._jobs.end(job.id, f"the node of its driver is gone: {cause}")
            for actor in (*result["restarting"], *result["dead"]):
                self._actors.after_failure(actor)
            self._recovery.end_owned_by_node(node.number)
            if expected is not None and not self._expected:
                self._settle()

        self._commits.submit_apart(commands.remove_node(name, self._wall(), cause), removed)
