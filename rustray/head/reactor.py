"""The head: applies what nodes report to the cluster's facts and to the scheduler, and passes on the answers.

`on_<event>` handlers submit commands to the log and tell the scheduler; what those decide goes to the nodes as plain
messages on their links. No I/O and no clock here: `now`, `wall` and the log are given.

Rule 1. What follows from a command is done when it is committed: `submit(command, then)`. In an embedded cluster that
        is at once. One that the log cannot take now, or does not know the outcome of, is submitted again, in the same
        order and under the same operation id.
Rule 2. Messages of one node are handled in order: while a command of one is being committed the next ones wait, but
        for those that touch no fact.
Rule 3. A leader knows the facts and nothing else when it takes office. Leases, demand and clients it learns from the
        nodes' reports; until all nodes of the cluster have reported, or `SETTLE_S` has passed, nothing is granted.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from rustray.cluster import commands
from rustray.driver import failures
from rustray.errors import OptionError, RustRayError
from rustray.head.actors import Actors
from rustray.head.explaining import Explaining
from rustray.head.forecasts import Forecasts
from rustray.head.infeasible import infeasible_text
from rustray.head.keyvalue import KeyValue
from rustray.head.log import Log
from rustray.head.metrics import Metrics
from rustray.head.placement_groups import PlacementGroups
from rustray.head.queries import Queries
from rustray.head.reachability import Reachability
from rustray.model import ids
from rustray.model.resources import Resources
from rustray.scheduler import actions, events
from rustray.scheduler.constraints import Constraint
from rustray.scheduler.core import Scheduler
from rustray.scheduler.prediction import Estimate

Send = Callable[[tuple[Any, ...]], None]
Done = Callable[[], None]

SETTLE_S = 1.0
"""Seconds for which a new leader's first leases wait for the reports of nodes."""
_NOT_NOW = frozenset(("read_only", "busy"))
_UNKNOWN = frozenset(("unknown_outcome", "not_leader"))
"""Errors of the log itself."""
NODE_TIMEOUT_S = 3.0
"""Seconds of silence after which a node is taken for dead."""
JOB_KEYS = ("env", "cwd", "sys_path", "runtime_env")
_TOUCH_NO_FACT = frozenset(
    (
        "class",
        "demand",
        "returned",
        "worker_blocked",
        "worker_unblocked",
        "suspended",
        "resumed",
        "sample",
        "explained",
        "predicted",
        "worker_memory",
        "unreachable",
        # Commands that may follow each other before they are committed: the log keeps their order.
        "create_actor",
        "actor_arguments",
        "job_start",
    )
)


class NodeLink:
    """A node that is connected, and what it has been told.

    `busy` counts its commands that are being committed; `waiting` are the messages behind them.
    """

    __slots__ = ("busy", "classes", "clients", "info", "jobs", "name", "number", "send", "waiting")

    def __init__(self, name: str, number: int, info: dict[str, Any], send: Send) -> None:
        self.name = name
        self.number = number
        self.info = info
        self.send = send
        self.jobs: set[int] = set()
        self.classes: set[bytes] = set()
        self.clients: set[int] = set()
        self.busy = 0
        self.waiting: deque[tuple[tuple[Any, ...], str, Done | None]] = deque()


class Head:
    """The control plane of one cluster, at the head that leads it.

    Parameters
    ----------
    now: monotonic seconds. wall: seconds since the epoch.
    log: takes commands; its `state` has the facts.
    epoch: the number of this leader; leases are numbered by it.
    may_grow: whether nodes may join, so that what no node can run now waits.
    """

    def __init__(
        self,
        now: Callable[[], float],
        wall: Callable[[], float],
        log: Log,
        epoch: int = 1,
        may_grow: bool = False,
    ) -> None:
        self._now = now
        self.wall = wall
        self._log = log
        self.epoch = epoch
        self.may_grow = may_grow
        self.state = log.state
        self.scheduler = Scheduler(first_lease=epoch << 32, recovering=True)
        self.status = self.scheduler.status
        self.actors = Actors(self)
        self.forecasts = Forecasts(self)
        self._explaining = Explaining(self)
        self.metrics = Metrics()
        self._queries = Queries(self)
        self._kv = KeyValue(self)
        self.groups = PlacementGroups(self)
        self.nodes: dict[str, NodeLink] = {}
        self._by_number: dict[int, NodeLink] = {}
        self.node_info: dict[str, dict[str, Any]] = {}
        self._classes: dict[bytes, tuple[int, dict[str, Any]]] = {}
        self._ended_jobs: set[int] = set()
        self._handling: tuple[NodeLink, str, list[int], Done | None] | None = None
        self.over = False
        """Set when another head leads: what is still being committed concerns it no more."""
        self.wake_at: Callable[[float], None] = lambda _time: None
        """Called with the time at which `tick` should be called, when that is sooner than it would be."""
        self.dismiss: Callable[[str, str], None] = self.on_node_lost
        """Called with a linked node that has to go, and why: cuts its link, and calls `on_node_lost`."""
        self._again: list[Callable[[], None]] = []
        """Submits what the log could not take."""
        self._own_commands = 0
        self._reachability = Reachability()
        self._since = now()
        self._settled = False
        self._expected: dict[str, float] = {}
        """Nodes of the facts that have not reported, and when they are given up."""
        self._too_early: list[actions.Infeasible] = []
        """Said before all nodes had reported: the one that is missing may be among them."""
        self._take_over()

    def _take_over(self) -> None:
        """What the facts tell of the time before this leader."""
        deadline = self._since + NODE_TIMEOUT_S
        self._expected = {node.name: deadline for node in self.state.nodes.values() if node.removed is None}
        for job in self.state.jobs.values():
            if job.end is not None:
                self._ended_jobs.add(job.id)
            if job.place:
                self._add_job(job.id, job.options)
        self.groups.take_over()
        self.actors.take_over()
        if not self._expected:
            self._settle()

    def scheduler_time(self) -> float:
        """Now, on the scheduler's clock: monotonic seconds."""
        return self._now()

    # -- commands --------------------------------------------------------------------------------------

    def submit(
        self,
        command: commands.Command,
        then: Callable[[dict[str, Any]], None] = lambda _result: None,
        waits: bool = True,
    ) -> None:
        """Have a command committed; then(result) follows, unless another head leads by then.

        Within the handling of a node's message, that node's next ones wait for it, and the message is acknowledged
        after it.

        Parameters
        ----------
        waits: while the log takes no commands; else `then` is told the error, "read_only" or "busy".
        """
        payload = dict(command.payload)
        handling = self._handling

        def follow(result: dict[str, Any]) -> None:
            self.groups.sweep(result)
            then(result)

        if handling is None:
            if self.may_grow:
                self._own_commands += 1
                payload.setdefault("operation", f"epoch{self.epoch}.{self._own_commands}")
            self._commit(command.op, payload, follow, waits)
            return
        link, operation, open_commands, done = handling
        if operation:
            # The same again if the message is: whoever asks twice is answered twice, and it is done once.
            open_commands[1] += 1
            payload.setdefault("operation", f"{operation}.{open_commands[1]}")
        open_commands[0] += 1
        link.busy += 1

        def committed(result: dict[str, Any]) -> None:
            link.busy -= 1
            open_commands[0] -= 1
            before, self._handling = self._handling, handling
            try:
                follow(result)
            finally:
                self._handling = before
            if not open_commands[0] and done is not None and self._handling is None:
                done()
            if not link.busy and self._handling is None:
                self._go_on(link)

        self._commit(command.op, payload, committed, waits)

    def _commit(
        self, op: str, payload: dict[str, Any], then: Callable[[dict[str, Any]], None], waits: bool
    ) -> None:
        def submit() -> None:
            self._log.submit(op, payload, done)

        def done(result: dict[str, Any]) -> None:
            if self.over:
                return
            error = result.get("error")
            if error in _UNKNOWN or waits and error in _NOT_NOW:
                self._again.append(submit)
            else:
                then(result)

        if self._again and waits:
            self._again.append(submit)  # behind those that came before
        else:
            submit()

    def from_node(
        self, node: str, message: tuple[Any, ...], operation: str = "", done: Done | None = None
    ) -> None:
        """A message of a node's agent: see `node.agent`.

        Parameters
        ----------
        operation: names the message; one that is sent again after a reconnection has the same. "" for those that
            are not.
        done: called when all that the message asks for is committed.
        """
        link = self.nodes[node]
        if (link.busy or link.waiting) and (message[0] not in _TOUCH_NO_FACT or link.waiting):
            link.waiting.append((message, operation, done))
        else:
            self._handle(link, message, operation, done)

    def _go_on(self, link: NodeLink) -> None:
        if self.nodes.get(link.name) is not link:
            # It is lost, or has joined again: then it says once more what was not acknowledged.
            link.waiting.clear()
        while link.waiting and not link.busy:
            self._handle(link, *link.waiting.popleft())

    def _handle(self, link: NodeLink, message: tuple[Any, ...], operation: str, done: Done | None) -> None:
        open_commands = [0, 0]
        self._handling = (link, operation, open_commands, done)
        op, *fields = message
        try:
            for part in (self.actors, self.forecasts, self._explaining):
                if (handler := getattr(part, f"on_{op}", None)) is not None:
                    break
            else:
                handler = getattr(self, f"_on_{op}")
            handler(link.name, *fields)
        finally:
            self._handling = None
        if not open_commands[0] and done is not None:
            done()

    # -- nodes -----------------------------------------------------------------------------------------

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
        known = self.state.nodes.get(name)
        # One whose join was committed and not answered says 0 once more; names are as good as unique.
        number = info.get("number", 0) or (known.number if known is not None and known.removed is None else 0)
        command = commands.add_node(name, address, total, labels, self.wall(), number)
        if name in self._expected:
            self._expected[name] = self._now() + NODE_TIMEOUT_S  # it is there

        def added(result: dict[str, Any]) -> None:
            number = result.get("number", 0)
            if not number:
                refused(result)
                return
            again = name in self.nodes
            link = NodeLink(name, number, info, send)
            if again:
                link.clients = self.nodes[name].clients
            said = report or {}
            link.jobs = set(said.get("jobs", ()))
            then(number)
            self.nodes[name] = self._by_number[number] = link
            self.node_info[name] = info
            for other in self.nodes.values():
                if other is not link:
                    other.send(("node_up", number, name, address))
            for key, job, spec in said.get("classes", ()):
                self._add_class(link, key, job, spec)
            leases = tuple(
                events.LeaseAdopted(lease, key, client, name, blocked, suspended)
                for lease, key, client, blocked, suspended in said.get("leases", ())
            )
            if again:
                self._take_leases(name, leases)
            else:
                self.step(events.NodeAdded(name, total, labels, leases))
            self._take_report(link, said)
            if self._expected.pop(name, None) is not None and not self._expected:
                self._settle()

        self._outside(lambda: self.submit(command, added, waits=False))

    def _outside(self, call: Callable[[], None]) -> None:
        before, self._handling = self._handling, None
        try:
            call()
        finally:
            self._handling = before

    def _take_report(self, link: NodeLink, report: dict[str, Any]) -> None:
        """What the node says is true of it; what it does not say is not."""
        for job in link.jobs:
            fact = self.state.jobs.get(job)
            if fact is None or fact.end is not None:
                link.send(("job_ended", job))
        clients = {client for client, _job in report.get("clients", ())}
        gone = link.clients - clients
        link.clients = clients
        for client in gone:
            self._client_gone(client)
        for fact in list(self.state.jobs.values()):
            if fact.end is None and ids.node_of(fact.client) == link.number and fact.client not in clients:
                self._end_job(fact.id)
        self.actors.take_report(link, report, clients)
        if report.get("draining"):
            self.step(events.NodeDraining(link.name))
        self._take_demands(report, clients)

    def _take_demands(self, report: dict[str, Any], clients: Iterable[int]) -> None:
        told = {(key, client): count for key, client, count in report.get("demands", ())}
        for client in clients:
            for key in self.status.demanded_by(client):
                if (key, client) not in told:
                    self.step(events.Demand(key, client, 0))  # withdrawn while the node was cut off
            for lease in self.status.leaving_of(client):
                self.step(events.OrdersLost(lease))
        for (key, client), count in told.items():
            self.step(events.Demand(key, client, count))

    def _take_leases(self, node: str, leases: Iterable[events.LeaseAdopted]) -> None:
        """The leases of a node that was cut off, as they are."""
        reported = {lease.lease: lease for lease in leases}
        for number in self.status.leases_on(node):
            if number not in reported:
                self.step(events.LeaseReturned(number))
        known = set(self.status.leases_on(node))
        for number, lease in reported.items():
            if number not in known:
                self.step(lease)
                continue
            self.step(events.LeaseBlocked(number) if lease.blocked else events.LeaseUnblocked(number))
            self.step(events.LeaseSuspended(number) if lease.suspended else events.LeaseResumed(number))
            self.step(events.OrdersLost(number))

    def _settle(self) -> None:
        """All expected nodes have reported, or are given up: schedule."""
        if not self._settled:
            self._settled = True
            self.step(events.Recovered())
        if not self._expected:
            members = {node.number for node in self.state.nodes.values() if node.removed is None}
            for job in list(self.state.jobs.values()):
                if job.end is None and ids.node_of(job.client) not in members:
                    # The leader that removed the node did not come to this.
                    self._end_job(job.id, "the node of its driver is gone")
            for action in self._too_early:
                if self.status.explain(action.key, action.client)["state"] == "infeasible":
                    self._infeasible(action)
            self._too_early.clear()
            self.actors.settled()

    def on_node_lost(self, name: str, cause: str) -> None:
        """A node is dead, or has left: its leases, clients, jobs and actors are gone with it."""
        expected = self._expected.pop(name, None)
        node = self.state.nodes.get(name)
        link = self.nodes.pop(name, None)
        if link is not None:
            self._by_number.pop(link.number, None)
        if node is None or node.removed is not None:
            return
        self.metrics.forget(name)

        def removed(result: dict[str, Any]) -> None:
            if "error" in result:
                return  # told twice
            here = self.nodes.get(name)
            if here is not None and here.number == node.number:
                self.dismiss(name, cause)  # it came back before this was committed, and too late
            self._tell_all(("node_down", node.number, cause))
            for old in self.node_info.keys() - self.state.nodes.keys():
                del self.node_info[old]
            self.actors.forget_node(name)
            self.step(events.NodeRemoved(name))
            gone = here or link
            for client in gone.clients if gone is not None else ():
                self._client_gone(client)
            for job in list(self.state.jobs.values()):
                if job.end is None and ids.node_of(job.client) == node.number:
                    self._end_job(job.id, f"the node of its driver is gone: {cause}")
            for actor in (*result["restarting"], *result["dead"]):
                self.actors.after_failure(actor)
            self.actors.end_owned_by_node(node.number)
            if expected is not None and not self._expected:
                self._settle()

        self._outside(lambda: self.submit(commands.remove_node(name, self.wall(), cause), removed))

    def _on_unreachable(self, node: str, others: list[int]) -> None:
        """The node cannot reach these."""
        self._reachability.hear(self._now(), self.nodes[node].number, others)

    def _part(self, now: float) -> None:
        """See to it that all nodes reach each other."""
        if not self._reachability:
            return
        drivers = {ids.node_of(job.client) for job in self.state.jobs.values() if job.end is None}
        decided = self._reachability.decide(now, self._by_number, drivers)
        if decided is not None:
            goes, other = (self._by_number[number].name for number in decided)
            self.dismiss(goes, f"{other} and it could not reach each other")

    def _on_draining(self, node: str) -> None:
        """The node takes nothing new: it will leave when what runs on it has ended."""
        self.step(events.NodeDraining(node))

    def tick(self) -> None:
        """Time has passed."""
        now = self._now()
        again, self._again = self._again, []
        for submit in again:
            submit()
        if not self._settled and now - self._since >= SETTLE_S:
            self._settle()
        for name, deadline in list(self._expected.items()):
            if now >= deadline:
                self.on_node_lost(name, "it has not come back since the head that led before was lost")
        self._part(now)
        self.actors.tick(now)
        self._explaining.tick(now)
        self.step(events.Tick())

    # -- the scheduler ---------------------------------------------------------------------------------

    def step(self, event: events.Event) -> None:
        """Tell the scheduler, and pass on what it decides."""
        for action in self.scheduler.step(event, self._now()):
            _CARRY_OUT[type(action)](self, action)
        wake = self.scheduler.next_wake()
        if wake is not None:
            self.wake_at(wake)

    def _grant(self, action: actions.Grant) -> None:
        link = self.nodes.get(action.node)
        if link is None:
            return  # it is being removed, and its leases with it
        if self.actors.start(action, link):
            return
        job, spec = self._classes[action.key]
        if not self.acquaint(link, job):
            return  # it has ended this moment, and its leases with it
        if action.key not in link.classes:
            link.classes.add(action.key)
            link.send(("class", action.key, job, spec))
        link.send(("grant", action.lease, action.key, action.client))

    def acquaint(self, link: NodeLink, job: int) -> bool:
        """See to it that the node knows the job before it is sent something of it; False if the job is over."""
        if not self.state.jobs[job].place:
            return False
        if job not in link.jobs:
            link.jobs.add(job)
            fact = self.state.jobs[job]
            place = {**marshal.loads(fact.place), "session": {"namespace": fact.namespace}}
            link.send(("job", job, fact.client, place, fact.end is not None))
        return True

    def _revoke(self, action: actions.Revoke) -> None:
        self.to_client(action.client, ("revoke", action.lease, action.client))

    def _to_node(self, node: str, message: tuple[Any, ...]) -> None:
        link = self.nodes.get(node)
        if link is not None:
            link.send(message)

    def to_client(self, client: int, message: tuple[Any, ...]) -> None:
        """Send to the node of a client; one whose node is gone needs nothing any more."""
        link = self._by_number.get(ids.node_of(client))
        if link is not None:
            link.send(message)

    def _tell_all(self, message: tuple[Any, ...]) -> None:
        for link in self.nodes.values():
            link.send(message)

    def _infeasible(self, action: actions.Infeasible) -> None:
        if self.may_grow and not self._is_bound(action.key):
            return  # a node that has it may join; whoever waits for long is told what for
        if self._expected:
            self._too_early.append(action)
            return
        text = infeasible_text(action)
        if not self.actors.infeasible(action.key, text):
            self.to_client(action.client, ("infeasible", action.key, action.client, text))

    def _is_bound(self, key: bytes) -> bool:
        """Whether the class may run on a node or in a group only that will never be there again."""
        spec = self.actors.specs.get(key) or self._classes[key][1]
        constraint = Constraint.of(spec.get("constraint"))
        return bool(constraint.node and not constraint.soft) or bool(constraint.group)

    # -- jobs and classes ------------------------------------------------------------------------------

    def _on_job_start(self, node: str, client: int, info: dict[str, Any]) -> None:
        options = info.get("options") or {}
        place = marshal.dumps({key: info.get(key) for key in JOB_KEYS})
        name, namespace = info.get("name", ""), info.get("namespace") or ""
        command = commands.start_job(client, name, namespace, place, self.wall(), options)
        if not self._handling or not self._handling[1]:
            command = command.once(f"job of client {client}")
        self.nodes[node].clients.add(client)

        def started(result: dict[str, Any]) -> None:
            job = result["job"]
            link = self.nodes.get(node)
            if link is None:
                return  # the node is lost, and its jobs are ended
            self._add_job(job, options)
            link.jobs.add(job)
            link.send(("job_started", client, job, {"namespace": self.state.jobs[job].namespace}))

        self.submit(command, started)

    def _add_job(self, job: int, options: dict[str, Any]) -> None:
        self.step(events.JobAdded(job, **options))

    def _on_job_end(self, _node: str, job: int) -> None:
        self._end_job(job)

    def _end_job(self, job: int, cause: str = "its driver has ended") -> None:
        def ended(result: dict[str, Any]) -> None:
            for actor in result.get("killed", ()):
                self.actors.tell_dead(actor)
            self._ended_jobs.add(job)
            for link in self.nodes.values():
                if job in link.jobs:
                    link.jobs.discard(job)
                    link.send(("job_ended", job))
            self.forget_job(job)

        self.submit(commands.end_job(job, self.wall(), cause), ended)

    def forget_job(self, job: int) -> None:
        """A detached actor of the job may still submit tasks of the job's classes."""
        if job in self._ended_jobs and not self.actors.lives(job):
            self._ended_jobs.discard(job)
            self.step(events.JobEnded(job))
            gone = [key for key, (of, _spec) in self._classes.items() if of == job]
            for key in gone:
                del self._classes[key]
            for link in self.nodes.values():
                link.classes.difference_update(gone)

    def _on_class(self, node: str, key: bytes, job: int, spec: dict[str, Any], client: int = 0) -> None:
        self._add_class(self.nodes[node], key, job, spec)
        if client:
            self.forecasts.tell_client(client, key, spec)

    def _add_class(self, link: NodeLink, key: bytes, job: int, spec: dict[str, Any]) -> None:
        link.classes.add(key)
        if key in self._classes or "incarnation" in spec:
            return
        event = class_event(key, job, spec, self.forecasts.of(spec))
        self._classes[key] = (job, spec)
        self.step(event)

    def spec_of(self, key: bytes) -> dict[str, Any] | None:
        """What is known of a class of tasks."""
        return self._classes[key][1] if key in self._classes else None

    def specs(self) -> list[tuple[bytes, dict[str, Any]]]:
        """All classes of tasks."""
        return [(key, spec) for key, (_job, spec) in self._classes.items()]

    def _on_demand(
        self, node: str, key: bytes, client: int, count: int, near: dict[int, int] | None = None
    ) -> None:
        """`near`: bytes of the tasks' arguments by the number of the node that has them."""
        self.nodes[node].clients.add(client)
        places: dict[str, int] | None = None
        if near:
            links = self._by_number
            places = {links[number].name: size for number, size in near.items() if number in links}
        self.step(events.Demand(key, client, count, places))

    def _on_returned(self, _node: str, lease: int) -> None:
        self.step(events.LeaseReturned(lease))

    def _on_worker_blocked(self, _node: str, lease: int) -> None:
        self.step(events.LeaseBlocked(lease))

    def _on_worker_unblocked(self, _node: str, lease: int) -> None:
        self.step(events.LeaseUnblocked(lease))

    def _on_suspended(self, _node: str, lease: int, memory: int) -> None:
        self.step(events.LeaseMemory(lease, memory))
        self.step(events.LeaseSuspended(lease))

    def _on_resumed(self, _node: str, lease: int) -> None:
        self.step(events.LeaseResumed(lease))

    def _on_sample(self, node: str, sample: dict[str, Any]) -> None:
        self.step(events.NodeMemory(node, int(sample["memory_total"] - sample["memory"])))
        waiting = sum(row["wanted"] - row["held"] for row in self.status.waiting())
        self.metrics.add(node, sample, self.status.idle_leases(), waiting)

    def _on_client_gone(self, node: str, client: int) -> None:
        self.nodes[node].clients.discard(client)
        self._client_gone(client)

    def _client_gone(self, client: int) -> None:
        self.step(events.ClientGone(client))
        self.actors.client_gone(client)

    # -- questions -------------------------------------------------------------------------------------

    def _on_query(self, _node: str, client: int, request: int, what: str, args: tuple[Any, ...]) -> None:
        def answered(ok: bool, value: Any) -> None:
            self.to_client(client, ("answer", client, request, ok, value))

        self.ask(what, args, answered)

    def ask(self, what: str, args: Iterable[Any], answered: Callable[[bool, Any], None]) -> None:
        """Answer a question: answered(True, plain value) or answered(False, packed error), at once or when what it
        asks for is committed."""
        try:
            for part in (self._kv, self.groups, self._explaining):
                if (submit := getattr(part, f"ask_{what}", None)) is not None:
                    submit(answered, *args)
                    return
            answer = getattr(self._queries, what, None) if not what.startswith("_") else None
            if answer is None:
                raise OptionError(f"The cluster cannot be asked for {what!r}.")
            value = answer(*args)
        except RustRayError as error:
            answered(False, failures.typed(error))
            return
        answered(True, value)


_CARRY_OUT: dict[type[Any], Callable[[Head, Any], None]] = {
    actions.Grant: Head._grant,
    actions.Revoke: Head._revoke,
    actions.Infeasible: Head._infeasible,
    actions.Suspend: lambda head, action: head._to_node(action.node, ("suspend", action.lease)),
    actions.Resume: lambda head, action: head._to_node(action.node, ("resume", action.lease)),
    actions.GroupPlaced: lambda head, action: head.groups.placed(action),
    actions.GroupRescheduling: lambda _head, _action: None,  # the facts know it since the node is gone
    actions.Requeue: lambda head, action: head._to_node(action.node, ("requeue", action.lease)),
    actions.Evict: lambda head, action: head._to_node(action.node, ("evict", action.lease, action.reason)),
}


def class_event(key: bytes, job: int, spec: dict[str, Any], estimate: Estimate | None) -> events.ClassAdded:
    """What the scheduler is told of a class of tasks."""
    return events.ClassAdded(
        key,
        job,
        spec["name"],
        resources_of(spec["resources"]),
        predicted=estimate.run_s if estimate is not None else None,
        predicted_memory=estimate.memory if estimate is not None else 0,
        priority=spec.get("priority", 0),
        preemptible=spec.get("preemptible", True),
        retriable=spec.get("retriable", False),
        constraint=Constraint.of(spec.get("constraint")),
    )


def resources_of(amounts: dict[str, float]) -> Resources:
    """Resources from {"CPU": 1.0, ..., custom names}."""
    custom = {name: amount for name, amount in amounts.items() if name not in ("CPU", "GPU", "memory")}
    return Resources.of(
        cpu=amounts.get("CPU", 0.0),
        gpu=amounts.get("GPU", 0.0),
        memory=amounts.get("memory", 0.0),
        custom=custom,
    )
