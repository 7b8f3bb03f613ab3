"""Placement groups: bundles of resources that are reserved together, all or none.

Rule 1. A group that fits somewhere as it is takes its room at once. Of those that do not, one at a time gathers: each
        of its bundles waits for room on a node chosen for it, and keeps what it has got. So groups never wait for each
        other in a circle, and one that has begun to gather is not starved by others, however small.
Rule 2. Nothing runs in a group before all of its bundles have room. Afterwards, when a node is lost, what is on the
        other nodes goes on, and the lost bundles are placed anew.
Rule 3. The room of a removed group is given back when the last lease in it has come back.
Rule 4. PACK and SPREAD are met as well as room allows. Where idle leases, or what is left of a removed group, are all
        that is in the way of meeting them better, the group asks for that and waits a moment (`SETTLES`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from rustray.model import labels as label_rules
from rustray.model.resources import Resources
from rustray.scheduler import packing, rooms
from rustray.scheduler.actions import Action, Evict, GroupPlaced, GroupRescheduling
from rustray.scheduler.bundles import Bundle, Group, Reservations
from rustray.scheduler.domain import Domain
from rustray.scheduler.events import PlacementGroupAdded
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.records import NOTHING, Lease, Node, Shape, visible

TRIES = 8
"""Waiting groups for which room is looked for in one step."""
SETTLES = 0.25
"""Seconds after which a group takes a place that meets its strategy less well: an idle lease is back within some
milliseconds of being asked for, and a killed worker's too, on a busy machine within some tens."""
REMOVED_KEPT = 10_000


class Groups:
    """The placement groups of a cluster.

    Parameters: book: where their reservations are. say: takes actions. revoke: asks for a lease, with the reason.
    """

    def __init__(
        self, book: LeaseBook, say: Callable[[Action], None], revoke: Callable[[Lease, str], None]
    ) -> None:
        self._book = book
        self._say = say
        self._revoke = revoke
        self._reservations = Reservations(book)
        self._groups: dict[bytes, Group] = {}
        self._waiting: dict[Group, None] = {}  # the one that has waited longest first
        self._never: dict[Group, None] = {}  # no room even in an empty cluster: looked at when a node joins
        self._gathering: Group | None = None
        self._settling: dict[Group, float] = {}  # those that wait for a better place, and until when
        self.doomed: dict[Bundle, None] = {}  # of removed groups, with leases that have not come back

    # -- groups come and go

    def add(self, event: PlacementGroupAdded) -> None:
        """A group was made; `place` looks for room. Told again, nothing changes."""
        nodes = self._book.nodes
        if event.group in self._groups or event.group in nodes.removed_groups:
            return
        domain = nodes.groups.setdefault(event.group, Domain())
        group = self._groups[event.group] = Group(event.group, event.job, event.strategy, domain)
        for index, request in enumerate(event.bundles):
            selector = event.selectors[index] if event.selectors else ()
            group.add_bundle(request, selector, event.nodes[index] if event.nodes else "")
        group.told = bool(event.nodes) and all(event.nodes)
        for shape in self._shapes(group):
            self._book.nodes.count_hosts(shape)
        if group.missing:
            self._waiting[group] = None
        for name in {bundle.expected for bundle in group.bundles}:
            if (node_ := nodes.by_name.get(name)) is not None:
                self.node_added(node_)

    def remove(self, identity: bytes) -> list[Shape]:
        """A group is no more: what runs in it is to be killed. Returns the shapes that can run nowhere now."""
        nodes = self._book.nodes
        nodes.removed_groups[identity] = None
        while len(nodes.removed_groups) > REMOVED_KEPT:
            del nodes.removed_groups[next(iter(nodes.removed_groups))]
        domain = nodes.groups.pop(identity, None)
        group = self._groups.pop(identity, None)
        if group is not None:
            self._waiting.pop(group, None)
            self._never.pop(group, None)
            self._settling.pop(group, None)
            if self._gathering is group:
                self._gathering = None
            for bundle in group.bundles:
                self._close(bundle)
        shapes = [shape for shape in self._book.shapes.values() if shape.constraint.group == identity]
        for shape in shapes:
            if domain is not None:
                nodes.count_hosts(shape)
        return shapes

    def remove_job(self, job: int) -> list[Shape]:
        """A job has ended, and with it what it has reserved. Returns the shapes that can run nowhere now."""
        ended = [group.id for group in self._groups.values() if group.job == job]
        return [shape for identity in ended for shape in self.remove(identity)]

    def _close(self, bundle: Bundle) -> None:
        node = bundle.node
        node.draining = True
        for promise in list(node.promises):
            self._book.break_promise(promise)
        for lease in (*node.leases.values(), *node.leaving.values(), *node.parked.values()):
            self._say(Evict(lease.number, node.name, "its placement group was removed"))
            self.doomed[bundle] = None
        if bundle not in self.doomed:
            self._reservations.give_up(bundle)

    def sweep(self) -> None:
        """Give back the room of removed groups in which nothing runs any more."""
        for bundle in list(self.doomed):
            if not bundle.node.leases and not bundle.node.leaving and not bundle.node.parked:
                del self.doomed[bundle]
                self._reservations.give_up(bundle)

    def _shapes(self, group: Group) -> list[Shape]:
        return [shape for shape in self._book.shapes.values() if shape.domain is group.domain]

    # -- nodes come and go

    def node_added(self, host: Node) -> None:
        """A node is there: what an earlier leader reserved on it is reserved before anything else is granted."""
        for group in self._groups.values():
            for bundle in group.bundles:
                if bundle.expected != host.name:
                    continue
                bundle.expected = ""
                if bundle.request.fits(host.open):
                    self._reservations.take(bundle, host)
                    self._reservations.open(bundle)
                else:  # it has come back smaller than it was
                    self._lose(group, [bundle.index])
        for group in list(self._never):
            del self._never[group]
            self._waiting[group] = None

    def node_lost(self, name: str) -> None:
        """A node is going: the bundles on it, and all that runs in them, are lost. It is still in the book."""
        lost: dict[Group, list[int]] = {}
        for group in self._groups.values():
            for bundle in group.bundles:
                if bundle.expected == name:
                    bundle.expected = ""
                elif bundle.host is None or bundle.host.name != name:
                    continue
                self._reservations.empty(bundle)
                self._reservations.give_up(bundle)
                lost.setdefault(group, []).append(bundle.index)
        for bundle in list(self.doomed):
            if bundle.host is not None and bundle.host.name == name:
                self._reservations.empty(bundle)
        self.sweep()
        for group, indices in lost.items():
            if group is self._gathering:
                self._stop_gathering()
            self._lose(group, indices)

    def _lose(self, group: Group, indices: list[int]) -> None:
        if group.told:
            group.told = False
            self._say(GroupRescheduling(group.id, indices))
        self._never.pop(group, None)
        self._waiting = {group: None, **self._waiting}  # it has waited once

    # -- room

    @property
    def settling(self) -> bool:
        """Whether a group waits for a better place: what comes back may be that."""
        return bool(self._settling)

    def next_wake(self) -> float:
        """When `place` is to be called at the latest, so that no group waits too long for a better place."""
        return min((until for until in self._settling.values() if until > self._book.now), default=inf)

    def place(self) -> bool:
        """Find room for groups that wait for it; whether that changed what any node has open."""
        if not self._waiting:
            return False
        changed = False
        nodes = sorted(self._nodes(), key=Node.load)
        in_time: rooms.Room = {}
        for group in list(self._waiting)[:TRIES]:
            gathering = group if group is self._gathering else None
            if (plan := self._plan(group, rooms.now(nodes, gathering))) is not None:
                if gathering is not None or not self._rather_waits(group, plan, nodes):
                    self._take(group, plan)
                    changed, in_time = True, {}
            elif gathering is not None:
                if not self._may_gather():
                    self._stop_gathering()
                    changed = True
            elif self._gathering is None:
                in_time = in_time or {node: rooms.in_time(node) for node in nodes}
                if self._gather(group, in_time):
                    changed = True
                else:
                    self._postpone(group, nodes)
        return changed

    def _take(self, group: Group, plan: Mapping[Bundle, Node]) -> None:
        """Place all that is missing of a group, where there is room just now."""
        if group is self._gathering:
            self._stop_gathering()
        for bundle, host in plan.items():
            self._reservations.take(bundle, host)
        self._complete(group)

    def _rather_waits(self, group: Group, plan: Mapping[Bundle, Node], nodes: list[Node]) -> bool:
        """Rule 4."""
        now = self._book.now
        if group.strategy not in (packing.PACK, packing.SPREAD) or now >= self._settling.get(group, inf):
            return False
        better = self._plan(group, rooms.soon(self._book, nodes, self.doomed))
        placed = [bundle.host for bundle in group.bundles if bundle.node.placed]
        if better is None or not packing.better(
            group.strategy, [*placed, *better.values()], [*placed, *plan.values()]
        ):
            return False
        self._settling.setdefault(group, now + SETTLES)
        wanted: dict[Node, dict[str, int]] = {}
        for bundle, host in better.items():
            rooms.add(wanted.setdefault(host, {}), bundle.request)
        for bundle in self.doomed:
            if bundle.host in wanted:
                rooms.add(wanted[bundle.host], NOTHING - bundle.request)
        for lease in list(rooms.idle(self._book)):
            lacking = lease.node.lacks(Resources(wanted.get(lease.node)))
            if any(name in lease.hold for name in lacking):
                self._revoke(lease, "a placement group")
        return True

    def _gather(self, group: Group, room: rooms.Room) -> bool:
        """Have each missing bundle wait for room on a node where it can get it in time."""
        plan = self._plan(group, room)
        if plan is None:
            return False
        self._gathering = group
        for bundle, host in plan.items():
            self._reservations.ask(bundle, host)
        return True

    def _postpone(self, group: Group, nodes: list[Node]) -> None:
        """Actors or other groups are in its way, so others go first; or it could not be placed in an empty cluster."""
        del self._waiting[group]
        never = self._plan(group, {node: node.total for node in nodes}) is None
        (self._never if never else self._waiting)[group] = None

    def _may_gather(self) -> bool:
        """Whether the chosen nodes can still give what they have not given yet."""
        assert self._gathering is not None
        wanted: dict[Node, dict[str, int]] = {}
        for bundle in self._gathering.missing:
            if bundle.host is None or bundle.host.draining:
                return False
            if bundle.lease is None:
                rooms.add(wanted.setdefault(bundle.host, {}), bundle.request)
        return all(Resources(sums).fits(rooms.in_time(host)) for host, sums in wanted.items())

    def _stop_gathering(self) -> None:
        assert self._gathering is not None
        group, self._gathering = self._gathering, None
        for bundle in group.missing:
            self._reservations.give_up(bundle)

    def _nodes(self) -> list[Node]:
        return [node for node in self._book.nodes.by_name.values() if not node.draining]

    def _plan(self, group: Group, room: rooms.Room) -> dict[Bundle, Node] | None:
        taken: dict[Node, int] = {}
        for bundle in group.bundles:
            if bundle.node.placed and bundle.host is not None:
                taken[bundle.host] = taken.get(bundle.host, 0) + 1
            elif bundle.expected:
                return None  # where it is shows when its node comes, or is given up
        selectors = {bundle.index: bundle.selector for bundle in group.bundles}
        bundles = packing.Bundles(
            {bundle.index: bundle.request for bundle in group.missing},
            lambda index, node: label_rules.meets(node.labels, selectors[index]),
            taken,
        )
        plan = packing.plan(group.strategy, bundles, room)
        return None if plan is None else {group.bundles[index]: node for index, node in plan.items()}

    def reserves(self, lease: Lease) -> bool:
        """Whether a lease is a bundle's reservation, of which nodes and clients know nothing."""
        return self._reservations.of(lease) is not None

    def reserved(self, lease: Lease) -> bool:
        """Whether a new lease is a bundle's reservation; with the last of a group's the group is placed."""
        bundle = self._reservations.of(lease)
        if bundle is None:
            return False
        if all(other.lease is not None for other in bundle.group.missing):
            self._complete(bundle.group)
        return True

    def _complete(self, group: Group) -> None:
        for bundle in group.missing:
            self._reservations.open(bundle)
        if self._gathering is group:
            self._gathering = None
        self._waiting.pop(group, None)
        self._settling.pop(group, None)
        group.told = True
        self._say(GroupPlaced(group.id, [bundle.node.name for bundle in group.bundles]))

    # -- questions

    def place_of(self, shape: Shape, node: Node) -> Node | None:
        """Where on a node leases of the shape lie: the node itself, or a bundle on it."""
        if not shape.constraint.group:
            return node
        there = [at for at in self._book.nodes.hosts(shape) if at.placed and at.host is node]
        return next((at for at in there if shape.request.fits(at.free)), there[0] if there else None)

    def waits_for(self, identity: bytes) -> str:
        """Why a group has no room, for people; "" if it has, or is not known."""
        group = self._groups.get(identity)
        if group is None or not group.missing:
            return ""
        if group is self._gathering:
            got = sum(bundle.lease is not None for bundle in group.missing)
            return f"{got} of {len(group.missing)} bundles have room; the others wait for what runs in their place"
        if group not in self._never:
            return "there is no room for all of its bundles now; other groups are served first"
        for bundle in group.missing:
            fitting = [n for n in self._nodes() if label_rules.meets(n.labels, bundle.selector)]
            if not fitting:
                wanted = " and ".join(map(label_rules.told, bundle.selector))
                return f"no node has {wanted}" if wanted else "there is no node"
            if not any(bundle.request.fits(node.total) for node in fitting):
                return f"no node has {_told(bundle.request)} for bundle {bundle.index}"
        needed = {
            packing.STRICT_PACK: "no node has room for all of its bundles",
            packing.STRICT_SPREAD: f"it needs {len(group.bundles)} nodes that each have room for a bundle",
        }
        return needed.get(
            group.strategy, "all nodes together have no room for its bundles, even if they were empty"
        )


def _told(request: Resources) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in visible(request).items())
