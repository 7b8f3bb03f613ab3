"""The gRPC service, asked by a client that has grpcio and the stubs alone: see client.py."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rustray
from rustray.driver import discovery, launch, registry
from rustray.testing import Cluster
from tests.support import ROOT, eventually, lives

HERE = Path(__file__).parent
CHECKS = {
    check: program
    for program in sorted(HERE.glob("checks_of_*.py"))
    for check in re.findall(r"^def (check_\w+)\(", program.read_text(), re.MULTILINE)
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(num_cpus=2) as running:
        yield running


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """A folder with stubs made from the proto file alone, as docs/grpc.md says."""
    pytest.importorskip("grpc_tools", reason="grpcio-tools of the test extra is not installed")
    out = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    proto = ["-I", str(ROOT / "rustray/wire"), "rustray.proto"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *out, *proto], check=True, cwd=tmp_path)
    return tmp_path


def run(*command: str, stubs: Path) -> str:
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=stubs,
        env={**os.environ, "PYTHONPATH": f"{stubs}:{HERE}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize("check", CHECKS)
def test_bare_client(cluster: Cluster, stubs: Path, check: str) -> None:
    connection = str(Path(cluster.folder) / "cluster.json")
    log = Path(cluster.folder) / "logs/node.log"
    before = len(log.read_text())
    assert run(str(CHECKS[check]), str(stubs), connection, check, stubs=stubs).split() == ["passed"]
    assert "Traceback" not in (told := log.read_text()[before:]), told


def test_client_of_the_documentation(cluster: Cluster, stubs: Path) -> None:
    text = (ROOT / "docs/grpc.md").read_text()
    program = next(
        code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "import grpc\n" in code
    )
    (stubs / "client.py").write_text(program)
    (stubs / "token").write_text(cluster.token + "\n")
    printed = run("client.py", cluster.nodes[0].address, str(stubs / "token"), stubs=stubs)
    assert printed.split("\n") == ["[1, 2, 3]", "6", ""]


def test_address_is_of_the_loopback_interface(cluster: Cluster) -> None:
    assert re.fullmatch(r"127\.0\.0\.1:\d+", cluster.address)
    path = Path(cluster.folder) / "cluster.json"
    assert path.stat().st_mode & 0o777 == 0o600
    for address in (cluster.address, cluster.nodes[0].address):
        assert discovery.find_node(address) == registry.socket_path(cluster.folder)


def test_taken_port_is_told_at_the_start(cluster: Cluster) -> None:
    settings = launch.HeadSettings(port=int(cluster.address.rpartition(":")[2]))
    with pytest.raises(rustray.exceptions.ClusterStartError, match="cannot listen at 127.0.0.1"):
        launch.start(settings)


def test_embedded_cluster_serves_too_and_ends_with_its_driver(stubs: Path) -> None:
    context = rustray.init(num_cpus=1)
    try:
        path = Path(context["session_dir"]) / "cluster.json"
        connection = eventually(lambda: (c := json.loads(path.read_text())).get("address") and c)
        program = (
            "from client import Client\n"
            "client = Client()\nassert client.get(client.submit(lambda: 5)) == 5\nprint(client.session.hex())\n"
        )
        (stubs / "leaver.py").write_text(program)
        run("leaver.py", str(stubs), str(path), stubs=stubs)  # its session stays open
    finally:
        rustray.shutdown()
    eventually(lambda: not lives(connection["pid"]))
