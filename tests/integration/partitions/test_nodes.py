"""Nodes are cut off, from the head, from each other, or all from all."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

import rustray
from rustray import errors
from rustray.head.membership import NODE_TIMEOUT_S
from rustray.node.neighbours import UNREACHABLE_S
from rustray.testing import Cluster
from tests.integration.partitions.work import BOUND_S, Counter, Writer, alive, on, once
from tests.network import Network
from tests.patient_head import PatientCluster
from tests.support import Gate, eventually


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
        cut = time.monotonic()
        network.cut([0], [4])
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


def test_two_nodes_are_cut_off_from_each_other_for_long(network, pair, tmp_path):
    far = pair.nodes[1]
    gate = Gate(tmp_path / "gate")

    @rustray.remote(num_cpus=0.5, max_retries=2)
    def where() -> str:
        gate.wait()
        return rustray.get_runtime_context().get_node_id()

    @rustray.remote(num_cpus=0.5, max_retries=0)
    def never_twice(x: np.ndarray) -> None:
        gate.wait()

    counter = Counter.options(num_cpus=1, max_restarts=0).remote()
    assert rustray.get(counter.inc.remote(), timeout=20) == 1
    big = rustray.put(np.ones(1_000_000))
    ref, fragile = where.remote(), never_twice.remote(big)
    gate.wait_for_waiters(2)
    network.cut([3], [4])
    gate.open()
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
    eventually(lambda: far.name in alive())  # it joins as a new one, at which no task may be aimed before
    assert rustray.get(where.options(**on(far)).remote(), timeout=20) == far.name
    assert took < UNREACHABLE_S + BOUND_S


def test_nothing_reaches_anything_for_a_second(network):
    with PatientCluster(heads=3, nodes=3, hosts=network.hosts[:6]) as cluster:
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
