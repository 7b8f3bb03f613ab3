"""Heads as processes of their own that are killed and come back."""

from __future__ import annotations

import time
from pathlib import Path

import rustray
from rustray.testing import Cluster
from tests.integration.processes.functions import names, where
from tests.support import Gate, eventually


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def next(self) -> int:
        self.count += 1
        return self.count


@rustray.remote
def where_slowly() -> str:
    time.sleep(0.2)  # work that is not over when the head dies
    return str(rustray.get_runtime_context().get_node_id())


class TestHeads:
    def test_a_single_head_that_is_killed_comes_back_with_what_it_knew(self, tmp_path: Path) -> None:
        gate = Gate(tmp_path / "gate")
        with Cluster(nodes=1, num_cpus=1) as cluster:
            rustray.init(cluster.address, namespace="tests")
            try:
                actor = rustray.remote(Counter).options(name="counter", lifetime="detached").remote()
                assert rustray.get(actor.next.remote()) == 1
                running = where.remote(gate)
                gate.wait_for_waiters()
                head = cluster.leader
                cluster.kill_head(head)
                assert rustray.get(actor.next.remote(), timeout=30) == 2  # workers and drivers do not need it
                cluster.restart_head(head)
                gate.open()
                assert rustray.get(running, timeout=30) in names(cluster)
                assert cluster.leader.facts["epoch"] == 2
                assert rustray.get(where.remote(), timeout=30) in names(cluster)
                assert rustray.get(rustray.get_actor("counter").next.remote()) == 3
            finally:
                rustray.shutdown()

    def test_another_head_leads_when_the_leader_is_killed(self) -> None:
        with Cluster(heads=3, nodes=2, num_cpus=1) as cluster:
            rustray.init(cluster.address)
            try:
                cluster.wait_for_nodes(2)
                first = cluster.leader
                refs = [where_slowly.remote() for _task in range(30)]
                rustray.wait(refs, num_returns=2)
                cluster.kill_head(first)
                assert set(rustray.get(refs, timeout=40)) <= names(cluster)
                assert cluster.leader is not first
                cluster.wait_for_nodes(2)
                assert sorted(node.number for node in cluster.nodes) == [1, 2]
                again = cluster.restart_head(first)
                eventually(lambda: again.alive and not again.leads)
                cluster.kill_head(cluster.leader)  # the one that came back makes the majority
                assert rustray.get(where.remote(), timeout=20) in names(cluster)
            finally:
                rustray.shutdown()
