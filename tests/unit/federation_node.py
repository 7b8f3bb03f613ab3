"""A node of the federation world: a real ledger in a shell without I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rustray.model.ids import node_client
from rustray.store import actions as act
from rustray.store.allocator import MIB, PAGE
from rustray.store.entries import LOST, UNKNOWN
from rustray.store.ledger import Ledger
from tests.unit.federation_process import Process

if TYPE_CHECKING:
    from tests.unit.federation_world import World

Tag = tuple[bytes, int]
"""An object and which of its values: a task that is repeated may make another one."""


class NodeSim:
    """A node's shell without I/O. Memory and files hold the tag of the value that was written there."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.ledger = Ledger(world.random.choice([1, 2, 8]) * MIB)
        self.ledger.federation.join(number, world.nodes)
        self.processes: dict[int, Process] = {}
        self.memory: dict[tuple[int, int], Tag] = {}
        self.files: dict[str, Tag] = {}
        self.segments: set[int] = set()
        self.jobs: list[Callable[[], list[act.Action]]] = []
        self.short: set[bytes] = set()
        self.clients = node_client(number)
        self.numbers = 0
        self.gone = False
        table = self.ledger._table
        free = table._free

        def checked_free(entry: Any, out: list[act.Action]) -> None:
            if entry.state != UNKNOWN and (entry.away is None or not entry.away.home):
                world.check_freed(entry.oid)
            free(entry, out)

        table._free = checked_free  # type: ignore[method-assign]
        enter = table.enter

        def counted_enter(entry: Any, state: int) -> None:
            if state == LOST:
                world.seen["lost"] += 1
            enter(entry, state)

        table.enter = counted_enter  # type: ignore[method-assign]

    def connect(self) -> Process:
        self.clients += 1
        process = self.processes[self.clients] = Process(self, self.clients)
        self.do(self.ledger.connect(process.number))
        return process

    @property
    def busy(self) -> bool:
        """Whether tasks run here, or something that was said here has not left."""
        links = self.world.links
        if any(link for key, link in links.items() if key[0] == self.number):
            return True
        return any(p.running or p.lease or p.socket for p in self.processes.values())

    def work(self) -> None:
        self.do(self.jobs.pop(self.world.random.randrange(len(self.jobs)))())

    def write(self, segment: int, offset: int, size: int, tag: Tag) -> None:
        assert segment in self.segments
        pages = range(offset // PAGE, -(-(offset + size) // PAGE))
        for process in self.processes.values():
            for oid, (other, start, length) in process.readings.items():
                if other == segment and start < offset + size and offset < start + length:
                    assert not process.has(oid) or oid in self.world.tainted, "written over under a reader"
        for page in pages:
            self.memory[segment, page] = tag

    def read(self, segment: int, offset: int, size: int) -> Tag:
        assert segment in self.segments
        pages = range(offset // PAGE, -(-(offset + size) // PAGE))
        [tag] = {self.memory[segment, page] for page in pages}
        return tag

    def do(self, actions: list[act.Action]) -> None:
        for action in actions:
            self.world.seen[type(action).__name__] += 1
            getattr(self, "on_" + type(action).__name__)(action)
        if self.world.random.random() < 0.02:
            self.ledger.sanity_check()

    def on_Tell(self, action: act.Tell) -> None:
        self.world.send(self.number, action.node, "ledger", action.message)

    def on_CreateSegment(self, action: act.CreateSegment) -> None:
        def job() -> list[act.Action]:
            if self.world.random.random() < self.world.faults:
                return self.ledger.segment_failed(action.segment, "no shared memory")
            self.segments.add(action.segment)
            return self.ledger.segment_ready(action.segment)

        self.jobs.append(job)

    def on_DropSegment(self, action: act.DropSegment) -> None:
        self.segments.remove(action.segment)

    def on_SpillOut(self, action: act.SpillOut) -> None:
        def job() -> list[act.Action]:
            tag = self.read(action.segment, action.offset, action.size)
            assert tag[0] == action.oid
            self.numbers += 1
            path = f"file {self.numbers}"
            self.files[path] = tag
            return self.ledger.spilled(action.oid, path)

        self.jobs.append(job)

    def on_RestoreIn(self, action: act.RestoreIn) -> None:
        def job() -> list[act.Action]:
            if self.world.random.random() < self.world.faults:
                return self.ledger.restore_failed(action.oid, "bad file")
            self.write(action.segment, action.offset, action.size, self.files[action.path])
            return self.ledger.restored(action.oid)

        self.jobs.append(job)

    def on_PullIn(self, action: act.PullIn) -> None:
        def job() -> list[act.Action]:
            source = self.world.nodes.get(action.node)
            if source is None or self.world.random.random() < self.world.faults:
                return self.ledger.federation.pull_failed(action.oid, "cannot be reached")
            place = source.ledger.federation.place_for(self.number, action.oid)
            assert place is not None and place[2] == action.size
            tag = source.read(*place)
            assert tag[0] == action.oid, "the source has moved it"
            self.write(action.segment, action.offset, action.size, tag)
            return self.ledger.federation.pulled(action.oid)

        self.jobs.append(job)

    def on_DropSpill(self, action: act.DropSpill) -> None:
        del self.files[action.path]

    def on_Granted(self, action: act.Granted) -> None:
        if action.client in self.processes:
            self.processes[action.client].granted(action)

    def on_Short(self, action: act.Short) -> None:
        self.short.add(action.oid)

    def look_after_short(self) -> None:
        """What the shell does after a while."""
        for oid in sorted(self.short):
            outlook = self.ledger.outlook(oid)
            if outlook is None or outlook.hopeless:
                self.short.discard(oid)
                self.do(self.ledger.give_up(oid))

    def on_Delayed(self, action: act.Delayed) -> None:
        self.jobs.append(lambda: self.ledger.refuse(action.client, action.request))

    def on_Full(self, action: act.Full) -> None:
        if action.client in self.processes:
            self.processes[action.client].refused(action.request)

    def on_Deliver(self, action: act.Deliver) -> None:
        if action.client in self.processes:
            self.processes[action.client].delivered(action)

    def on_Freed(self, action: act.Freed) -> None:
        if action.owner in self.processes:
            for oid in action.oids:
                self.processes[action.owner].on_freed(oid)

    def on_Recover(self, action: act.Recover) -> None:
        if action.owner in self.processes:
            self.processes[action.owner].on_recover(action.oid)
