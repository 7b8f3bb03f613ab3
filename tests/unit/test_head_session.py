"""A node's search for the leading head, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

from rustray.node.head_session import (
    BEAT_S,
    JOIN_S,
    JOINED,
    MAX_PAUSE_S,
    OVER,
    SILENCE_S,
    Close,
    Deliver,
    Dial,
    HeadSession,
    Joined,
    Lost,
    Refused,
    Removed,
    Send,
)

HEADS = ["a:1", "b:1", "c:1"]


def make(addresses: list[str] = HEADS) -> HeadSession:
    return HeadSession(addresses, lambda number, epoch: ("join", 1, number, epoch), lambda: {"load": 1})


def joined(addresses: list[str] = HEADS, epoch: int = 1, now: float = 0.0) -> HeadSession:
    session = make(addresses)
    session.tick(now)
    session.on_open(now)
    accept(session, now, epoch)
    return session


def accept(session: HeadSession, now: float, epoch: int, number: int = 7) -> list[Any]:
    message = ("joined", number, epoch, [(number, "me", "x:1")], HEADS)
    return session.on_messages(now, [("epoch", epoch), message])


def test_joins_the_head_that_leads() -> None:
    session = make()
    assert session.tick(0.0) == [Dial("a:1")]
    assert session.tick(0.0) == []
    assert session.on_open(0.1) == ("join", 1, 0, 0)
    actions = accept(session, 0.2, 3)
    assert actions == [Joined(7, 3, ((7, "me", "x:1"),), tuple(HEADS))]
    assert (session.number, session.epoch, session.head) == (7, 3, "a:1")


def test_follows_the_hint_of_a_follower() -> None:
    session = make()
    session.tick(0.0)
    session.on_open(0.0)
    assert session.on_messages(0.0, [("refused", "not_leader", "c:1")]) == [Close()]
    assert session.tick(0.0) == [Dial("c:1")]


def test_follows_a_hint_to_a_head_that_it_did_not_know() -> None:
    session = make(["a:1"])
    session.tick(0.0)
    session.on_open(0.0)
    session.on_messages(0.0, [("refused", "not_leader", "d:1")])
    assert session.tick(0.0) == [Dial("d:1")]
    assert session.addresses == ["a:1", "d:1"]


def test_tries_all_and_pauses_longer_and_longer() -> None:
    session = make()
    now, dialled, starts = 0.0, [], []
    while len(dialled) < 36:
        for action in session.tick(now):
            dialled.append(action.address)
            starts.append(now)
            session.on_unavailable(now, "nobody answers")
        now += 0.01
    assert all(set(dialled[i : i + 3]) == set(HEADS) for i in range(0, 36, 3))
    pauses = [round(starts[i + 3] - starts[i], 2) for i in range(0, 33, 3)]
    assert pauses[0] < 0.1 and pauses == sorted(pauses) and MAX_PAUSE_S <= pauses[-1] < MAX_PAUSE_S + 0.1
    assert session.trouble == "nobody answers"


def test_a_hint_to_a_head_that_did_not_answer_is_not_believed() -> None:
    session = make(["a:1", "b:1"])
    session.tick(0.0)
    session.on_unavailable(0.0, "gone")
    assert session.tick(0.0) == [Dial("b:1")]
    session.on_open(0.0)
    session.on_messages(0.0, [("refused", "not_leader", "a:1")])
    assert session.tick(0.0) == []  # a round without success: the election takes its time


def test_two_followers_that_name_each_other_do_not_make_it_spin() -> None:
    session = make(["a:1", "b:1"])
    dials = 0
    for step in range(1000):
        now = step / 1000
        if session.tick(now):
            dials += 1
            other = {"a:1": "b:1", "b:1": "a:1"}[session.head]
            session.on_open(now)
            session.on_messages(now, [("refused", "not_leader", other)])
    assert 2 < dials < 20


def test_after_a_loss_the_others_are_tried_first() -> None:
    session = joined()
    assert session.on_closed(5.0, "reset") == [Lost("reset")]
    order = []
    for _head in HEADS:
        order += [action.address for action in session.tick(5.0)]
        session.on_unavailable(5.0, "")
    assert order == ["b:1", "c:1", "a:1"]


def test_silence_is_a_loss_and_beats_are_sent() -> None:
    session = joined()
    assert session.tick(BEAT_S - 0.01) == []
    assert session.tick(BEAT_S) == [Send((("beat", {"load": 1}),))]
    session.on_messages(2.0, [("epoch", 1), ("beat",)])
    assert session.tick(2.0 + SILENCE_S - 0.1) == [Send((("beat", {"load": 1}),))]
    close, lost = session.tick(2.0 + SILENCE_S + 0.1)
    assert close == Close() and f"silent for {SILENCE_S:g} s" in lost.reason
    assert session.on_closed(9.0, "later") == []


def test_a_join_without_an_answer_is_given_up() -> None:
    session = make()
    session.tick(0.0)
    session.on_open(0.0)
    assert session.tick(JOIN_S - 0.1) == []
    assert session.tick(JOIN_S + 0.1) == [Close()]
    assert session.tick(JOIN_S + 0.1) == [Dial("b:1")]


def test_a_deposed_head_is_not_obeyed() -> None:
    session = joined(epoch=5)
    assert session.on_messages(1.0, [("epoch", 5), ("grant", 1)]) == [Deliver(("grant", 1))]
    actions = session.on_messages(1.1, [("epoch", 4), ("grant", 2)])
    assert actions[0] == Close() and isinstance(actions[1], Lost) and len(actions) == 2
    session.tick(1.2)
    session.on_open(1.2)
    assert accept(session, 1.3, 4)[0] == Close()
    session.tick(1.4)
    session.on_open(1.4)
    assert isinstance(accept(session, 1.5, 6)[0], Joined)


def test_who_hears_of_a_later_leader_obeys_its_own_no_more() -> None:
    session = joined(epoch=5)
    session.hear_epoch(4)
    assert session.on_messages(1.0, [("epoch", 5), ("grant", 1)]) == [Deliver(("grant", 1))]
    session.hear_epoch(6)
    told = [("epoch", 5), ("grant", 2), ("beat",), ("grant", 3)]
    close, lost = session.on_messages(1.1, told)
    assert close == Close()
    assert lost == Lost("the head at a:1 is of epoch 5, and there has been 6: refused beat, grant")
    assert session.tick(1.1) == [Dial("b:1")]


def test_what_changes_facts_is_kept_until_acknowledged_and_sent_again() -> None:
    session = make()
    assert session.send(("job_start", 1)) == []
    session.tick(0.0)
    session.on_open(0.0)
    assert session.send(("kill_actor", 2)) == []
    assert accept(session, 0.1, 1)[1] == Send((("keep", 1, ("job_start", 1)), ("keep", 2, ("kill_actor", 2))))
    assert session.send(("job_end", 3)) == [Send((("keep", 3, ("job_end", 3)),))]
    session.on_messages(0.2, [("epoch", 1), ("ack", 1), ("ack", 3), ("ack", 99)])
    assert session.unacknowledged == 1
    session.on_closed(0.3, "reset")
    session.tick(0.3)
    session.on_open(0.3)
    assert accept(session, 0.4, 2)[1] == Send((("keep", 2, ("kill_actor", 2)),))


def test_what_a_report_tells_is_not_kept() -> None:
    session = joined()
    assert session.send(("demand", b"k", 1, 2)) == [Send((("demand", b"k", 1, 2),))]
    session.on_closed(1.0, "reset")
    assert session.send(("demand", b"k", 1, 3)) == []  # the next report has it
    session.tick(1.0)
    session.on_open(1.0)
    session.send(("demand", b"k", 1, 4))  # the report has been made
    assert accept(session, 1.1, 2)[1] == Send((("demand", b"k", 1, 4),))


def test_a_node_taken_for_dead_joins_as_a_new_one() -> None:
    session = joined()
    session.send(("job_start", 1))
    session.on_closed(1.0, "reset")
    session.tick(1.0)
    session.on_open(1.0)
    assert session.on_messages(1.0, [("epoch", 2), ("refused", "removed", "")]) == [Close(), Removed()]
    assert session.unacknowledged == 0
    assert session.tick(1.0) == [Dial("b:1")]
    assert session.on_open(1.0) == ("join", 1, 0, 2)


def test_a_wrong_token_ends_the_first_search_only() -> None:
    session = make()
    session.tick(0.0)
    assert session.on_refused(0.0, "wrong token") == [Refused("wrong token")]
    assert session.state == OVER and session.tick(10.0) == []
    session = joined()
    session.on_closed(1.0, "reset")
    session.tick(1.0)
    assert session.on_refused(1.0, "another program") == []
    session.tick(1.0)
    session.on_open(1.0)
    accept(session, 1.0, 1)
    assert session.state == JOINED


def test_another_version_is_final() -> None:
    session = make()
    session.tick(0.0)
    session.on_open(0.0)
    assert session.on_messages(0.0, [("refused", "version", "install 2")]) == [Close(), Refused("install 2", "version")]
    assert session.state == OVER


def test_a_head_that_cannot_take_it_now_is_tried_again() -> None:
    session = make(["a:1"])
    session.tick(0.0)
    session.on_open(0.0)
    assert session.on_messages(0.0, [("refused", "unable", "the disk of head a:1 is full")]) == [Close()]
    assert session.trouble == "the disk of head a:1 is full"
    assert session.tick(MAX_PAUSE_S) == [Dial("a:1")]
    assert session.addresses == ["a:1"]
