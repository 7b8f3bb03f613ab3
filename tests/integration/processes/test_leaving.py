"""Nodes as processes of their own that drain, are killed or paused, or lose the program that made them."""

from __future__ import annotations

import threading
from pathlib import Path

import rustray
from rustray.testing import Cluster
from tests.integration.processes.functions import names, where
from tests.support import Gate, eventually, lives, start_program


class TestLeaving:
    def test_a_node_that_drains_finishes_its_tasks(self, tmp_path: Path) -> None:
        gate = Gate(tmp_path / "gate")
        with Cluster(nodes=2, num_cpus=1) as cluster:
            rustray.init(cluster.nodes[0].address)
            try:
                cluster.wait_for_nodes(2)
                refs = [where.options(max_retries=0).remote(gate) for _task in range(2)]
                gate.wait_for_waiters(2)
                leaving = cluster.nodes[1]
                name = leaving.name
                # That it does not leave before its task ends cannot be awaited: it has this long to do wrong.
                threading.Timer(0.5, gate.open).start()
                cluster.remove_node(leaving)
                assert name in rustray.get(refs)
                cluster.wait_for_nodes(1)
                assert set(rustray.get([where.remote() for _task in range(4)])) == names(cluster)
            finally:
                rustray.shutdown()

    def test_killed_paused_and_new_nodes(self) -> None:
        with Cluster(nodes=2, num_cpus=1) as cluster:
            rustray.init(cluster.nodes[0].address)
            try:
                cluster.wait_for_nodes(2)
                pids, killed = cluster.nodes[1].processes(), cluster.nodes[1].name
                cluster.kill_node(cluster.nodes[1])
                assert not [pid for pid in pids if lives(pid)]
                cluster.wait_for_nodes(1)
                here, gone = rustray.nodes()
                assert here["Alive"] and here["Resources"] and not here["DeathReasonMessage"]
                assert gone["NodeID"] == killed and gone["Alive"] is gone["alive"] is False
                assert gone["DeathReasonMessage"] and gone["NodeManagerAddress"] == "127.0.0.1"
                assert gone["NodeName"] == gone["NodeManagerHostname"] == here["NodeManagerHostname"] != ""
                assert gone["Resources"] == {} and gone.keys() == here.keys()
                node = cluster.add_node(num_cpus=1, resources={"disk": 1}, labels={"zone": "b"})
                assert node.number == 3
                assert rustray.get(where.options(resources={"disk": 1}).remote()) == node.name
                cluster.pause_node(node)
                cluster.wait_for_nodes(1)
                cluster.resume_node(node)
                cluster.wait_for_nodes(2)
                eventually(lambda: node.number == 4)  # the head knows it before its registry says so
                assert rustray.get(where.options(resources={"disk": 1}).remote(), timeout=20) == node.name
            finally:
                rustray.shutdown()

    def test_all_ends_with_the_program_that_made_it(self, tmp_path: Path) -> None:
        program = start_program(
            """
            import threading
            from rustray.testing import Cluster
            cluster = Cluster(nodes=1)
            print(*cluster.processes(), flush=True)
            time.sleep(60)  # until it is killed
            """,
            folder=tmp_path,
        )
        assert program.stdout is not None
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) >= 3  # head, node, zygote
        program.kill()
        program.wait()
        eventually(lambda: not [pid for pid in pids if lives(pid)])
