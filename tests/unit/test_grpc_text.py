"""gRPC's details, recorded, and what they mean."""

from __future__ import annotations

import pytest

from rustray.wire.grpc_text import meaning

LAST = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    ("details", "clause"),
    [
        (
            LAST + "UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
            "no program listens there",
        ),
        (
            "errors resolving a.example:5: [field:hostname lookup error:address lookup failed for a.example:5: Domain "
            "name not found]",
            "its name is not known on this machine",
        ),
        (
            LAST + "UNKNOWN: ipv4:10.0.0.7:6380: Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: "
            "error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: unable to get local issuer "
            "certificate: OK",
            "its certificate is not of the authority in your TLS folder",
        ),
        (LAST + "UNAVAILABLE: ipv4:10.0.0.7:6380: Socket closed", "the connection was lost"),
        ("keepalive watchdog timeout", "it was not heard of in time"),
        (LAST + "UNKNOWN: ipv6:%5B::1%5D:6380: Something else (context: OK)", "Something else"),
        ("Something of ours.", "Something of ours"),
        ("", ""),
    ],
)
def test_meaning(details: str, clause: str) -> None:
    assert meaning(details) == clause
