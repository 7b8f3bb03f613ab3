"""Heads and nodes as processes of their own: joining, refusing, leaving, and the command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import rustray
from rustray.driver import launch, registry
from rustray.errors import AuthenticationError, ClusterStartError
from rustray.testing import Cluster
from rustray.testing.ports import free_ports
from rustray.wire import certificates
from rustray.wire.security import TOKEN_VARIABLE
from tests.support import ROOT, eventually, lives, run_program, start_program


@rustray.remote
def where(seconds: float = 0.0) -> str:
    time.sleep(seconds)
    return str(rustray.get_runtime_context().get_node_id())


@rustray.remote
def nothing() -> None:
    pass


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2, num_cpus=1) as running:
        yield running


@pytest.fixture
def session(cluster: Cluster) -> Iterator[None]:
    rustray.init(cluster.address, log_to_driver=False)
    yield
    rustray.shutdown()


def node_settings(cluster: Cluster, **others: Any) -> launch.NodeSettings:
    heads = cluster.address.split(",")
    return launch.NodeSettings(
        **{"heads": heads, "token": cluster.token, "resources": {"CPU": 1.0}, **others}
    )


def names(cluster: Cluster) -> set[str]:
    return {node.name for node in cluster.nodes}


class TestJoining:
    def test_tasks_run_on_all_nodes(self, cluster: Cluster, session: None) -> None:
        cluster.wait_for_nodes(2)
        assert {row["NodeID"] for row in rustray.nodes()} == names(cluster)
        assert set(rustray.get([where.remote(0.3) for _task in range(4)], timeout=20)) == names(cluster)
        assert rustray.cluster_resources()["CPU"] == 2
        assert sorted(node.number for node in cluster.nodes) == [1, 2]

    def test_wrong_token_is_refused_with_a_text_that_helps(self, cluster: Cluster) -> None:
        with pytest.raises(AuthenticationError, match="refused the token.*--token-file.*RUSTRAY_TOKEN"):
            launch.start(node_settings(cluster, token="0" * 64))

    def test_no_head_there(self, cluster: Cluster) -> None:
        with pytest.raises(
            ClusterStartError, match="No head took this node within 0.5 s. Tried: 127.0.0.1:1"
        ):
            launch.start(node_settings(cluster, heads=["127.0.0.1:1"], join_timeout=0.5))

    def test_one_head_of_the_list_is_enough(self, cluster: Cluster) -> None:
        heads = ["127.0.0.1:1", *cluster.address.split(",")]
        node = launch.start(node_settings(cluster, heads=heads))
        try:
            assert registry.read_connection_file(node.settings.folder)["heads"] == cluster.address.split(",")
        finally:
            node.stop()

    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_refuses_to_listen_to_others_without_tls(self, cluster: Cluster, host: str) -> None:
        for settings in (launch.HeadSettings(host=host), node_settings(cluster, host=host)):
            with pytest.raises(ClusterStartError, match="Refused to listen at .* without TLS.*--insecure"):
                launch.start(settings)

    def test_listens_to_others_where_the_user_insists(self, cluster: Cluster) -> None:
        node = launch.start(node_settings(cluster, host="0.0.0.0", insecure=True))
        try:
            address = registry.read_connection_file(node.settings.folder)["address"]
            assert address.startswith("127.0.0.1:")  # from where it reaches the head
        finally:
            node.stop()

    def test_a_program_that_is_no_cluster(self, cluster: Cluster) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            head = f"127.0.0.1:{server.getsockname()[1]}"
            with pytest.raises(ClusterStartError, match="No head took this node"):
                launch.start(node_settings(cluster, heads=[head], join_timeout=1.5))

    def test_tls(self, cluster: Cluster, tmp_path: Path) -> None:
        certificates.make(str(tmp_path / "tls"), [])
        certificates.make(str(tmp_path / "other"), [])
        with Cluster(nodes=2, tls_folder=str(tmp_path / "tls")) as secure:
            rustray.init(secure.address)
            try:
                assert set(rustray.get([where.remote(0.3) for _task in range(4)])) == names(secure)
            finally:
                rustray.shutdown()
            with pytest.raises(ClusterStartError, match="probably uses TLS"):
                launch.start(node_settings(secure))
            with pytest.raises(ClusterStartError, match="not of the authority"):
                launch.start(node_settings(secure, tls_folder=str(tmp_path / "other")))
            with pytest.raises(AuthenticationError):
                launch.start(node_settings(secure, tls_folder=str(tmp_path / "tls"), token="0" * 64))
            with pytest.raises(ClusterStartError, match="does not use TLS"):
                launch.start(node_settings(cluster, tls_folder=str(tmp_path / "tls")))


class TestLeaving:
    def test_a_node_that_drains_finishes_its_tasks(self) -> None:
        with Cluster(nodes=2, num_cpus=1) as cluster:
            rustray.init(cluster.nodes[0].address)
            try:
                cluster.wait_for_nodes(2)
                refs = [where.options(max_retries=0).remote(1.0) for _task in range(2)]
                time.sleep(0.5)
                leaving = cluster.nodes[1]
                name = leaving.name
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
                pids = cluster.nodes[1].processes()
                cluster.kill_node(cluster.nodes[1])
                assert not [pid for pid in pids if lives(pid)]
                cluster.wait_for_nodes(1)
                node = cluster.add_node(num_cpus=1, resources={"disk": 1}, labels={"zone": "b"})
                assert node.number == 3
                assert rustray.get(where.options(resources={"disk": 1}).remote()) == node.name
                cluster.pause_node(node)
                cluster.wait_for_nodes(1)
                cluster.resume_node(node)
                cluster.wait_for_nodes(2)
                assert node.number == 4
                assert rustray.get(where.options(resources={"disk": 1}).remote(), timeout=20) == node.name
            finally:
                rustray.shutdown()

    def test_all_ends_with_the_program_that_made_it(self, tmp_path: Path) -> None:
        program = start_program(
            """
            import time
            from rustray.testing import Cluster
            cluster = Cluster(nodes=1)
            print(*cluster.processes(), flush=True)
            time.sleep(60)
            """,
            folder=tmp_path,
        )
        assert program.stdout is not None
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) >= 3  # head, node, zygote
        program.kill()
        program.wait()
        eventually(lambda: not [pid for pid in pids if lives(pid)])


class TestHeads:
    def test_a_single_head_that_is_killed_comes_back_with_what_it_knew(self) -> None:
        with Cluster(nodes=1, num_cpus=1) as cluster:
            rustray.init(cluster.address, namespace="tests")
            try:
                actor = rustray.remote(Counter).options(name="counter", lifetime="detached").remote()
                assert rustray.get(actor.next.remote()) == 1
                running = where.remote(2.0)
                time.sleep(0.5)
                head = cluster.leader
                cluster.kill_head(head)
                assert rustray.get(actor.next.remote(), timeout=5) == 2  # workers and drivers do not need it
                cluster.restart_head(head)
                assert rustray.get(running, timeout=10) in names(cluster)
                assert cluster.leader.facts["epoch"] == 2
                assert rustray.get(where.remote(), timeout=10) in names(cluster)
                assert rustray.get(rustray.get_actor("counter").next.remote()) == 3
            finally:
                rustray.shutdown()

    def test_another_head_leads_when_the_leader_is_killed(self) -> None:
        with Cluster(heads=3, nodes=2, num_cpus=1) as cluster:
            rustray.init(cluster.address)
            try:
                cluster.wait_for_nodes(2)
                first = cluster.leader
                refs = [where.remote(0.2) for _task in range(30)]
                time.sleep(0.5)
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


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def next(self) -> int:
        self.count += 1
        return self.count


class TestGateway:
    """A driver on a machine without a node: a runtime folder of its own stands for the machine."""

    @pytest.fixture
    def elsewhere(self, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("rr")
        folder.chmod(0o700)
        monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(folder))
        for variable in (TOKEN_VARIABLE, "RUSTRAY_TOKEN_FILE", "RUSTRAY_TLS_DIR", "RUSTRAY_ADDRESS"):
            monkeypatch.delenv(variable, raising=False)
        return folder

    PROGRAM = """
        import os, sys, time
        import rustray
        rustray.init(sys.argv[1])

        @rustray.remote
        def where():
            return rustray.get_runtime_context().get_node_id()

        @rustray.remote
        class Anywhere:
            def where(self):
                return rustray.get_runtime_context().get_node_id()

        found = set(rustray.get([where.remote() for _ in range(10)]))
        found |= set(rustray.get([actor.where.remote() for actor in [Anywhere.remote() for _ in range(4)]]))
        print(*found, flush=True)
        if sys.argv[2] == "killed":
            os.kill(os.getpid(), 9)
        if sys.argv[2] == "shutdown":
            rustray.shutdown()
    """

    @pytest.mark.parametrize("end", ["shutdown", "exit", "killed"])
    def test_runs_on_the_cluster_and_leaves_nothing(
        self, cluster: Cluster, elsewhere: Path, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(TOKEN_VARIABLE, cluster.token)
        program = start_program(self.PROGRAM, cluster.address, end, folder=tmp_path)
        printed, _nothing = program.communicate(timeout=40)
        assert program.returncode == (-9 if end == "killed" else 0), printed
        assert set(printed.split()) <= names(cluster)
        eventually(lambda: not registry.clusters())
        if end != "killed":
            eventually(lambda: os.listdir(elsewhere) == [])

    def test_token_file(self, cluster: Cluster, elsewhere: Path, tmp_path: Path, monkeypatch: Any) -> None:
        path = tmp_path / "token"
        path.write_text(cluster.token)
        path.chmod(0o600)
        monkeypatch.setenv("RUSTRAY_TOKEN_FILE", str(path))
        assert set(run_program(self.PROGRAM, cluster.address, "exit", folder=tmp_path).split()) <= names(
            cluster
        )

    def test_errors(self, cluster: Cluster, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ClusterStartError, match="needs its token: set RUSTRAY_TOKEN"):
            rustray.init(cluster.address)
        with pytest.raises(ClusterStartError, match="rustray start --head"):
            rustray.init("auto")
        monkeypatch.setenv(TOKEN_VARIABLE, "0" * 64)
        with pytest.raises(AuthenticationError, match="refused the token"):
            rustray.init(cluster.address)
        assert not rustray.is_initialized()
        monkeypatch.setattr("rustray.driver.discovery.GATEWAY_TIMEOUT_S", 0.5)
        with pytest.raises(
            ClusterStartError, match="No head took this node.*Nobody answers at 127.0.0.1:[12]"
        ):
            rustray.init("127.0.0.1:1,127.0.0.1:2")
        assert registry.clusters() == []


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def apart(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("rr")
        folder.chmod(0o700)
        monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(folder))
        monkeypatch.setenv("COLUMNS", "120")
        yield
        for process in registry.clusters():
            os.kill(process["pid"], signal.SIGKILL)

    def rustray(self, *arguments: str, status: int = 0) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "rustray", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert ran.returncode == status, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def test_start_status_stop(self, tmp_path: Path) -> None:
        assert "No running cluster was found" in self.rustray("status", status=1)
        assert "Nothing of yours" in self.rustray("stop")
        told = self.rustray(
            "start", "--head", "--port", "0", "--num-cpus", "2", "--labels", "zone=a,disk=ssd"
        )
        (head,) = [process for process in registry.clusters() if process["role"] == "head"]
        address = head["address"]
        assert f'rustray.init("{address}")' in told and f"rustray start --address {address}" in told
        assert head["token"] not in told
        path = Path(head["storage"]) / "token"
        assert str(path) in told and path.stat().st_mode & 0o777 == 0o600
        joined = self.rustray("start", "--address", address, "--num-cpus", "1", "--resources", '{"disk": 2}')
        assert "1 CPU, 2 disk" in joined

        status = json.loads(self.rustray("status", "--json"))
        assert status["heads"] == [{"address": address, "state": "leads"}] and status["epoch"] == 1
        assert status["token_file"] == str(path)
        assert [node["resources"]["CPU"] for node in status["nodes"]] == [2, 1]
        assert [node["number"] for node in status["nodes"]] == [1, 2]
        assert status["nodes"][0]["labels"] == {"zone": "a", "disk": "ssd"}
        table = self.rustray("status")
        assert all(node["name"] in table for node in status["nodes"]) and "0 of 2" in table
        assert f"heads, epoch 1: {address} leads" in table and f"token: in {path}" in table
        assert "zone=a" in table

        program = "import rustray, sys; rustray.init('auto'); print(rustray.cluster_resources()['CPU'])"
        assert run_program(program, folder=tmp_path) == "3.0\n"
        pids = [process["pid"] for process in registry.clusters()]
        assert len(pids) == 3
        assert self.rustray("stop", "--drain") == "Stopped 1 head and 2 nodes.\n"
        assert not [pid for pid in pids if lives(pid)]
        root = Path(registry.runtime_folder())
        assert [str(path.relative_to(root)) for path in root.rglob("*")] == ["heads"]

    def test_a_head_that_was_killed_starts_again_for_its_nodes(self, tmp_path: Path) -> None:
        (port,) = free_ports(1)
        command = ["start", "--head", "--port", str(port), "--num-cpus", "1"]
        self.rustray(*command)
        head = next(process for process in registry.clusters() if process["role"] == "head")
        os.kill(head["pid"], signal.SIGKILL)
        eventually(lambda: not lives(head["pid"]))
        told = self.rustray(*command)
        assert "runs here already, and has joined again" in told and "The token:" in told
        (again,) = [process for process in registry.clusters() if process["role"] == "head"]
        twice = self.rustray(*command, status=1)
        assert f"The head at 127.0.0.1:{port} runs here already: process {again['pid']}" in twice
        assert "Nothing of yours at 127.0.0.1:1 runs" in self.rustray(
            "stop", "--address", "127.0.0.1:1", status=1
        )
        status = self.rustray("status", "--address", f"localhost:{port}")
        assert again["address"] in status
        program = "import rustray; rustray.init('auto'); print(rustray.get(rustray.remote(len).remote('ab')))"
        assert run_program(program, folder=tmp_path) == "2\n"
        assert self.rustray("stop") == "Stopped 1 head and 1 node.\n"

    def test_explain(self, tmp_path: Path) -> None:
        self.rustray("start", "--head", "--port", "0", "--num-cpus", "1")
        program = start_program(
            """
            import time, rustray
            rustray.init("auto")
            @rustray.remote
            def busy():
                time.sleep(60)
            refs = [busy.remote() for _ in range(4)]
            print(refs[0].hex(), flush=True)
            time.sleep(60)
            """,
            folder=tmp_path,
        )
        try:
            assert program.stdout is not None
            ref = program.stdout.readline().strip()
            eventually(lambda: "is waiting" in self.explained("busy"))
            assert "it has 1 of up to 4 slots; the node that comes closest lacks 1 CPU" in self.explained(
                "busy"
            )
            assert json.loads(self.rustray("explain", ref, "--json"))["state"] == "running"
            assert "No task of the name 'other' waits" in self.rustray("explain", "other", status=1)
        finally:
            program.kill()
            program.communicate()
            self.rustray("stop", "--all")

    def explained(self, task: str) -> str:
        command = [sys.executable, "-m", "rustray", "explain", task]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50).stdout

    def test_three_heads(self, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("0123456789abcdef" * 2)
        token.chmod(0o600)
        ports = free_ports(3)
        heads = ",".join(f"127.0.0.1:{port}" for port in ports)
        assert "need one token" in self.rustray("start", "--head", "--heads", heads, status=1)
        commands = [
            [
                "start",
                "--head",
                "--heads",
                heads,
                "--port",
                str(port),
                "--token-file",
                str(token),
                "--num-cpus",
                "1",
            ]
            for port in ports
        ]
        for must in ("all must run once", "2 of 3 heads must run"):  # then with what the first time has left
            starting = [
                subprocess.Popen(
                    [sys.executable, "-m", "rustray", *c], cwd=ROOT, stdout=subprocess.PIPE, text=True
                )
                for c in commands
            ]
            for process in starting:
                told, _nothing = process.communicate(timeout=50)
                assert process.returncode == 0 and f'rustray.init("{heads}")' in told, told
                assert "It waits for the others" in told and must in told
            assert len(json.loads(self.rustray("status", "--json", "--address", heads))["nodes"]) == 3
            assert self.rustray("stop", "--address", heads) == "Stopped 3 heads and 3 nodes.\n"

    def test_status_tells_what_is_away(self, tmp_path: Path) -> None:
        with Cluster(heads=3, nodes=2, num_cpus=1) as cluster:
            lost = cluster.nodes[1].name
            cluster.kill_node(cluster.nodes[1])
            followers = [head for head in cluster.heads if head is not cluster.leader]
            cluster.kill_head(followers[0])
            told = eventually(
                lambda: (
                    found
                    if "gone " in (found := self.rustray("status", "--address", cluster.address))
                    else ""
                )
            )
            assert lost in told
            assert f"{cluster.leader.address} leads" in told and f"{followers[1].address} answers" in told
            assert f"{followers[0].address} does not answer" in told
            cluster.kill_head(followers[1])
            told = eventually(lambda: self.away(cluster.address))
            assert "that takes 2 of 3 that run" in told and f"{followers[1].address} does not answer" in told

    def away(self, address: str) -> str:
        command = [sys.executable, "-m", "rustray", "status", "--address", address]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50).stderr
        return told if "No head leads this cluster now" in told else ""

    def test_block_ends_all_with_the_command(self) -> None:
        command = [
            sys.executable,
            "-m",
            "rustray",
            "start",
            "--head",
            "--port",
            "0",
            "--num-cpus",
            "1",
            "--block",
        ]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        while not process.stdout.readline().startswith("Look, stop:"):
            assert process.poll() is None
        assert len(registry.clusters()) == 2
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0 and registry.clusters() == []

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["start", "--head", "--heads", "a:1,b:1"], "a cluster has 1, 3 or 5"),
            (["start", "--head", "--heads", "a:1,a:2,b:1"], "a:1 and a:2 are too close"),
            (["start", "--head", "--resources", "disk=2"], "is not JSON"),
            (["start", "--head", "--labels", "zone"], "'zone' is no label"),
            (["start", "--address", "nowhere"], "give HOST:PORT"),
            (["start", "--address", "127.0.0.1:1"], "--token-file FILE"),
            (["start", "--address", "127.0.0.1:1", "--heads", "a:1"], "--heads is for --head"),
            (["start", "--head", "--host", "0.0.0.0", "--port", "0"], "Refused to listen at 0.0.0.0"),
            (["start", "--head", "--port", "0", "--tls-dir", "/nowhere"], "no readable ca.pem"),
            (["start", "--head", "--token-file", "/nowhere"], "cannot be read"),
        ],
    )
    def test_refusals(self, arguments: list[str], told: str) -> None:
        printed = self.rustray(*arguments, status=1)
        assert printed.startswith("rustray: ") and told in printed and "Traceback" not in printed
        assert registry.clusters() == []

    def test_no_head_stays_behind(self, tmp_path: Path) -> None:
        command = ["start", "--head", "--port", "0", "--storage", str(tmp_path / "head")]
        assert "num_cpus=-1" in self.rustray(*command, "--num-cpus", "-1", status=1)
        assert registry.clusters() == []

    def test_a_head_that_waits_for_others_ends_with_its_command(self, tmp_path: Path) -> None:
        ports = free_ports(3)
        heads = ",".join(f"127.0.0.1:{port}" for port in ports)
        command = ["start", "--head", "--heads", heads, "--port", str(ports[0])]
        environment = {**os.environ, TOKEN_VARIABLE: "0123456789abcdef" * 2}
        process = subprocess.Popen(
            [sys.executable, "-m", "rustray", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert process.stdout is not None
        while "It waits for the others" not in process.stdout.readline():
            assert process.poll() is None
        eventually(lambda: len(registry.clusters()) == 2)
        told = self.rustray("status", status=1)
        assert "No head leads this cluster now" in told and f"{ports[0]} answers" in told
        assert (
            f"waits: its folder is empty: it must ask every other head once, and 127.0.0.1:{ports[1] + 1}"
            in told
        )
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 130 and registry.clusters() == []

    def test_wrong_option_is_told_in_one_line(self) -> None:
        told = self.rustray("start", "--head", "--num-cpus", "two", status=2)
        assert told.count("\n") == 1 and "--num-cpus" in told and "rustray start --help" in told

    def test_on_the_network_with_tls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        address = next(
            (
                found.address
                for name, addresses in psutil.net_if_addrs().items()
                for found in addresses
                if found.family == socket.AF_INET and not found.address.startswith("127.")
            ),
            None,
        )
        if address is None:
            pytest.skip("this machine has no address but loopback's")
        folder = str(tmp_path / "tls")
        assert "10.0.0.7" in self.rustray("certs", folder, "--host", "10.0.0.7")
        self.rustray(
            *("start", "--head", "--port", "0", "--host", address, "--num-cpus", "1", "--tls-dir", folder)
        )
        try:
            head = next(process for process in registry.clusters() if process["role"] == "head")
            assert head["address"].startswith(f"{address}:")
            # Another machine: it knows the cluster by what the user has copied there, and nothing else.
            elsewhere = tmp_path / "rr"
            elsewhere.mkdir(mode=0o700)
            monkeypatch.setenv(TOKEN_VARIABLE, head["token"])
            with monkeypatch.context() as there:
                there.setenv("RUSTRAY_RUNTIME_DIR", str(elsewhere))
                with pytest.raises(
                    ClusterStartError,
                    match="is on another machine, so its TLS folder is needed: set RUSTRAY_TLS_DIR",
                ):
                    rustray.init(head["address"])
                there.chdir(tmp_path)
                there.setenv("RUSTRAY_TLS_DIR", "tls")
                program = """
                    import sys, rustray
                    rustray.init(sys.argv[1])
                    print(rustray.get(rustray.remote(len).remote("x" * 100_000)))
                """
                assert run_program(program, head["address"], folder=tmp_path) == "100000\n"
                there.setenv("RUSTRAY_TLS_DIR", folder)
                self.rustray("start", "--address", head["address"], "--num-cpus", "1")
                assert self.rustray("stop") == "Stopped 1 node.\n"
        finally:
            assert self.rustray("stop") == "Stopped 1 head and 1 node.\n"
