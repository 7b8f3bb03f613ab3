"""The command rustray, and the heads and nodes that it starts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import rustray
from rustray.driver import registry
from rustray.driver.ports import free_ports
from rustray.errors import ClusterStartError
from rustray.testing import Cluster
from rustray.wire.security import TOKEN_VARIABLE
from tests.support import ROOT, eventually, lives, run_program, rustray_command, start_program


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

    def test_start_status_stop(self, tmp_path: Path) -> None:
        assert "No running cluster was found" in rustray_command("status", status=1)
        assert "Nothing of yours" in rustray_command("stop")
        told = rustray_command(
            "start", "--head", "--port", "0", "--num-cpus", "2", "--labels", "zone=a,disk=ssd"
        )
        (head,) = [process for process in registry.clusters() if process["role"] == "head"]
        address = head["address"]
        assert f'rustray.init("{address}")' in told and f"rustray start --address {address}" in told
        assert head["token"] not in told
        path = Path(head["storage"]) / "token"
        assert str(path) in told and path.stat().st_mode & 0o777 == 0o600
        joined = rustray_command(
            "start", "--address", address, "--num-cpus", "1", "--resources", '{"disk": 2}'
        )
        assert "1 CPU, 2 disk" in joined

        status = json.loads(rustray_command("status", "--json"))
        (head,) = status["heads"]
        assert (head["address"], head["state"], status["epoch"]) == (address, "leads", 1)
        assert head["pid"] in [process["pid"] for process in registry.clusters() if process["role"] == "head"]
        assert status["token_file"] == str(path)
        assert [node["resources"]["CPU"] for node in status["nodes"]] == [2, 1]
        assert [node["number"] for node in status["nodes"]] == [1, 2]
        assert status["nodes"][0]["labels"] == {"zone": "a", "disk": "ssd"}
        table = rustray_command("status")
        assert all(node["name"] in table for node in status["nodes"]) and "0 of 2" in table
        assert f"heads, epoch 1: {address} leads" in table and f"token: in {path}" in table
        assert "zone=a" in table

        program = "import rustray, sys; rustray.init('auto'); print(rustray.cluster_resources()['CPU'])"
        assert run_program(program, folder=tmp_path) == "3.0\n"
        pids = [process["pid"] for process in registry.clusters()]
        assert len(pids) == 3
        assert rustray_command("stop", "--drain") == "Stopped 1 head and 2 nodes.\n"
        assert not [pid for pid in pids if lives(pid)]
        root = Path(registry.runtime_folder())
        assert [str(path.relative_to(root)) for path in root.rglob("*")] == ["heads"]

    def test_a_start_goes_on_though_nobody_reads_what_it_tells(self) -> None:
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as pipe:
            command = [sys.executable, "-m", "rustray", "start", "--head", "--port", "0", "--num-cpus", "1"]
            ended = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, cwd=ROOT, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert [process["role"] for process in registry.clusters()] == ["head", "node"]
        told = rustray_command("stop", "nope", status=1)
        assert told == "rustray: No cluster named 'nope' runs here. There are: default.\n"
        rustray_command("stop")

    def test_a_head_that_was_killed_starts_again_for_its_nodes(self, tmp_path: Path) -> None:
        (port,) = free_ports(1)
        command = ["start", "--head", "--port", str(port), "--num-cpus", "1"]
        rustray_command(*command)
        head = next(process for process in registry.clusters() if process["role"] == "head")
        os.kill(head["pid"], signal.SIGKILL)
        eventually(lambda: not lives(head["pid"]))
        told = rustray_command(*command)
        assert "runs here already, and has joined again" in told and "The token:" in told
        (again,) = [process for process in registry.clusters() if process["role"] == "head"]
        twice = rustray_command(*command, status=1)
        assert f"The head at 127.0.0.1:{port} runs here already: process {again['pid']}" in twice
        assert "For another cluster give --port" in twice
        assert "Nothing of yours at 127.0.0.1:1 runs" in rustray_command(
            "stop", "--address", "127.0.0.1:1", status=1
        )
        status = rustray_command("status", "--address", f"localhost:{port}")
        assert again["address"] in status
        program = "import rustray; rustray.init('auto'); print(rustray.get(rustray.remote(len).remote('ab')))"
        assert run_program(program, folder=tmp_path) == "2\n"
        assert rustray_command("stop") == "Stopped 1 head and 1 node.\n"

    def test_explain(self, tmp_path: Path) -> None:
        rustray_command("start", "--head", "--port", "0", "--num-cpus", "1")
        program = start_program(
            """
            import time, rustray
            rustray.init("auto")
            @rustray.remote
            def busy():
                time.sleep(60)  # until the driver is killed
            refs = [busy.remote() for _ in range(4)]
            print(refs[0].hex(), flush=True)
            time.sleep(60)  # until it is killed
            """,
            folder=tmp_path,
        )
        try:
            assert program.stdout is not None
            ref = program.stdout.readline().strip()
            eventually(lambda: "is waiting" in self.explained("busy"))
            assert "it has 1 of 4 slots asked for; the node that comes closest lacks 1 CPU" in self.explained(
                "busy"
            )
            assert json.loads(rustray_command("explain", ref, "--json"))["state"] == "running"
            assert "No task of the name 'other' waits" in rustray_command("explain", "other", status=1)
        finally:
            program.kill()
            program.communicate()
            rustray_command("stop", "--all")

    def explained(self, task: str) -> str:
        command = [sys.executable, "-m", "rustray", "explain", task]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout

    def test_three_heads(self, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("0123456789abcdef" * 2)
        token.chmod(0o600)
        ports = free_ports(3)
        heads = ",".join(f"127.0.0.1:{port}" for port in ports)
        assert "need one token" in rustray_command("start", "--head", "--heads", heads, status=1)
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
                told, _nothing = process.communicate(timeout=120)
                assert process.returncode == 0 and f'rustray.init("{heads}")' in told, told
                assert "It waits for the others" in told and must in told
            assert len(json.loads(rustray_command("status", "--json", "--address", heads))["nodes"]) == 3
            assert rustray_command("stop", "--address", heads) == "Stopped 3 heads and 3 nodes.\n"

    def test_status_tells_what_is_away(self, tmp_path: Path) -> None:
        with Cluster(heads=3, nodes=2, num_cpus=1) as cluster:
            lost = cluster.nodes[1].name
            cluster.kill_node(cluster.nodes[1])
            leader = cluster.leader
            followers = [head for head in cluster.heads if head is not leader]
            cluster.kill_head(followers[0])
            first, second = (head.address for head in followers)
            self.await_status(
                cluster.address,
                *("gone ", lost, f"{leader.address} leads", f"{second} answers", f"{first} does not answer"),
            )
            cluster.kill_head(followers[1])
            eventually(lambda: not leader.leads)
            self.await_status(
                cluster.address,
                *("No head leads this cluster now", "that takes 2 of 3 that run", f"{second} does not answer"),
            )

    def await_status(self, address: str, *texts: str) -> None:
        """Wait until the command tells all of it: a head is given a second to answer, which others may take from it."""
        command = [sys.executable, "-m", "rustray", "status", *(("--address", address) if address else ())]
        told = ""

        def is_told() -> bool:
            nonlocal told
            ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
            told = ran.stdout + ran.stderr
            return all(text in told for text in texts)

        try:
            eventually(is_told)
        except AssertionError:
            raise AssertionError(f"{texts} are not all in:\n{told}") from None

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
            (["start", "--head", "--token-file", "/nowhere"], "There is no token file /nowhere. Make one"),
        ],
    )
    def test_refusals(self, arguments: list[str], told: str) -> None:
        printed = rustray_command(*arguments, status=1)
        assert printed.startswith("rustray: ") and told in printed and "Traceback" not in printed
        assert registry.clusters() == []

    def test_no_head_stays_behind(self, tmp_path: Path) -> None:
        command = ["start", "--head", "--port", "0", "--storage", str(tmp_path / "head")]
        assert "num_cpus=-1" in rustray_command(*command, "--num-cpus", "-1", status=1)
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
        waits = f"waits: its folder is empty: it must ask every other head once, and 127.0.0.1:{ports[1] + 1}"
        self.await_status("", "No head leads this cluster now", f"{ports[0]} answers", waits)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 130 and registry.clusters() == []

    def test_wrong_option_is_told_in_one_line(self) -> None:
        told = rustray_command("start", "--head", "--num-cpus", "two", status=2)
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
        assert "10.0.0.7" in rustray_command("certs", folder, "--host", "10.0.0.7")
        rustray_command(
            *("start", "--head", "--port", "0", "--host", address, "--num-cpus", "1", "--tls-dir", folder)
        )
        try:
            head = next(process for process in registry.clusters() if process["role"] == "head")
            assert head["address"].startswith(f"{address}:")
            # Another machine: it knows the cluster by what the user has copied there, and nothing else.
            elsewhere = tmp_path.parent / "rr"  # short enough for a socket in it
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
                rustray_command("start", "--address", head["address"], "--num-cpus", "1")
                assert rustray_command("stop") == "Stopped 1 node.\n"
        finally:
            assert rustray_command("stop") == "Stopped 1 head and 1 node.\n"
