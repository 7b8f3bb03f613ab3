"""Who may take part: new heads, heads that lost their folder, and those that must wait."""

from __future__ import annotations

import pytest

from rustray.head.raft_membership import BLANK, MEMBER, REPLACED, HelloRefused, Membership

HEADS = ["a", "b", "c"]


def head(address: str, state: str = BLANK, met: str = "") -> Membership:
    return Membership(address, [other for other in HEADS if other != address], state, list(met))


def say(speaker: Membership, listener: Membership, term: int = 0) -> None:
    listener.on_hello(speaker.hello(listener.address, term))


def test_new_heads_begin_when_all_have_seen_each_other() -> None:
    a, b, c = map(head, HEADS)
    say(b, a)
    assert a.decide() is None and not a.takes_part
    assert "c is away" in a.waiting
    say(c, a)
    assert a.decide() == 0 and a.votes and a.waiting == ""
    say(a, b)
    say(c, b)
    assert b.decide() == 0  # a takes part already, but has met nobody
    assert b.met == {"a"}


def test_a_head_alone_is_a_member() -> None:
    assert Membership("a", [], BLANK, []).votes


def test_a_head_that_lost_its_folder_is_replaced() -> None:
    b = head("b", MEMBER, "ac")
    c = head("c", MEMBER, "ab")
    a = head("a")
    say(b, a, term=5)
    assert a.decide() is None  # it may have voted in a later term that only c knows of
    say(c, a, term=7)
    assert a.decide() == 7
    assert a.takes_part and not a.votes and a.state == REPLACED
    assert not a.on_proven(term=7, leader_last=100, proven=None)
    assert not a.on_proven(term=7, leader_last=110, proven=99)
    assert not a.on_proven(
        term=8, leader_last=120, proven=110
    )  # of another leader it needs what that one has
    assert a.on_proven(term=8, leader_last=130, proven=120)
    assert a.votes and a.state == MEMBER


def test_two_heads_that_lost_their_folders_wait() -> None:
    a, b, c = head("a"), head("b"), head("c", MEMBER, "ab")
    for listener, speakers in ((a, (b, c)), (b, (a, c))):
        for speaker in speakers:
            say(speaker, listener, term=3)
        assert listener.decide() is None
        assert "more heads" in listener.waiting


def test_one_that_is_being_replaced_cannot_vouch() -> None:
    a, b, c = head("a"), head("b", REPLACED, "ac"), head("c", MEMBER, "ab")
    say(b, a)
    say(c, a)
    assert a.decide() is None


def test_a_head_that_fell_before_it_took_part_is_new_again() -> None:
    b, c = head("b", MEMBER, "c"), head("c", MEMBER, "b")
    a = head("a")
    say(b, a)
    say(c, a)
    assert a.decide() == 0


def test_met_is_news_once_and_only_of_participants() -> None:
    a = head("a", MEMBER)
    assert not a.on_hello(head("b").hello("a", 0))
    assert a.on_hello(head("b", MEMBER).hello("a", 0))
    assert not a.on_hello(head("b", MEMBER).hello("a", 0))
    assert a.hello("b", 0)["met"] and not a.hello("c", 0)["met"]


def test_heads_of_another_cluster_are_refused() -> None:
    a = head("a", MEMBER)
    with pytest.raises(HelloRefused, match="none of the heads"):
        a.on_hello(Membership("x", ["a", "b"], MEMBER, []).hello("a", 0))
    with pytest.raises(HelloRefused, match="started with the heads"):
        a.on_hello(Membership("b", ["a", "x"], MEMBER, []).hello("a", 0))


def test_who_is_away_is_not_asked_from_memory() -> None:
    a, b, c = map(head, HEADS)
    say(b, a)
    a.on_disconnected("b")
    say(c, a)
    assert a.decide() is None
