"""Ledgers of several nodes by scenario; storms are in test_federation_random.py. Messages arrive at once, unless a test
holds them back."""

from __future__ import annotations

import pytest

from rustray.model.ids import make_object_id
from rustray.store import actions as act
from rustray.store.actions import IN_BLOCK, Deliver, Freed, Recover
from rustray.store.allocator import MIB
from tests.unit.federation_bench import A1, A2, B1, B2, C1, Nodes, X, Y, Z, hold


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


def test_an_object_lives_as_long_as_somebody_on_another_node_holds_it(nodes: Nodes) -> None:
    hold(nodes, A1, X)
    nodes.do("hold_for", A1, B1, [X])
    assert nodes.do("release", A1, [X]) == []
    assert nodes.do("want", B1, X) == [Deliver(B1, X, 0, "value")]
    assert nodes.do("release", B1, [X]) == [Freed(A1, [X])]
    assert nodes.knows(X) == set()


def test_a_release_may_overtake_the_hold_from_another_node(nodes: Nodes) -> None:
    hold(nodes, A1, X)
    nodes.late("hold_for", A1, B1, [X])
    nodes.late("release", B1, [X])  # it had the ref by its lease, and has dropped it
    nodes.late("release", A1, [X])
    assert nodes.found == []
    assert nodes.settle() == [Freed(A1, [X])]


def test_a_third_node_registers_before_the_one_that_told_it_lets_go(nodes: Nodes) -> None:
    hold(nodes, A1, X)
    nodes.do("hold_for", A1, B1, [X])
    nodes.do("release", A1, [X])
    nodes.late("hold_for", B1, C1, [X])
    nodes.late("release", B1, [X])
    nodes.deliver(2, 3)
    assert not nodes.links.get((2, 1)), "node 2 holds it in transit"
    nodes.deliver(3, 1)
    nodes.deliver(1, 2)
    nodes.deliver(2, 1)
    assert nodes.found == []
    assert nodes.do("want", C1, X) == [Deliver(C1, X, 0, "value")]
    assert nodes.do("release", C1, [X]) == [Freed(A1, [X])]


def test_a_hand_over_to_who_is_gone_leaves_nothing(nodes: Nodes) -> None:
    hold(nodes, A1, X)
    nodes.do("hold_for", A1, B1, [X])
    nodes.do("disconnect", C1)
    nodes.do("hold_for", B1, C1, [X])
    nodes.do("release", B1, [X])
    assert nodes.do("release", A1, [X]) == [Freed(A1, [X])]
    assert nodes.knows(X) == set()


def test_a_result_made_elsewhere_is_held_once_for_who_asked_for_it(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    assert nodes.told == ["copy"]
    [delivered] = nodes.do("want", A1, X)
    assert isinstance(delivered, Deliver) and delivered.status == IN_BLOCK
    nodes.do("unread", A1, X)
    assert nodes.knows(X) == {1, 2}
    assert nodes.do("release", A1, [X]) == [Freed(A1, [X])]
    assert nodes.knows(X) == set()
    assert all(ledger.stats()["used"] == 0 for ledger in nodes.ledgers.values())


def test_a_repeated_task_may_seal_on_another_node_again(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    nodes.put(C1, X, holder=A1)
    assert nodes.do("release", A1, [X]) == [Freed(A1, [X])]
    assert nodes.knows(X) == set()


def test_a_result_that_failed_is_taken_back(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    assert nodes.do("retract", A1, [X]) == [Freed(A1, [X])]
    assert nodes.knows(X) == set()


def test_a_result_for_who_is_gone_is_dropped(nodes: Nodes) -> None:
    nodes.do("disconnect", A1)
    nodes.put(B1, X, holder=A1)
    assert nodes.knows(X) == set()


def test_the_second_reader_of_a_node_finds_the_copy_of_the_first(nodes: Nodes) -> None:
    nodes.put(A1, X)
    nodes.do("hold_for", A1, B1, [X])
    nodes.do("want", B1, X)
    nodes.told.clear()
    [delivered] = nodes.do("want", B2, X)
    assert isinstance(delivered, Deliver) and delivered.status == IN_BLOCK and nodes.told == []


def test_a_third_node_pulls_from_where_the_copy_is(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    nodes.told.clear()
    nodes.do("want", C1, X)  # lent to it: A1 holds it
    assert nodes.told[:4] == ["want", "at", "pull", "source"] and set(nodes.told[4:]) == {"unread", "have"}
    nodes.do("unread", C1, X)
    assert nodes.do("release", A1, [X]) == [Freed(A1, [X])]
    assert nodes.knows(X) == set()


def test_what_a_value_contains_is_held_where_a_copy_is(nodes: Nodes) -> None:
    hold(nodes, B1, Z)
    nodes.do("hold_for", B1, A1, [Z])
    nodes.put(A1, X, (Z,))
    nodes.do("release", A1, [Z])
    nodes.do("release", B1, [Z])
    nodes.do("want", C1, X)
    nodes.do("hold", C1, [Z])  # read out of X
    nodes.do("unread", C1, X)
    assert nodes.do("release", A1, [X]) == [Freed(A1, [X])]
    assert nodes.do("want", C1, Z) == [Deliver(C1, Z, 0, "value")]
    assert nodes.do("release", C1, [Z]) == [Freed(B1, [Z])]


def test_a_small_value_with_refs_in_it_stays_until_they_were_read_out(nodes: Nodes) -> None:
    hold(nodes, B1, Z)
    nodes.do("hold_for", B1, A1, [Z])
    hold(nodes, A1, X, "list", (Z,))
    nodes.do("release", A1, [Z])
    nodes.do("release", B1, [Z])
    assert nodes.do("want", C1, X) == [Deliver(C1, X, 0, "list")]
    nodes.late("release", A1, [X])  # X goes, and what C1 says of Z is late
    nodes.deliver(1, 2)
    assert nodes.found == [Freed(A1, [X])] and nodes.told[-1] == "release"
    nodes.late("hold", C1, [Z])
    assert nodes.settle() == [Freed(A1, [X])]
    assert nodes.do("want", C1, Z) == [Deliver(C1, Z, 0, "value")]


def test_a_pending_value_is_awaited_from_afar(nodes: Nodes) -> None:
    nodes.do("hold", A1, [X])
    nodes.do("declare", A1, X)
    nodes.do("hold_for", A1, B1, [X])
    assert nodes.do("want", B1, X) == []
    assert nodes.do("publish", A1, X, 0, "late", ()) == [Deliver(B1, X, 0, "late")]


def test_who_waits_at_the_home_pulls_when_it_is_made_elsewhere(nodes: Nodes) -> None:
    nodes.do("hold", A1, [X])
    nodes.do("declare", A1, X)
    assert nodes.do("want", A1, X) == []
    [delivered] = nodes.put(B1, X, holder=A1)
    assert isinstance(delivered, Deliver) and delivered.client == A1 and delivered.status == IN_BLOCK


def test_pulled_copies_make_room_without_a_disk(nodes: Nodes) -> None:
    nodes = Nodes(4 * MIB)
    oids = [make_object_id(A1, number, 0) for number in range(1, 4)]
    for oid in oids:
        nodes.put(A1, oid, size=MIB)
    for oid in oids:
        nodes.do("want", B1, oid)
        nodes.do("unread", B1, oid)
    assert nodes.put(B1, Z, size=3 * MIB) == []
    assert "evicted" in nodes.told
    [delivered] = nodes.do("want", C1, oids[0])
    assert isinstance(delivered, Deliver) and delivered.status == IN_BLOCK


def test_what_is_on_disk_is_brought_back_for_another_node(nodes: Nodes) -> None:
    nodes = Nodes(4 * MIB)
    nodes.put(A1, X, size=3 * MIB)
    [spill] = nodes.do("reserve", A1, 8, 3 * MIB)
    assert isinstance(spill, act.SpillOut)
    nodes.carry_out(1, nodes.ledgers[1].spilled(X, "file"))
    [grant] = nodes.settle()
    assert isinstance(grant, act.Granted)
    nodes.do("abandon", A1, grant.segment, grant.offset)
    [restore] = nodes.do("want", B1, X)
    assert isinstance(restore, act.RestoreIn)
    nodes.carry_out(1, nodes.ledgers[1].restored(X))
    found = nodes.settle()
    assert [a.client for a in found if isinstance(a, Deliver)] == [B1]


def test_an_actor_borrows_its_arguments_from_its_home(nodes: Nodes) -> None:
    hold(nodes, A1, X)
    hold(nodes, A1, Y, "the actor", (X,))
    nodes.do("release", A1, [X])
    nodes.do("borrow", B1, Y, [X])
    assert nodes.do("release", A1, [Y]) == [Freed(A1, [Y])]
    assert nodes.do("want", B1, X) == [Deliver(B1, X, 0, "value")]
    assert nodes.do("release", B1, [X]) == [Freed(A1, [X])]


def test_what_is_being_read_stays_when_its_home_lets_it_go(nodes: Nodes) -> None:
    nodes.put(A1, X)
    nodes.do("want", B1, X)  # lent to it, and its view lives on a little longer than the loan
    assert nodes.do("release", A1, [X]) == [Freed(A1, [X])]
    assert nodes.knows(X) == {2}
    nodes.do("unread", B1, X)
    assert nodes.knows(X) == set()


def test_nobody_waits_for_who_has_gone(nodes: Nodes) -> None:
    nodes.do("want", B1, X)
    assert nodes.knows(X) == {1, 2}
    nodes.do("disconnect", B1)
    assert nodes.knows(X) == set()


def test_a_source_that_cannot_be_reached(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    nodes.late("want", A1, X)
    nodes.deliver(1, 2)
    nodes.late("reserve", A2, 1, 1000)  # so that the segment is there, and the pull begins at once
    nodes.found.clear()
    message = nodes.links[2, 1].popleft()
    [pull] = nodes.ledgers[1].federation.told(2, [message])
    assert isinstance(pull, act.PullIn) and pull.node == 2
    nodes.carry_out(1, nodes.ledgers[1].federation.pull_failed(X, "no way"))
    assert nodes.settle() == [Recover(A1, X)]
    assert nodes.knows(X) == {1}, "the other node has been told to drop it"
