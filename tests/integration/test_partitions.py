"""Heads and nodes on hosts of their own, and the links between them cut: what was acknowledged is kept, and once.

Hosts 0, 1 and 2 are the heads', the others the nodes'.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import rustray
from rustray import errors
from rustray.driver.launch import HeadSettings
from rustray.head.membership import NODE_TIMEOUT_S
from rustray.node.neighbours import UNREACHABLE_S
from rustray.testing import Cluster, Head, Node
from rustray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rustray.wire import certificates
from tests.network import Network, NotPermitted
from tests.support import Gate, eventually, start_program

pytestmark = pytest.mark.timeout(90)

FALLBACK_S = 1.5
"""In which a leader that the others do not hear gives up."""
BOUND_S = 10.0
"""For what is to be over within a few seconds, on a machine that has other work."""


@pytest.fixture(scope="module")
def all_hosts() -> Iterator[Network]:
    try:
        network = Network(7)
    except NotPermitted as reason:
        pytest.skip(f"needs network namespaces: {reason}")
    yield network
    network.close()


@pytest.fixture
def network(all_hosts: Network) -> Iterator[Network]:
    yield all_hosts
    all_hosts.heal()


class Writer(threading.Thread):
    """Puts one key after the other, none twice, and remembers when each was acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged: list[float] = []
        self.twice: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            number = len(self.acknowledged)
            if not rustray.kv.put(
                f"w-{number:06}", str(number).encode(), namespace="history", overwrite=False
            ):
                self.twice.append(number)
            self.acknowledged.append(time.monotonic())

    def __enter__(self) -> Writer:
        self.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.over.set()
        self.join(30)

    def wait_for_more(self, count: int = 10, timeout: float = 20.0) -> None:
        seen = len(self.acknowledged)
        eventually(lambda: len(self.acknowledged) >= seen + count, timeout)

    def gap_after(self, since: float) -> float:
        """Seconds from then, a time of the monotonic clock, until the next put that was asked for after it."""
        later = [at for at in self.acknowledged if at > since]
        return max(b - a for a, b in zip([since, *later], later, strict=False))

    def check(self) -> None:
        assert not self.twice
        assert not self.is_alive()
        keys = [f"w-{number:06}" for number in range(len(self.acknowledged))]
        assert rustray.kv.keys("w-", namespace="history") == keys
        assert int(rustray.kv.get(keys[-1], b"", namespace="history")) == len(keys) - 1


class OtherDriver:
    """A driver of its own at a node, which puts one key after the other, under its own name."""

    PROGRAM = """
        import itertools, sys, time, rustray
        rustray.init(sys.argv[1])
        for number in itertools.count():
            first = rustray.kv.put(f"o-{number:06}", b"x", namespace="history", overwrite=False)
            print(number, int(first), time.monotonic(), flush=True)
            if rustray.kv.exists("stop", namespace="history"):
                break
        rustray.shutdown()
        """

    def __init__(self, node: Node, folder: Path) -> None:
        self.process = start_program(self.PROGRAM, node.folder, folder=folder)
        self.lines: list[tuple[int, bool, float]] = []
        """number, whether it was the first put of it, when it was acknowledged"""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        eventually(lambda: len(self.lines) > 5)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.split()
            if len(words) == 3 and words[0].isdigit():
                self.lines.append((int(words[0]), words[1] == "1", float(words[2])))

    def acknowledged_between(self, begin: float, end: float) -> list[float]:
        return [at for *_other, at in list(self.lines) if begin < at < end]

    def finish(self) -> None:
        rustray.kv.put("stop", b"", namespace="history")
        assert self.process.wait(20) == 0
        self._reader.join()

    def check(self) -> None:
        assert all(first for _number, first, _at in self.lines)
        kept = set(rustray.kv.keys("o-", namespace="history"))
        assert kept == {f"o-{number:06}" for number, *_rest in self.lines}


def on(node: Node, soft: bool = False) -> dict[str, object]:
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.name, soft)}


def alive() -> dict[str, dict[str, object]]:
    return {str(row["NodeID"]): row for row in rustray.nodes() if row["Alive"]}


def index(cluster: Cluster, head: Head) -> int:
    """The host of a head."""
    return cluster.heads.index(head)


@rustray.remote(max_retries=0)
def once(i: int) -> tuple[int, bool]:
    """Whether this is the first time that it runs."""
    return i, rustray.kv.put(f"ran-{i:06}", b"", namespace="history", overwrite=False)


@rustray.remote
class Counter:
    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> int:
        self.value += 1
        return self.value

    def where(self) -> str:
        return rustray.get_runtime_context().get_node_id()


def test_a_leader_and_a_node_are_cut_off_from_the_others(network, tmp_path):
    certificates.make(str(tmp_path / "tls"), [host.address for host in network.hosts])
    with Cluster(heads=3, nodes=2, hosts=network.hosts[:5], tls_folder=str(tmp_path / "tls")) as cluster:
        near, far = cluster.nodes
        rustray.init(near.folder)
        number = far.number
        gate = Gate(tmp_path / "gate")

        @rustray.remote(max_retries=0)
        def held() -> str:
            gate.wait()
            return "undisturbed"

        running = held.options(**on(far)).remote()
        gate.wait_for_waiters()
        other = OtherDriver(far, tmp_path)
        counter = Counter.options(**on(near), name="counter").remote()
        assert rustray.get(counter.inc.remote(), timeout=20) == 1
        old = cluster.leader
        with Writer() as writer:
            network.isolate(index(cluster, old), 4)
            cut = time.monotonic()
            eventually(lambda: not old.leads)
            gave_up = time.monotonic() - cut
            new = cluster.leader
            writer.wait_for_more()
            late = Counter.options(**on(near), name="late").remote()
            assert rustray.get(late.inc.remote(), timeout=20) == 1
            gate.open()
            healed = time.monotonic()
            network.heal()
            eventually(lambda: other.acknowledged_between(healed, 1e20))
            found = time.monotonic() - healed
            writer.wait_for_more()
        assert not other.acknowledged_between(cut, healed)
        assert new is not old
        assert gave_up < FALLBACK_S + 1.0
        assert rustray.get(running, timeout=20) == "undisturbed"
        assert far.number == number
        assert rustray.get([counter.inc.remote(), late.inc.remote()], timeout=20) == [2, 2]
        assert rustray.get([once.remote(i) for i in range(50)], timeout=30) == [(i, True) for i in range(50)]
        other.finish()
        other.check()
        writer.check()
        assert found < BOUND_S
        assert writer.gap_after(cut) < BOUND_S
        rustray.shutdown()


def test_a_leader_and_a_node_are_cut_off_for_long(network, tmp_path):
    with Cluster(heads=3, nodes=2, hosts=network.hosts[:5]) as cluster:
        near, far = cluster.nodes
        rustray.init(near.folder)
        number = far.number
        gate = Gate(tmp_path / "gate")

        @rustray.remote(max_retries=1)
        def held() -> str:
            gate.wait()
            return rustray.get_runtime_context().get_node_id()

        service = Counter.options(
            num_cpus=0, max_restarts=1, max_task_retries=1, **on(far, soft=True)
        ).remote()
        assert rustray.get(service.where.remote(), timeout=20) == far.name
        other = OtherDriver(far, tmp_path)
        old = cluster.leader
        with Writer() as writer:
            running = held.options(**on(far, soft=True)).remote()
            gate.wait_for_waiters()
            network.isolate(index(cluster, old), 4)
            cut = time.monotonic()
            gate.open()
            assert rustray.get(running, timeout=30) == near.name
            assert rustray.get(service.where.remote(), timeout=20) == near.name
            ran = time.monotonic() - cut
            assert far.name not in alive()
            healed = time.monotonic()
            network.heal()
            assert other.process.wait(20) != 0  # its node is another now
            eventually(lambda: far.number != number and far.name in alive())
            back = time.monotonic() - healed
            writer.wait_for_more()
        assert not other.acknowledged_between(cut, 1e20)
        assert rustray.get(held.options(**on(far)).remote(), timeout=20) == far.name
        kept = rustray.kv.keys("o-", namespace="history")
        assert len(other.lines) <= len(kept) <= len(other.lines) + 1
        writer.check()
        assert ran < BOUND_S and back < BOUND_S
        rustray.shutdown()


def test_a_leader_is_cut_off_from_the_other_heads_only(network):
    with Cluster(heads=3, nodes=2, hosts=network.hosts[:5]) as cluster:
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
                assert not [at for at in writer.acknowledged if cut + 0.2 < at < refused_at]
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


def test_a_node_that_only_other_nodes_reach_is_taken_for_dead(network, tmp_path):
    with Cluster(heads=1, nodes=1, num_cpus=0, hosts=[network.hosts[0], network.hosts[3]]) as cluster:
        lost = cluster.add_node(2, host=network.hosts[4])
        rustray.init(cluster.nodes[0].folder)
        number = lost.number
        gate, late = Gate(tmp_path / "gate"), tmp_path / "late"

        @rustray.remote(max_retries=2)
        def held() -> str:
            if not gate.waiters:
                gate.wait()
                late.touch()
            return rustray.get_runtime_context().get_node_id()

        service = Counter.options(num_cpus=1, max_restarts=1, max_task_retries=3, name="service").remote()
        assert rustray.get(service.where.remote(), timeout=20) == lost.name
        ref = held.remote()
        gate.wait_for_waiters()
        spare = cluster.add_node(2, host=network.hosts[5])
        network.cut([0], [4])
        cut = time.monotonic()
        eventually(lambda: lost.name not in alive())
        dead = time.monotonic() - cut
        assert rustray.get(ref, timeout=20) == spare.name
        again = time.monotonic() - cut
        assert rustray.get(service.where.remote(), timeout=20) == spare.name
        gate.open()
        eventually(late.exists)  # the lost node has finished its task: too late
        assert rustray.get(ref, timeout=20) == spare.name
        healed = time.monotonic()
        network.heal()
        eventually(lambda: len(alive()) == 3)
        back = time.monotonic() - healed
        eventually(lambda: lost.number != number)
        assert rustray.get(service.where.remote(), timeout=20) == spare.name
        assert rustray.get(Counter.options(**on(lost)).remote().where.remote(), timeout=20) == lost.name
        assert NODE_TIMEOUT_S - 1 < dead < BOUND_S and again < BOUND_S and back < BOUND_S
        rustray.shutdown()


@pytest.fixture
def pair(network: Network) -> Iterator[Cluster]:
    """A head, a node without CPUs for the driver, and one with two."""
    with Cluster(heads=1, nodes=1, num_cpus=0, hosts=[network.hosts[0], network.hosts[3]]) as cluster:
        cluster.add_node(2, host=network.hosts[4])
        rustray.init(cluster.nodes[0].folder)
        yield cluster
        network.heal()
        rustray.shutdown()


def test_two_nodes_are_cut_off_from_each_other_for_a_while(network, pair, tmp_path):
    far = pair.nodes[1]
    gate = Gate(tmp_path / "gate")
    number = far.number
    array = np.arange(4_000_000, dtype=np.float64)
    counter = Counter.options(**on(far)).remote()
    assert rustray.get(counter.inc.remote(), timeout=20) == 1

    @rustray.remote(max_retries=0)
    def total(x: np.ndarray, held: bool = False) -> float:
        if held:
            gate.wait()
        return float(x.sum())

    rustray.get(total.remote(np.ones(10)), timeout=20)
    refs = [total.remote(np.ones(10), held=True)]
    gate.wait_for_waiters()
    network.cut([3], [4])
    gate.open()
    refs += [total.remote(rustray.put(array)), counter.inc.remote()]
    refs += [once.remote(i) for i in range(100)]
    assert not rustray.wait(refs, timeout=6)[0]
    network.heal()
    healed = time.monotonic()
    results = rustray.get(refs, timeout=20)
    resumed = time.monotonic() - healed
    assert results == [10.0, array.sum(), 2, *[(i, True) for i in range(100)]]
    assert far.number == number
    assert resumed < BOUND_S


def test_two_nodes_are_cut_off_from_each_other_for_long(network, pair):
    far = pair.nodes[1]

    @rustray.remote(max_retries=2)
    def where() -> str:
        time.sleep(0.5)  # it is under way when the cut comes
        return rustray.get_runtime_context().get_node_id()

    @rustray.remote(max_retries=0)
    def never_twice(x: np.ndarray) -> None:
        time.sleep(0.5)  # as above

    counter = Counter.options(num_cpus=1, max_restarts=0).remote()
    assert rustray.get(counter.inc.remote(), timeout=20) == 1
    big = rustray.put(np.ones(1_000_000))
    ref, fragile = where.remote(), never_twice.remote(big)
    rustray.wait([ref], timeout=0.2)
    network.cut([3], [4])
    cut = time.monotonic()
    call = counter.inc.remote()
    spare = pair.add_node(2, host=network.hosts[5])
    assert rustray.get(ref, timeout=40) == spare.name
    took = time.monotonic() - cut
    with pytest.raises(errors.WorkerCrashedError):
        rustray.get(fragile, timeout=20)
    with pytest.raises(errors.ActorDiedError):
        rustray.get(call, timeout=20)
    network.heal()
    assert rustray.get(where.options(**on(far)).remote(), timeout=20) == far.name
    assert took < UNREACHABLE_S + BOUND_S


def test_nothing_reaches_anything_for_a_second(network):
    with Cluster(heads=3, nodes=3, hosts=network.hosts[:6]) as cluster:
        rustray.init(cluster.nodes[0].folder)
        before = {node.name: node.number for node in cluster.nodes}
        counters = [Counter.options(num_cpus=0, **on(node)).remote() for node in cluster.nodes]
        assert rustray.get([counter.inc.remote() for counter in counters], timeout=20) == [1, 1, 1]
        with Writer() as writer:
            refs = [once.remote(i) for i in range(1000)]
            cut = time.monotonic()
            for host in range(6):
                network.isolate(host)
            calls = [counter.inc.remote() for counter in counters]
            time.sleep(1.0)  # as long as the cut is to be
            network.heal()
            healed = time.monotonic()
            assert rustray.get(calls, timeout=20) == [2, 2, 2]
            calls_after = time.monotonic() - healed
            assert rustray.get(refs, timeout=30) == [(i, True) for i in range(1000)]
            writer.wait_for_more()
        writer.check()
        assert {name: row["Alive"] for name, row in alive().items()} == dict.fromkeys(before, True)
        assert {node.name: node.number for node in cluster.nodes} == before
        assert writer.gap_after(cut) < BOUND_S and calls_after < BOUND_S
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
