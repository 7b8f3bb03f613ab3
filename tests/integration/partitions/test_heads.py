"""Heads are cut off from each other: who leads no longer acknowledges and orders nothing, who was away catches up."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import rustray
from rustray.driver.launch import HeadSettings
from rustray.testing import Cluster, Head, Node
from tests.integration.partitions.work import BOUND_S, Counter, Writer, index, on, once
from tests.patient_head import PatientCluster
from tests.support import eventually


def test_a_leader_is_cut_off_from_the_other_heads_only(network):
    with PatientCluster(heads=3, nodes=2, hosts=network.hosts[:5]) as cluster:
        rustray.init(cluster.nodes[0].folder)
        numbers = {node.number for node in cluster.nodes}
        old = cluster.leader
        epoch = old.facts["epoch"]
        with Writer() as writer:
            refs = [once.remote(i) for i in range(300)]
            cut = time.monotonic()
            here = index(cluster, old)
            network.cut([here], {0, 1, 2} - {here})
            refs += [once.remote(i) for i in range(300, 600)]
            eventually(lambda: not old.leads)
            refs += [once.remote(i) for i in range(600, 900)]
            assert rustray.get(refs, timeout=40) == [(i, True) for i in range(900)]
            writer.wait_for_more()
            new = cluster.leader
            network.heal()
            # It comes back with a term of its own elections, whatever becomes of that.
            writer.wait_for_more(50)
        writer.check()
        assert new is not old and cluster.leader.facts["epoch"] > epoch
        assert {node.number for node in cluster.nodes} == numbers
        assert writer.gap_after(cut) < BOUND_S
        rustray.shutdown()


@dataclass(slots=True)
class LateHead(HeadSettings):
    """A head that does not notice for a minute that it has lost the majority."""

    module: ClassVar[str] = "tests.late_head"


class LateCluster(Cluster):
    """All of its heads are late."""

    def _start_head(self, address: str) -> Head:
        settings, host = self._head_settings[address]
        self._head_settings[address] = LateHead(**asdict(settings)), host
        return super()._start_head(address)


class Demands(threading.Thread):
    """Submits tasks to one node, each of a class and code of its own, so that each needs an order of the head."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.refs: list[rustray.ObjectRef] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.01):
            number = len(self.refs)
            task = rustray.remote(eval(f"lambda: {number}"))
            self.refs.append(task.options(num_cpus=0.5, **on(self.node)).remote())

    def __enter__(self) -> Demands:
        self.start()
        eventually(lambda: len(self.refs) > 20)
        return self

    def __exit__(self, *_exc: object) -> None:
        self.over.set()
        self.join(10)


def refusal(node: Node, epoch: int) -> tuple[float, str] | None:
    """When, on the monotonic clock, a node has refused orders of the leader of an epoch, and which."""
    text = (Path(node.folder) / "logs" / "node.log").read_text()
    found = re.search(
        rf"^(\S+ \S+),(\d+) .* is of epoch {epoch}, and there has been \d+: refused (.*)$", text, re.M
    )
    if found is None:
        return None
    at = time.mktime(time.strptime(found[1], "%Y-%m-%d %H:%M:%S")) + int(found[2]) / 1000
    return at - time.time() + time.monotonic(), found[3]


def test_orders_of_a_deposed_leader_are_refused(network):
    with LateCluster(heads=3, nodes=2, hosts=network.hosts[:5]) as cluster:
        near, far = cluster.nodes
        rustray.init(near.folder)
        numbers = {node.number for node in cluster.nodes}
        counter = Counter.options(num_cpus=0, **on(far)).remote()
        assert rustray.get(counter.inc.remote(), timeout=20) == 1
        orders = "beat"
        with Demands(near) as demands, Writer() as writer:
            while orders == "beat":  # nothing but that was under way when the node learned of the new leader
                old = cluster.leader
                here, epoch = index(cluster, old), old.facts["epoch"]
                network.cut([here], {0, 1, 2, 4} - {here})
                cut = time.monotonic()
                # Its orders are obeyed until the other node, which has found the new leader, tells of that.
                refused_at, orders = eventually(lambda epoch=epoch: refusal(near, epoch), 20)
                assert old.leads and cluster.leader is not old
                writer.wait_for_more()
                assert not writer.asked_and_acknowledged_between(cut, refused_at)
                assert old.leads and refusal(far, epoch) is None
                network.heal()
                eventually(lambda old=old: not old.leads)
                writer.wait_for_more()
        assert {"grant", "revoke", "class"} & set(orders.split(", "))
        writer.check()
        assert rustray.get(demands.refs, timeout=40) == list(range(len(demands.refs)))
        assert rustray.get(counter.inc.remote(), timeout=20) == 2
        assert {node.number for node in cluster.nodes} == numbers
        rustray.shutdown()


def test_a_head_is_cut_off_across_a_compaction(network):
    with Cluster(heads=3, nodes=1, hosts=network.hosts[:4]) as cluster:
        rustray.init(cluster.nodes[0].folder)
        leader = cluster.leader
        behind = next(head for head in cluster.heads if head is not leader)
        third = next(head for head in cluster.heads if head not in (leader, behind))
        counter = Counter.options(name="counter").remote()
        assert rustray.get(counter.inc.remote(), timeout=20) == 1
        history: dict[str, bytes] = {}

        def write(key: str, value: bytes) -> None:
            rustray.kv.put(key, value, namespace="history")
            history[key] = value

        for i in range(50):
            write(f"before-{i}", str(i).encode())
        network.isolate(index(cluster, behind))
        snapshot = Path(leader.facts["storage"]) / "snapshot"
        round_ = 0
        while not snapshot.exists():
            write("big", bytes([round_]) * (12 << 20))  # of which 64 MiB are compacted
            write(f"round-{round_}", b"x")
            round_ += 1
        for i in range(50):
            write(f"after-{i}", str(i).encode())
        network.heal()
        healed = time.monotonic()
        cluster.kill_head(third)
        write("with", b"the head that was behind")  # no majority without it
        caught_up = time.monotonic() - healed
        cluster.kill_head(leader)
        cluster.restart_head(third)  # lacks the last write, and so cannot lead
        assert cluster.leader.address == behind.address
        kept = {key: rustray.kv.get(key, namespace="history") for key in history}
        assert kept == history
        assert rustray.get(rustray.get_actor("counter").inc.remote(), timeout=20) == 2
        assert caught_up < BOUND_S
        rustray.shutdown()
