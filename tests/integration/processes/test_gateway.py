"""Drivers on a machine without a node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import rustray
from rustray.driver import registry
from rustray.errors import AuthenticationError, ClusterStartError
from rustray.testing import Cluster
from rustray.wire.security import TOKEN_VARIABLE
from tests.integration.processes.functions import names
from tests.support import eventually, run_program, start_program


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
        printed, _nothing = program.communicate(timeout=120)
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
        with pytest.raises(ClusterStartError, match="No program listens at 127.0.0.1:1, 127.0.0.1:2"):
            rustray.init("127.0.0.1:1,127.0.0.1:2")
        assert registry.clusters() == []
