"""What befalls the cluster, at random times; `end` puts everything right again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


class Faults:
    """Parameters: mean_s: seconds from one to the next, on average."""

    def __init__(self, cluster: Cluster, mean_s: float) -> None:
        self._cluster = cluster
        self._random = cluster.clock.random
        self._mean_s = mean_s
        self._over = False
        self._kinds = [
            (3, self._crash_head),
            (1, self._crash_all_heads),
            (2, self._pause_head),
            (4, self._depose),
            (4, self._partition),
            (3, self._cut_one_way),
            (3, self._reset),
            (2, self._slow),
            (2, self._kill_node),
            (3, self._pause_node),
            (4, self._kill_worker),
            (1, self._drain),
            (2, self._end_driver),
        ]
        # A run with few kinds of faults sees more of their combinations.
        chance = self._random.random()
        if chance < 0.25:
            # What follows from this one takes a while, in which others would end it.
            self._kinds, self._mean_s = [(1, self._depose)], max(3.0, mean_s)
        elif chance < 0.35:
            # Workers that die while the node's word of it and the head's orders cross.
            kinds = self._kill_worker, self._reset, self._cut_one_way
            self._kinds, self._mean_s = [(1, kind) for kind in kinds], 0.1
        elif chance < 0.7:
            self._kinds = self._random.sample(self._kinds, self._random.randint(1, 5))
        cluster.loop.call_later(self._next(), self._strike)

    def _next(self) -> float:
        return self._random.expovariate(1.0 / self._mean_s)

    def _strike(self) -> None:
        if self._over:
            return
        weights = [weight for weight, _kind in self._kinds]
        kind = self._random.choices([kind for _weight, kind in self._kinds], weights)[0]
        self._cluster.trace("fault", kind.__name__.strip("_"))
        kind()
        self._cluster.loop.call_later(self._next(), self._strike)

    def _later(self, most: float, call: object, *fields: object) -> None:
        self._cluster.loop.call_later(self._random.uniform(0.05, most), call, *fields)  # type: ignore[arg-type]

    # -- heads

    def _crash_head(self) -> None:
        self._crash(self._random.choice(self._cluster.head_addresses))

    def _crash_all_heads(self) -> None:
        for address in self._cluster.head_addresses:
            self._crash(address)

    def _crash(self, address: str) -> None:
        cluster = self._cluster
        if address in cluster.heads:
            cluster.trace("head", address, "crashes")
            cluster.heads.pop(address).die(silent=self._random.random() < 0.3)
            self._later(5.0, cluster.start_head, address)

    def _pause_head(self) -> None:
        heads = list(self._cluster.heads.values())
        leading = [head for head in heads if head.head is not None]
        if heads:
            head = self._random.choice(leading or heads)
            head.loop.pause()
            self._later(8.0, head.loop.resume)

    def _depose(self) -> None:
        """The leader is cut off from the other heads and from some nodes, and is late to notice it.

        Nodes that still hear it learn from the others that it is deposed.
        """
        cluster = self._cluster
        leading = [head for head in cluster.heads.values() if head.head is not None]
        if not leading:
            return
        leader = self._random.choice(leading)
        leader.replica.fallback_s = self._random.uniform(3.0, 10.0)
        machines = list(cluster.machines)
        nodes = self._random.sample(machines, self._random.randint(1, max(1, len(machines) - 1)))
        for name in (*(address.partition(":")[0] for address in cluster.head_addresses), *nodes):
            cluster.network.cut(leader.name, name)
            cluster.network.cut(name, leader.name)
        cluster.loop.call_later(self._random.uniform(2.0, 8.0), cluster.network.heal)

    # -- the network

    def _partition(self) -> None:
        """Two sides that do not hear of each other."""
        names = self._cluster.names()
        side = {name for name in names if self._random.random() < 0.4}
        for one in side:
            for other in set(names) - side:
                self._cluster.network.cut(one, other)
                self._cluster.network.cut(other, one)
        self._later(8.0, self._cluster.network.heal)

    def _cut_one_way(self) -> None:
        names = self._cluster.names()
        for _ in range(self._random.randint(1, 3)):
            one, other = self._random.sample(names, 2)
            self._cluster.network.cut(one, other)
        self._later(8.0, self._cluster.network.heal)

    def _reset(self) -> None:
        self._cluster.network.reset_some(self._random.choice((0.1, 0.5, 1.0)))

    def _slow(self) -> None:
        names = self._cluster.names()
        for _ in range(self._random.randint(1, 8)):
            one, other = self._random.sample(names, 2)
            self._cluster.network.slow[one, other] = self._random.choice((0.05, 0.5, 2.0))
        self._later(8.0, self._cluster.network.heal)

    # -- nodes

    def _kill_node(self) -> None:
        nodes = self._cluster.nodes
        if nodes:
            node = self._random.choice(nodes)
            self._cluster.remove_node(node)
            node.die(silent=self._random.random() < 0.3)
            self._later(6.0, self._cluster.start_node, node.name)

    def _pause_node(self) -> None:
        """SIGSTOP of the node's process; its workers go on."""
        if self._cluster.nodes:
            node = self._random.choice(self._cluster.nodes)
            node.loop.pause()
            self._later(8.0, node.loop.resume)

    def _kill_worker(self) -> None:
        workers = [worker for node in self._cluster.nodes for worker in node.workers.values()]
        if workers:
            self._random.choice(workers).die(-9)

    def _drain(self) -> None:
        """A node leaves in order, and another comes."""
        nodes = self._cluster.nodes
        if len(nodes) > 1:
            node = self._random.choice(nodes)
            node.drain()

    def _end_driver(self) -> None:
        drivers = [driver for driver in self._cluster.drivers if driver.alive]
        if len(drivers) > 1:
            self._random.choice(drivers).leave()

    def end(self) -> None:
        """Everything that was taken away is given back."""
        self._over = True
        cluster = self._cluster
        cluster.network.heal()
        for head in cluster.heads.values():
            head.loop.resume()
        for node in cluster.nodes:
            node.loop.resume()
        for address in cluster.head_addresses:
            cluster.start_head(address)
        for machine in cluster.machines:
            cluster.start_node(machine)
