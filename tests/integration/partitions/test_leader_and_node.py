"""A leader and a node are cut off together: what was acknowledged is kept, and once."""

from __future__ import annotations

import time

import rustray
from rustray.testing import Cluster
from rustray.wire import certificates
from tests.integration.partitions.work import BOUND_S, Counter, OtherDriver, Writer, alive, index, on, once
from tests.patient_head import PatientCluster
from tests.support import Gate, eventually


def test_a_leader_and_a_node_are_cut_off_from_the_others(network, tmp_path):
    certificates.make(str(tmp_path / "tls"), [host.address for host in network.hosts])
    hosts, tls_folder = network.hosts[:5], str(tmp_path / "tls")
    with PatientCluster(heads=3, nodes=2, hosts=hosts, tls_folder=tls_folder) as cluster:
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
            eventually(lambda: not old.leads, BOUND_S)
            new = cluster.leader
            writer.wait_for_more()
            late = Counter.options(**on(near), name="late").remote()
            assert rustray.get(late.inc.remote(), timeout=20) == 1
            gate.open()
            healed = time.monotonic()
            network.heal()
            eventually(lambda: other.acknowledged_after(healed))
            found = time.monotonic() - healed
            writer.wait_for_more()
        assert not other.asked_and_acknowledged_between(cut, healed)
        assert new is not old
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
        assert not other.asked_and_acknowledged_between(cut)
        assert rustray.get(held.options(**on(far)).remote(), timeout=20) == far.name
        kept = rustray.kv.keys("o-", namespace="history")
        assert len(other.lines) <= len(kept) <= len(other.lines) + 1
        writer.check()
        assert ran < BOUND_S and back < BOUND_S
        rustray.shutdown()
