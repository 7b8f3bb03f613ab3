"""Several nodes, each a real ledger, joined by queues; processes that keep the reference rules; tasks that lend,
borrow, nest and fail; nodes that die. Pure and seeded: what happens next is drawn from `random`.

Messages between two nodes keep their order, and so do those of one socket; nothing else is ordered. An agent that
passes on what a worker answers to a client of another node reads the worker's own socket first. `federation_node.py` is
a node, `federation_client.py` what a client holds and reads there, `federation_process.py` its tasks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any

from rustray.model.ids import home_of, node_of
from tests.unit.federation_node import NodeSim, Tag
from tests.unit.federation_process import Process

PATIENCE = 500
"""Looks after which a node leaves with what nobody has taken."""


class World:
    """All nodes and processes, and what is known of each object. `faults`: how often I/O fails."""

    def __init__(self, random: Random, nodes: int, faults: float = 0.05) -> None:
        self.random = random
        self.faults = faults
        self.nodes: dict[int, NodeSim] = {}
        self.links: dict[tuple[int, int], deque[tuple[str, Any]]] = {}
        self.numbers = 0
        self.delivered: Counter[tuple[int, int]] = Counter()
        self.contents: dict[Tag, tuple[bytes, ...]] = {}
        self.order: dict[bytes, int] = {}
        self.versions: Counter[bytes] = Counter()
        self.freed: set[bytes] = set()
        self.tainted: set[bytes] = set()  # lent or handed over by who has died meanwhile
        self.leaving: dict[int, int] = {}  # node that leaves in order: how often it has looked whether it can
        self.dead: dict[int, set[int]] = {}  # node that died: nodes that know
        self.barriers: list[tuple[int, int, dict[tuple[int, int], int]]] = []  # node, dead one, what to await
        self.seen: Counter[str] = Counter()
        self.closing = False
        for _ in range(nodes):
            self.add_node()

    def add_node(self) -> NodeSim:
        self.numbers += 1
        for other in self.nodes:
            self.links[other, self.numbers] = deque()
            self.links[self.numbers, other] = deque()
        for known in self.dead.values():
            known.add(self.numbers)  # it never hears of who was gone before it came
        node = self.nodes[self.numbers] = NodeSim(self, self.numbers)
        return node

    @property
    def processes(self) -> list[Process]:
        return [process for node in self.nodes.values() for process in node.processes.values()]

    def process(self, client: int) -> Process | None:
        node = self.nodes.get(node_of(client))
        return node.processes.get(client) if node is not None else None

    def new_value(self, oid: bytes, contains: tuple[bytes, ...]) -> Tag:
        self.versions[oid] += 1
        tag = oid, self.versions[oid]
        self.contents[tag] = contains
        return tag

    def check_freed(self, oid: bytes) -> None:
        """The home of an object forgets it: nobody may have it."""
        self.freed.add(oid)
        if oid in self.tainted:
            return
        for process in self.processes:
            if process.zombie or process.read_out_of.get(oid) in self.tainted:
                continue  # it has no more right to that than to what it has read it out of
            assert not process.has(oid), f"{oid.hex()} is freed and {process} has it"

    def check_alive(self, oid: bytes) -> None:
        """Somebody has just read a ref to the object out of a value."""
        if home_of(oid) in self.nodes and oid not in self.tainted:
            assert oid not in self.freed, f"{oid.hex()} was read out of a value, and is freed"

    # -- what may happen next --------------------------------------------------------------------------

    def pump(self) -> bool:
        """One message, or one piece of I/O, somewhere."""
        random = self.random
        choices: list[Callable[[], object]] = []
        for key, link in self.links.items():
            if link:
                choices.append(lambda key=key: self.deliver(*key))  # type: ignore[misc]
        for node in self.nodes.values():
            if node.jobs:
                choices.append(node.work)
            for process in node.processes.values():
                if process.socket:
                    choices.append(process.flush_one)
                if process.lease:
                    choices.append(process.answer_one)
                if process.inbox:
                    choices.append(process.take_one)
        for dead, known in self.dead.items():
            for node in self.nodes.values():
                if node.number not in known:
                    choices.append(lambda node=node, dead=dead: self.learn(node, dead))  # type: ignore[misc]
        for barrier in self.barriers:
            if all(self.delivered[link] >= count for link, count in barrier[2].items() if link in self.links):
                choices.append(lambda barrier=barrier: self.forget(barrier))  # type: ignore[misc]
        if not choices:
            return False
        random.choice(choices)()
        return True

    def send(self, source: int, target: int, kind: str, content: Any) -> None:
        if (source, target) in self.links and target not in self.dead:
            self.links[source, target].append((kind, content))

    def deliver(self, source: int, target: int) -> None:
        kind, content = self.links[source, target].popleft()
        self.delivered[source, target] += 1
        node = self.nodes[target]
        if kind == "ledger":
            self.seen[content[0]] += 1
            node.do(node.ledger.federation.told(source, [content]))
        else:
            client, answer = content
            if client in node.processes:
                node.processes[client].inbox.append(answer)

    # -- orderly ends ----------------------------------------------------------------------------------

    def drain_node(self, number: int) -> None:
        """Nothing new is to run there; when it can, it goes."""
        self.leaving.setdefault(number, 0)

    def look_after_leaving(self, again: bool) -> None:
        """What the shell of a node that leaves does each tick."""
        for number in list(self.leaving):
            node = self.nodes[number]
            node.do(node.ledger.federation.evacuate(again))
            self.leaving[number] += 1
            late = self.leaving[number] > PATIENCE
            if late or not (node.busy or node.ledger.federation.left()):
                self.seen["late" if late else "left"] += 1
                self.kill_node(number)

    # -- deaths ----------------------------------------------------------------------------------------

    def kill_node(self, number: int) -> None:
        node = self.nodes[number]
        node.gone = True
        self.leaving.pop(number, None)
        for process in list(node.processes.values()):
            for call in process.socket:
                self.taint_hand_over(call)
            process.taint()
        for process in list(node.processes.values()):
            process.end_tasks_of_mine()
        for (source, _target), link in self.links.items():
            if source == number:
                # A part of it has left the machine.
                while link and self.random.random() < 0.5:
                    self.taint_message(*link.pop())
        del self.nodes[number]
        for key in [key for key in self.links if key[1] == number]:
            del self.links[key]
        self.dead[number] = set()
        for known in self.dead.values():
            known.discard(number)
        for dead in list(self.dead):
            self.await_forgetting(dead)

    def taint_message(self, kind: str, content: Any) -> None:
        if kind == "ledger" and content[0] in ("hold_for", "borrow"):
            self.tainted.update(content[2])
        elif kind == "ledger" and content[0] in ("value", "source"):
            self.tainted.update(content[-1])

    def taint_hand_over(self, call: tuple[Any, ...]) -> None:
        if call[0] == "hold_for":
            self.tainted.update(call[2])

    def learn(self, node: NodeSim, dead: int) -> None:
        """The head's word that a node is down arrives."""
        self.dead[dead].add(node.number)
        link = self.links.pop((dead, node.number), deque())
        for message in link:
            self.taint_message(*message)
        node.do(node.ledger.federation.down(dead))
        for process in list(node.processes.values()):
            process.on_node_down(dead)
        self.await_forgetting(dead)

    def await_forgetting(self, dead: int) -> None:
        """Once all know of a death: when what was under way then has arrived, the dead one's holds end."""
        if self.dead[dead] >= set(self.nodes):
            for other in self.nodes:
                counts = {
                    key: self.delivered[key] + len(self.links[key]) for key in self.links if key[1] == other
                }
                self.barriers.append((other, dead, counts))
            del self.dead[dead]

    def forget(self, barrier: tuple[int, int, dict[tuple[int, int], int]]) -> None:
        self.barriers.remove(barrier)
        node = self.nodes.get(barrier[0])
        if node is not None:
            node.do(node.ledger.federation.forget(barrier[1]))
