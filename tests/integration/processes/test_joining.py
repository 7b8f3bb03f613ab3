"""Nodes as processes of their own that join a cluster, or are refused."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import rustray
from rustray.driver import launch, registry
from rustray.errors import AuthenticationError, ClusterStartError
from rustray.testing import Cluster
from rustray.wire import certificates
from tests.integration.processes.functions import names, node_settings, where
from tests.support import Gate


class TestJoining:
    def test_tasks_run_on_all_nodes(self, cluster: Cluster, session: None, tmp_path: Path) -> None:
        cluster.wait_for_nodes(2)
        rows = rustray.nodes()
        assert {row["NodeID"] for row in rows if row["Alive"]} == names(cluster)
        assert {(row["NodeManagerAddress"], row["NodeManagerPort"] > 0) for row in rows} == {
            ("127.0.0.1", True)
        }
        assert self.where_two_run(tmp_path) == names(cluster)
        assert rustray.cluster_resources()["CPU"] == 2
        assert sorted(node.number for node in cluster.nodes) == [1, 2]

    def where_two_run(self, folder: Path) -> set[str]:
        """The nodes of two tasks that run at once and need a node each."""
        gate = Gate(folder / "gate")
        refs = [where.remote(gate) for _task in range(2)]
        gate.wait_for_waiters(2)
        gate.open()
        return set(rustray.get(refs, timeout=20))

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
                assert self.where_two_run(tmp_path) == names(secure)
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
