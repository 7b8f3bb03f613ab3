"""Leases of gRPC sessions, on a clock of numbers and without a cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rustray.errors import OptionError
from rustray.head.gateway import TooManyError, UnknownIdError
from rustray.head.grpc_sessions import DEFAULT_LEASE_S, MAX_LEASE_S, MAX_SESSIONS, ClientSessions, lease_of

GATEWAY: Any = SimpleNamespace()


def test_silent_session_expires_once() -> None:
    sessions = ClientSessions()
    session = sessions.add(GATEWAY, 10.0, now=100.0)
    assert sessions.expired(110.0) == []
    assert sessions.expired(110.1) == [session]
    assert sessions.expired(200.0) == []
    with pytest.raises(UnknownIdError, match="OpenSession"):
        sessions.find(session.id, 111.0)


def test_finding_renews() -> None:
    sessions = ClientSessions()
    session = sessions.add(GATEWAY, 10.0, now=100.0)
    assert sessions.find(session.id, 109.0) is session
    assert sessions.expired(118.0) == []
    assert sessions.expired(119.5) == [session]


def test_call_under_way_keeps_a_session() -> None:
    sessions = ClientSessions()
    session = sessions.add(GATEWAY, 10.0, now=100.0)
    session.calls = 1
    assert sessions.expired(1000.0) == []
    session.calls, session.last = 0, 1000.0
    assert sessions.expired(1010.0) == []
    assert sessions.expired(1010.1) == [session]


def test_removed_session_is_the_callers_to_close() -> None:
    sessions = ClientSessions()
    session, other = (sessions.add(GATEWAY, 10.0, now=0.0) for _ in range(2))
    assert session.id != other.id and len(session.id) == 16
    assert sessions.remove(session.id) is session
    assert sessions.remove(session.id) is None
    assert sessions.remove_all() == [other] and len(sessions) == 0


def test_sessions_being_opened_count() -> None:
    sessions = ClientSessions()
    for _ in range(MAX_SESSIONS - 1):
        sessions.add(GATEWAY, 10.0, now=0.0)
    with sessions.opening():
        with pytest.raises(TooManyError, match=str(MAX_SESSIONS)), sessions.opening():
            pass
    with sessions.opening():  # the one that failed to open left its place
        sessions.add(GATEWAY, 10.0, now=0.0)
    with pytest.raises(TooManyError), sessions.opening():
        pass


def test_lease_that_is_asked_for() -> None:
    assert lease_of(0.0) == DEFAULT_LEASE_S
    assert lease_of(0.5) == 0.5
    for wrong in (-1.0, MAX_LEASE_S + 1, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="lease_s"):
            lease_of(wrong)
