"""What gRPC's details of a failed connection mean, for people."""

from __future__ import annotations

import re

_MEANINGS = (
    (("connection refused",), "no program listens there"),
    (("name not found", "lookup", "name resolution", "dns"), "its name is not known on this machine"),
    (("no route to host", "unreachable"), "there is no way from this machine to it"),
    (("certificate_verify_failed",), "its certificate is not of the authority in your TLS folder"),
    (("wrong_version_number",), "it does not use TLS"),
    (("timeout", "timed out", "deadline"), "it was not heard of in time"),
    (("socket closed", "connection reset", "broken pipe", "goaway"), "the connection was lost"),
)
_WRAPPING = re.compile(
    r"failed to connect to all addresses; last error: |\b[A-Z_]+: (?=ipv[46]:)|ipv[46]:\S+: |: OK$| \(context: OK\)$"
)


def meaning(details: str) -> str:
    """A clause that says why; of details that are not known here, what is not gRPC's wrapping."""
    lowered = details.lower()
    for words, clause in _MEANINGS:
        if any(word in lowered for word in words):
            return clause
    return _WRAPPING.sub("", details).rstrip(".")
