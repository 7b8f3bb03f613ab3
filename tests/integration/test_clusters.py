"""Clusters with names: started, found from another process, scaled, stopped; killed, and recognised as stale."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rustray
from rustray.clusters import Cluster, ending, entering
from rustray.clusters import registry as names
from rustray.clusters.contact import reach
from rustray.clusters.folder import path_of
from rustray.driver import launch, registry
from rustray.errors import ClusterStartError, OptionError
from rustray.jupyter.console import opening
from rustray.testing.processes import family, wait_until_gone
from tests.support import Gate, eventually, lives, run_program, rustray_command


@pytest.fixture(autouse=True)
def apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("rr")
    folder.chmod(0o700)
    monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    yield folder
    rustray.shutdown()
    for process in registry.clusters():
        os.kill(process["pid"], signal.SIGKILL)
    eventually(lambda: not registry.clusters())


def test_a_cluster_from_start_to_stop(tmp_path: Path, apart: Path) -> None:
    cluster = rustray.clusters.start("work", num_cpus=1)
    assert (cluster.state, cluster.heads, cluster.nodes) == ("running", 1, 1)
    assert "state running" in repr(cluster) and ">work</td>" in cluster._repr_html_()
    with pytest.raises(ClusterStartError, match="'work' runs already"):
        rustray.clusters.start("work")

    seen = run_program(
        """
        import rustray
        print([(one.name, one.address) for one in rustray.clusters.list()])
        rustray.init("work")
        print(rustray.get(rustray.remote(len).remote("abc")))
        rustray.shutdown()
        rustray.init("auto")
        print(rustray.cluster_resources()["CPU"])
        """,
        folder=tmp_path,
    )
    assert seen == f"[('work', '{cluster.address}')]\n3\n1.0\n"

    assert cluster.scale(2).nodes == 2
    rustray.init("work")
    assert rustray.cluster_resources()["CPU"] == 2
    older, newer = (process for process in cluster.processes if process.role == "node")
    assert cluster.scale(1).processes[1:] == (older,) and not lives(newer.pid)
    eventually(lambda: rustray.cluster_resources()["CPU"] == 1)  # and this driver is still connected
    rustray.shutdown()

    assert "leads, epoch 1" in cluster.logs("head-1") and "joined the head" in cluster.logs(older.name, 5)
    with pytest.raises(OptionError, match="has no process 'node-7'"):
        cluster.logs("node-7")
    pids = [process.pid for process in cluster.processes]
    assert not cluster.stop() and not [pid for pid in pids if lives(pid)]
    assert cluster.state == "stopped" and rustray.clusters.list() == [] and not cluster.stop()
    assert [str(path.relative_to(apart)) for path in apart.rglob("*")] == ["heads"]
    with pytest.raises(ClusterStartError, match="No cluster named 'work' runs here"):
        rustray.clusters.find("work")


def test_a_contact_is_no_job_and_no_client_that_keeps_a_cluster_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = rustray.clusters.start("work", num_cpus=1)
    with rustray.clusters.contact("work") as contact, cluster.contact() as other:
        assert contact.alive and contact.query("jobs") == [] and len(other.query("nodes")) == 1
        with pytest.raises(OptionError, match="cannot be asked for 'nonsense'"):
            contact.query("nonsense")
        rustray.init("work", job_name="mine")
        (job,) = contact.query("jobs")
        assert job["name"] == "mine" and "place" not in job  # which has the environment of the driver
        rustray.shutdown()
        rustray.init("work")
        with pytest.raises(
            OptionError, match="connection. 1 program connected now. To end it: 'rustray stop work'"
        ):
            cluster.scale(0)
        rustray.shutdown()
        cluster.scale(0, force=True)  # its node has gone
        assert (cluster.state, cluster.remark) == ("broken", "it has no node here")
        eventually(lambda: not contact.alive)
    assert cluster.status().nodes == ()  # through a node of its own
    assert len(registry.clusters()) == 1  # which has ended with it
    monkeypatch.setenv("RUSTRAY_ADDRESS", "gone")
    opening.init()
    told = "on cluster work (gone, the cluster of RUSTRAY_ADDRESS, does not run any more), which has no node"
    assert told in capsys.readouterr().out
    rustray.shutdown()
    cluster.stop()


def test_an_embedded_cluster_ends_with_its_driver_though_it_is_asked() -> None:
    rustray.init(num_cpus=1)
    (server,) = registry.clusters()
    with reach(server["socket"]) as contact:
        assert len(contact.query("nodes")) == 1
        rustray.shutdown()
        eventually(lambda: not lives(server["pid"]))


def test_a_process_that_a_notebook_has_started_is_entered() -> None:
    rustray.clusters.start("other", num_cpus=1).stop()  # a name that was used is free
    names_taken = [entering.take(None, base="notebook") for _cluster in range(2)]
    assert names_taken == ["notebook", "notebook-2"]
    entering.settle("notebook-2")
    server = launch.start(launch.ServerSettings(launch.count_resources(1, 0, None), None))
    try:
        entering.add("notebook", [server], token=server.settings.token)
        entering.settle("notebook")
        (cluster,) = rustray.clusters.list()
        assert (cluster.state, cluster.heads, cluster.nodes) == ("running", 0, 1)
        assert cluster.address == server.settings.folder
        with pytest.raises(OptionError, match="it cannot have more nodes"):
            cluster.scale(2)
        rustray.init("notebook")
        assert cluster.status().nodes[0].resources["CPU"][1] == 1
        cluster.stop()
        assert not lives(server.process.pid)
    finally:
        server.stop()


def test_what_was_killed_is_stale(tmp_path: Path) -> None:
    cluster = rustray.clusters.start("work", num_cpus=1)
    path = Path(path_of("work"))
    pids = family(process.pid for process in cluster.processes)
    head, node = cluster.processes
    os.kill(node.pid, signal.SIGKILL)
    eventually(lambda: cluster.state == "broken")
    assert cluster.scale(1).state == "running" and cluster.nodes == 1
    pids |= family(process.pid for process in cluster.processes)
    os.kill(cluster.processes[1].pid, signal.SIGKILL)
    os.kill(head.pid, signal.SIGKILL)
    wait_until_gone(pids)
    assert path.exists() and cluster.state == "stopped"
    assert rustray.clusters.list() == [] and not path.exists()
    rustray.clusters.start("work", num_cpus=1).stop()


def test_three_heads_of_which_one_may_fail(tmp_path: Path) -> None:
    cluster = rustray.clusters.start("three", num_cpus=1, heads=3)
    assert cluster.heads == 3 and len(cluster.address.split(",")) == 3
    rustray.init("three")
    os.kill(cluster.processes[0].pid, signal.SIGKILL)
    assert rustray.get(rustray.remote(len).remote("abc"), timeout=20) == 3
    assert (cluster.state, cluster.remark, cluster.heads) == ("running", "1 of 3 heads is down", 2)
    rustray.shutdown()
    storage = Path(cluster.token_file).parent
    cluster.stop()
    assert not storage.exists()


def test_a_partial_start_is_undone(apart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = launch.start

    def fails_for_nodes(settings: launch.Settings) -> launch.StartedProcess:
        if settings.role == "node":
            raise ClusterStartError("no node today")
        return start(settings)

    monkeypatch.setattr(launch, "start", fails_for_nodes)
    with pytest.raises(ClusterStartError, match="no node today"):
        rustray.clusters.start("work")
    monkeypatch.undo()
    assert names.files() == [] and not [path for path in apart.rglob("*") if path.name != "heads"]
    for wrong in ({"heads": 2}, {"nodes": -1}, {"num_cpus": -1}, {"labels": {"a": 1}}, {"name": "A"}):
        with pytest.raises(OptionError):
            rustray.clusters.start(**wrong)  # type: ignore[arg-type]


def test_of_many_starts_at_once_one_wins(tmp_path: Path) -> None:
    def start(_number: int) -> Cluster | None:
        try:
            return rustray.clusters.start("work", num_cpus=1)
        except ClusterStartError:
            return None

    with ThreadPoolExecutor(4) as pool:
        (won,) = [cluster for cluster in pool.map(start, range(4)) if cluster is not None]
    assert len(registry.clusters()) == 2
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(won.scale, (2, 2)))  # one after the other
    assert won.nodes == 2
    won.stop()


def test_a_node_that_leaves_finishes_its_task(tmp_path: Path) -> None:
    cluster = rustray.clusters.start("work", num_cpus=1, nodes=2)
    rustray.init("work")
    gate = Gate(tmp_path / "gate")

    @rustray.remote
    def held(gate: Gate) -> int:
        gate.wait()
        return os.getppid()

    refs = [held.remote(gate) for _task in range(2)]
    gate.wait_for_waiters(2)
    with ThreadPoolExecutor(1) as pool:
        scaling = pool.submit(cluster.scale, 1)
        newest = [process for process in cluster.processes if process.role == "node"][1]
        # That it does not leave cannot be awaited: it looks each 0.1 s whether it may.
        time.sleep(0.3)
        assert lives(newest.pid) and not scaling.done()
        gate.open()
        scaling.result(30)
    assert len(rustray.get(refs, timeout=20)) == 2
    rustray.shutdown()
    cluster.stop()


class TestPlainCommands:
    """`rustray start --head` and its nodes are in the same registry."""

    def test_start_list_scale_logs_stop(self) -> None:
        assert rustray_command("list") == "No cluster runs here.\n"
        told = rustray_command("start", "--head", "--port", "0", "--num-cpus", "1", "--name", "work")
        assert 'rustray.init("work")' in told
        cluster = rustray.clusters.find()
        rustray_command("start", "--address", cluster.address, "--num-cpus", "2")
        assert (cluster.name, cluster.heads, cluster.nodes) == ("work", 1, 2)
        assert "'work' has 3 nodes here" in rustray_command("scale", "3")
        rustray.init("work")
        assert rustray.cluster_resources()["CPU"] == 4
        rustray.shutdown()
        assert "work  running  1      3" in rustray_command("list")
        assert cluster.token_file in rustray_command("status", "--address", "work")
        assert rustray_command("logs", "work", "--process", "head-1", "-n", "1").startswith("==> head-1")
        taken = rustray_command("start", "--head", "--port", "0", "--name", "work", status=1)
        assert taken.startswith("rustray: A cluster named 'work' runs already") and taken.count("\n") == 1
        assert rustray_command("stop", "work") == "Stopped 1 head and 3 nodes of the cluster 'work'.\n"
        assert registry.clusters() == []

    def test_names_that_nobody_has_given(self) -> None:
        for name in ("default", "default-2"):
            assert f'rustray.init("{name}")' in rustray_command(
                "start", "--head", "--port", "0", "--num-cpus", "1"
            )
        assert "Stopped 2 heads and 2 nodes" in rustray_command("stop", "--all")
        assert names.files() == []


def test_ending_kills_what_does_not_end() -> None:
    from rustray.clusters.connection_file import Process
    from rustray.clusters.processes import create_time

    stubborn = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    with stubborn:
        assert stubborn.stdout is not None and stubborn.stdout.readline()
        process = Process(stubborn.pid, create_time(stubborn.pid) or 0.0, "node", "stubborn", "")
        assert ending.end([process], signal.SIGTERM, 0.1) == [process]
        assert stubborn.wait(10) == -signal.SIGKILL
