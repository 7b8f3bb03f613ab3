"""Who may open a channel, and where a server may listen: tokens, TLS, addresses."""

from __future__ import annotations

from pathlib import Path

import grpc.aio
import pytest

from rustray.errors import ClusterStartError
from rustray.wire import certificates
from rustray.wire.channels import ChannelRefused, Security, dial
from rustray.wire.security import check_bind, read_token
from tests.unit.channels.ends import HELLO, SECURITY, TIMEOUT_S, Server, run, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tls")
    certificates.make(str(folder), ["head.example"])
    return str(folder)


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),)])
def test_wrong_or_no_token(caplog: pytest.LogCaptureFixture, metadata: tuple[tuple[str, str], ...]) -> None:
    async def test() -> None:
        async with Server() as server:
            with pytest.raises(ChannelRefused, match="refused the token.*--token-file.*RUSTRAY_TOKEN"):
                await dial(server.address, HELLO, Security("another token"), TIMEOUT_S)
            async with grpc.aio.insecure_channel(server.address) as connection:
                call = connection.stream_stream("/rustray.v1.Links/Open")(metadata=metadata)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert server.hellos == []

    run(test, caplog)


def test_certificates_are_of_one_authority_and_nobody_else_reads_them(authority: str) -> None:
    from cryptography import x509

    folder = Path(authority)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
        ("ca.pem", "ca.key", "cert.pem", "key.pem"), 0o600
    )
    ca = (folder / "ca.pem").read_bytes()
    names = certificates.make(authority, ["10.1.2.3"])
    assert names[0] == "10.1.2.3" and "127.0.0.1" in names
    assert (folder / "ca.pem").read_bytes() == ca
    certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))


def test_tls(authority: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secure = Security.load(SECURITY.token, authority)
    certificates.make(str(tmp_path), [])
    other = Security.load(SECURITY.token, str(tmp_path))

    async def test() -> None:
        async with Server(secure) as server:
            for _again in range(2):
                channel = await dial(server.address, HELLO, secure, TIMEOUT_S)
                channel.send(("secret",))
                await until(lambda: server.ends and server.ends[-1].messages == [("secret",)])
                assert channel.intact and server.ends[-1].channel.intact
                channel.close()
                await channel.wait_closed()
            with pytest.raises(ChannelRefused, match="not of the authority"):
                await dial(server.address, HELLO, other, TIMEOUT_S)
            with pytest.raises(ChannelRefused, match="probably uses TLS"):
                await dial(server.address, HELLO, SECURITY, TIMEOUT_S)
            with pytest.raises(ChannelRefused, match="refused the token"):
                await dial(server.address, HELLO, Security("another", secure.ca), TIMEOUT_S)
        async with Server() as plain:
            with pytest.raises(ChannelRefused, match="does not use TLS"):
                await dial(plain.address, HELLO, secure, TIMEOUT_S)

    run(test, caplog)


def test_where_a_server_may_listen() -> None:
    bare, secure = Security("token"), Security("token", b"ca", b"cert", b"key")
    for host in ("127.0.0.1", "localhost", "::1"):
        check_bind(host, bare, insecure=False)
    with pytest.raises(ClusterStartError, match="without TLS.*rustray certs"):
        check_bind("0.0.0.0", bare, insecure=False)
    with pytest.raises(ClusterStartError, match="without a token:"):
        check_bind("10.0.0.1", Security("", b"ca", b"cert", b"key"), insecure=False)
    check_bind("0.0.0.0", bare, insecure=True)
    check_bind("0.0.0.0", secure, insecure=False)


def test_token_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rustray.errors import AuthenticationError

    monkeypatch.setenv("RUSTRAY_TOKEN", "from the environment".replace(" ", "-"))
    assert read_token() == "from-the-environment"
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\n")
    path.chmod(0o644)
    with pytest.raises(AuthenticationError, match="chmod 600"):
        read_token(str(path))
    path.chmod(0o600)
    assert read_token(str(path)) == "0123456789abcdef"
    path.write_text("short")
    with pytest.raises(AuthenticationError, match="at least 16"):
        read_token(str(path))
    assert "0123456789abcdef" not in repr(Security("0123456789abcdef"))
