"""A peer proves the token before anything it sends is decoded, and nobody can change what is sealed."""

from __future__ import annotations

import marshal
import random

import pytest

from rustray.head import raft_link
from rustray.head.raft_link import FRAME_BYTES, MAGIC, LinkRefused, SecureLink


def flow(source: SecureLink, target: SecureLink, chunk: int = 1 << 20) -> list[object]:
    """Carry what `source` has to send, in chunks; the messages that arrive."""
    data = bytes(source.outgoing)
    source.outgoing.clear()
    messages: list[object] = []
    for start in range(0, len(data), chunk):
        messages += target.receive(data[start : start + chunk])
    return messages


def established(token: bytes = b"token") -> tuple[SecureLink, SecureLink]:
    dialer, listener = SecureLink(token, dials=True), SecureLink(token, dials=False)
    flow(dialer, listener)
    flow(listener, dialer)
    flow(dialer, listener)
    assert dialer.established and listener.established
    return dialer, listener


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_messages_cross_both_ways(chunk: int) -> None:
    dialer, listener = SecureLink(b"token", dials=True), SecureLink(b"token", dials=False)
    flow(dialer, listener, chunk)
    flow(listener, dialer, chunk)
    dialer.send({"type": "hello"})
    assert flow(dialer, listener, chunk) == [{"type": "hello"}]
    listener.send([1, b"two", (None, 3.5)])
    listener.send("more")
    assert flow(listener, dialer, chunk) == [[1, b"two", (None, 3.5)], "more"]


def test_another_token_is_refused_by_both() -> None:
    dialer, listener = SecureLink(b"token", dials=True), SecureLink(b"other", dials=False)
    flow(dialer, listener)
    with pytest.raises(LinkRefused, match="another token"):
        flow(listener, dialer)
    forged = SecureLink(b"wrong", dials=True)
    listener = SecureLink(b"token", dials=False)
    flow(forged, listener)
    forged.outgoing.clear()
    with pytest.raises(LinkRefused, match="another token"):
        listener.receive(bytes(32))


def test_our_own_proof_sent_back_is_none() -> None:
    dialer, listener = SecureLink(b"token", dials=True), SecureLink(b"token", dials=False)
    flow(dialer, listener)
    reply = bytes(listener.outgoing)
    with pytest.raises(LinkRefused):
        listener.receive(reply[-32:])


def test_strangers_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft_link.marshal, "loads", lambda data: pytest.fail("decoded"))
    rng = random.Random(5)
    for data in (b"GET / HTTP/1.1\r\n\r\n", rng.randbytes(500), MAGIC + rng.randbytes(500), bytes(100)):
        with pytest.raises(LinkRefused):
            SecureLink(b"token", dials=False).receive(data)
        with pytest.raises(LinkRefused):
            SecureLink(b"token", dials=True).receive(data)


def test_changed_repeated_and_missing_frames_are_refused() -> None:
    for spoil in (
        lambda one, two: one[:-1] + bytes([one[-1] ^ 1]),
        lambda one, two: one + one,
        lambda one, two: two,
        lambda one, two: two + one,
    ):
        dialer, listener = established()
        dialer.send("one")
        one = bytes(dialer.outgoing)
        dialer.outgoing.clear()
        dialer.send("two")
        with pytest.raises(LinkRefused, match="changed"):
            listener.receive(spoil(one, bytes(dialer.outgoing)))


def test_what_one_side_sent_cannot_be_sent_to_it() -> None:
    dialer, _listener = established()
    dialer.send("one")
    with pytest.raises(LinkRefused):
        dialer.receive(bytes(dialer.outgoing))


def test_a_frame_has_a_limit() -> None:
    _dialer, listener = established()
    with pytest.raises(LinkRefused, match="frame of"):
        listener.receive((FRAME_BYTES + 1).to_bytes(4, "little"))


def test_two_links_have_nothing_in_common() -> None:
    frames = []
    for _ in range(2):
        dialer, _listener = established()
        dialer.send("the same")
        frames.append(bytes(dialer.outgoing))
    assert frames[0] != frames[1]
    assert marshal.dumps("the same", 4) not in frames[0]
