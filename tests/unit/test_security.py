"""Which addresses are this machine's alone, and which ones others are told."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from rustray.errors import AuthenticationError, ClusterStartError
from rustray.wire import security
from rustray.wire.security import Security, check_bind, leads_to_loopback, outer_host, reachable_address


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine "here" has its name for 127.0.1.1 in the file of hosts, and is 10.0.0.7 for others."""
    names = {"here": "127.0.1.1", "localhost": "127.0.0.1"}

    def resolve(host: str, port: int, *_others: Any, **_more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", (names.get(host, host), port))]

    class Probe:
        def __init__(self, *_kind: int) -> None:
            self.name = ""

        def __enter__(self) -> Probe:
            return self

        def __exit__(self, *_exc: object) -> None:
            pass

        def connect(self, address: tuple[str, int]) -> None:
            self.name = "127.0.0.1" if address[0].startswith("127.") else "10.0.0.7"

        def getsockname(self) -> tuple[str, int]:
            return self.name, 1

    monkeypatch.setattr(security.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(security.socket, "socket", Probe)
    monkeypatch.setattr(security.socket, "gethostname", lambda: "here")


@pytest.mark.usefixtures("debian")
class TestNameOfLoopback:
    @pytest.mark.parametrize(
        ("host", "alone"),
        [("here", True), ("localhost", True), ("127.3.2.1", True), ("::1", True), ("10.0.0.7", False)],
    )
    def test_what_a_name_leads_to_counts(self, host: str, alone: bool) -> None:
        assert leads_to_loopback(host) is alone

    def test_listening_everywhere_is_not_for_this_machine_only(self) -> None:
        assert not leads_to_loopback("0.0.0.0")
        with pytest.raises(ClusterStartError, match="Refused to listen at 0.0.0.0 without TLS"):
            check_bind("0.0.0.0", Security("token"), insecure=False)
        check_bind("here", Security("token"), insecure=False)

    def test_others_are_told_an_address_that_they_reach(self) -> None:
        assert reachable_address("0.0.0.0:5000", "here:6380") == "10.0.0.7:5000"
        assert reachable_address("0.0.0.0:5000", "10.0.0.9:6380") == "10.0.0.7:5000"
        assert reachable_address("0.0.0.0:5000") == "here:5000"
        assert reachable_address("10.0.0.8:5000", "here:6380") == "10.0.0.8:5000"

    def test_a_cluster_on_loopback_stays_there(self) -> None:
        assert outer_host("127.0.0.1:6380") == "127.0.0.1"
        assert reachable_address("0.0.0.0:5000", "localhost:6380") == "127.0.0.1:5000"


def tls_folder(path: Path, key_mode: int) -> str:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (path / name).write_bytes(name.encode())
        (path / name).chmod(0o644)
    (path / "key.pem").chmod(key_mode)
    return str(path)


def test_a_key_that_is_ones_own_is_taken(tmp_path: Path) -> None:
    loaded = Security.load("token", tls_folder(tmp_path, 0o600))
    assert (loaded.ca, loaded.cert, loaded.key) == (b"ca.pem", b"cert.pem", b"key.pem")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(AuthenticationError, match=r"Others can read .*: chmod 600 .*/key\.pem"):
        Security.load("token", tls_folder(tmp_path, mode))
