"""Hints: what is brought to a node before anybody there asks."""

from __future__ import annotations

import pytest

from rustray.model.ids import make_object_id, node_client
from rustray.store import actions as act
from rustray.store.actions import IN_BLOCK, Deliver, Freed
from rustray.store.allocator import MIB
from rustray.store.prefetch import AT_ONCE
from tests.unit.federation_bench import Nodes

A1, B1 = node_client(1) + 1, node_client(2) + 1
OBJECTS = [make_object_id(A1, number, 0) for number in range(1, 6)]
X, Y, *_ = OBJECTS


@pytest.fixture
def nodes() -> Nodes:
    return Nodes(20 * MIB)


def hint(nodes: Nodes, node: int, *oids: bytes) -> list[act.Action]:
    """Of a client on node 1, that tasks which will run on `node` want these."""
    return nodes.do("prefetch", A1, node, list(oids))


def test_who_wants_what_was_hinted_at_finds_it(nodes: Nodes) -> None:
    nodes.put(A1, X, size=MIB)
    assert hint(nodes, 2, X) == []
    assert nodes.ledgers[2].stats()["used"] == MIB
    nodes.told.clear()
    nodes.late("want", B1, X)
    [delivered] = nodes.settle()
    assert isinstance(delivered, Deliver) and delivered.status == IN_BLOCK
    assert nodes.told == []
    nodes.do("unread", B1, X)
    assert nodes.do("release", A1, [X]) == [Freed(A1, [X])]
    assert nodes.knows(X) == set()


def test_nobody_reads_it_so_it_goes_with_its_last_holder(nodes: Nodes) -> None:
    nodes.put(A1, X, size=MIB)
    hint(nodes, 2, X)
    assert nodes.do("release", A1, [X]) == [Freed(A1, [X])]
    assert nodes.knows(X) == set() and nodes.ledgers[2].stats()["used"] == 0


def test_a_want_joins_what_is_on_its_way(nodes: Nodes) -> None:
    nodes.put(A1, X, size=MIB)
    nodes.late("prefetch", A1, 2, [X])
    nodes.deliver(1, 2)
    nodes.late("want", B1, X)
    [delivered] = nodes.settle()
    assert isinstance(delivered, Deliver) and delivered.client == B1
    assert nodes.told.count("want") == 1


def test_a_few_at_a_time(nodes: Nodes) -> None:
    for oid in OBJECTS:
        nodes.put(A1, oid, size=MIB)
    nodes.late("prefetch", A1, 2, OBJECTS)
    nodes.deliver(1, 2)
    asked = [message for message in nodes.links[2, 1] if message[0] == "want"]
    assert [message[1] for message in asked] == OBJECTS[:AT_ONCE]
    nodes.settle()
    assert nodes.ledgers[2].stats()["used"] == len(OBJECTS) * MIB


def test_what_is_here_small_or_not_known_is_no_trouble(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1, size=MIB)
    nodes.do("hold", A1, [Y])
    nodes.do("declare", A1, Y)
    nodes.do("publish", A1, Y, 0, "value", ())
    assert hint(nodes, 2, X, Y, make_object_id(node_client(2) + 7, 1, 0)) == []
    assert hint(nodes, 1, Y, X) == []
    assert nodes.ledgers[1].stats()["used"] == MIB


def test_it_makes_nobodys_object_go_to_disk(nodes: Nodes) -> None:
    """Three fill the store of node 2; one is a copy."""
    own = [make_object_id(B1, number, 0) for number in (1, 2)]
    for oid in own:
        nodes.put(B1, oid, size=8 * MIB)
    nodes.put(A1, X, size=6 * MIB)
    nodes.put(A1, Y, size=4 * MIB)
    assert hint(nodes, 2, X) == []  # no room: forgotten
    assert nodes.ledgers[2].stats()["used"] == 16 * MIB
    assert hint(nodes, 2, Y) == []  # there is
    assert hint(nodes, 2, OBJECTS[2]) == []
    nodes.put(A1, OBJECTS[2], size=3 * MIB)
    assert hint(nodes, 2, OBJECTS[2]) == []  # in place of the copy
    assert nodes.ledgers[2].stats()["used"] <= 20 * MIB
    nodes.late("want", B1, OBJECTS[2])
    [delivered] = nodes.settle()
    assert isinstance(delivered, Deliver) and delivered.status == IN_BLOCK


def test_who_needs_it_after_all_may_have_others_spilled(nodes: Nodes) -> None:
    own = [make_object_id(B1, number, 0) for number in (1, 2)]
    for oid in own:
        nodes.put(B1, oid, size=8 * MIB)
    nodes.put(A1, X, size=6 * MIB)
    nodes.late("prefetch", A1, 2, [X])
    nodes.deliver(1, 2)
    nodes.late("want", B1, X)
    [spill] = nodes.settle()
    assert isinstance(spill, act.SpillOut) and spill.oid == own[0]


def test_a_hint_ends_with_the_home(nodes: Nodes) -> None:
    nodes.put(A1, X, size=MIB)
    nodes.late("prefetch", A1, 2, [X])
    nodes.deliver(1, 2)
    assert nodes.down(1) == []
    assert nodes.knows(X) == set()
    nodes.do("prefetch", B1, 2, OBJECTS)
    assert nodes.knows(X) == set()
