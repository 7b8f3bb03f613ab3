"""A node leaves in an orderly way: what it alone keeps is taken by others. Storms are in test_federation_random.py."""

from __future__ import annotations

import pytest

from rustray.model.ids import make_object_id
from rustray.store.actions import IN_BLOCK, Deliver, Recover
from rustray.store.allocator import MIB
from tests.unit.federation_bench import A1, B1, B2, C1, Nodes, X, Y, hold

Z = make_object_id(A1, 3, 0)
W = make_object_id(C1, 1, 0)


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


def evacuate(nodes: Nodes, node: int, again: bool = False) -> set[bytes]:
    """A tick of the node that leaves, and all that follows; what is left there."""
    nodes.told.clear()
    federation = nodes.ledgers[node].federation
    nodes.carry_out(node, federation.evacuate(again))
    nodes.settle()
    return federation.left()


def is_read(nodes: Nodes, client: int, oid: bytes) -> bool:
    found = nodes.do("want", client, oid)
    return [(type(action), getattr(action, "status", None)) for action in found] == [(Deliver, IN_BLOCK)]


def test_home_pulls_what_nobody_else_has(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    assert evacuate(nodes, 2) == set()
    assert nodes.told == ["evacuate", "pull", "source", "unread", "drop"]
    assert nodes.knows(X) == {1}
    assert nodes.down(2) == []
    assert is_read(nodes, A1, X)


def test_what_it_contains_comes_too(nodes: Nodes) -> None:
    hold(nodes, C1, W)
    nodes.do("hold_for", C1, B1, [W])
    nodes.put(B1, X, contains=(W,), holder=A1)
    nodes.do("release", B1, [W])
    nodes.do("release", C1, [W])
    assert evacuate(nodes, 2) == set()
    nodes.down(2)
    assert nodes.knows(W) == {1, 3}


def test_another_node_that_has_a_copy_keeps_it(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    nodes.do("hold_for", A1, C1, [X])
    assert is_read(nodes, C1, X)
    assert evacuate(nodes, 2) == set()
    assert nodes.told == ["evacuate", "keep", "kept", "drop"]
    assert nodes.knows(X) == {1, 3}
    nodes.down(2)
    assert is_read(nodes, A1, X)


def test_a_copy_that_was_dropped_meanwhile_does_not_count(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    nodes.do("hold_for", A1, C1, [X])
    assert is_read(nodes, C1, X)
    nodes.do("unread", C1, X)
    table = nodes.ledgers[3]._table
    out: list[object] = []
    table.copies.evict(table.entries[X], out)  # type: ignore[arg-type]
    nodes.carry_out(3, table.done(out))  # type: ignore[arg-type]
    federation = nodes.ledgers[2].federation
    nodes.carry_out(2, federation.evacuate(False))
    nodes.deliver(2, 1)  # before home hears of the eviction
    nodes.settle()
    assert federation.left() == {X}
    assert evacuate(nodes, 2) == {X}, "it is not asked for in each tick"
    assert evacuate(nodes, 2, again=True) == set()
    nodes.down(2)
    assert is_read(nodes, A1, X)


def test_two_nodes_that_leave_do_not_rely_on_each_other(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    nodes.do("hold_for", A1, C1, [X])
    assert is_read(nodes, C1, X)
    assert evacuate(nodes, 3) == set()  # a copy of what is kept elsewhere
    nodes.put(C1, Y, holder=A1)
    assert evacuate(nodes, 3) == set()
    assert evacuate(nodes, 2) == set()
    nodes.down(2)
    nodes.down(3)
    assert is_read(nodes, A1, X) and is_read(nodes, A1, Y)


def test_a_copy_at_home_stays(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    assert is_read(nodes, A1, X)
    assert evacuate(nodes, 2) == set()
    assert nodes.told == ["evacuate", "drop"]
    assert not nodes.ledgers[1]._table.entries[X].away.secondary  # type: ignore[union-attr]


def test_what_can_have_no_room_at_home_is_made_again() -> None:
    nodes = Nodes(8 * MIB, of_first=MIB)
    nodes.put(B1, X, holder=A1, size=2 * MIB)
    assert evacuate(nodes, 2) == set()
    assert nodes.told == ["evacuate", "drop"]
    assert nodes.do("want", A1, X) == [Recover(A1, X)]


def test_what_has_no_room_now_is_asked_for_again() -> None:
    nodes = Nodes(8 * MIB, of_first=MIB)
    nodes.put(A1, Y, size=MIB)
    assert is_read(nodes, A1, Y)
    nodes.put(B1, X, holder=A1, size=MIB)
    assert evacuate(nodes, 2) == {X}
    assert evacuate(nodes, 2) == {X} and nodes.told == []
    nodes.do("unread", A1, Y)
    nodes.do("release", A1, [Y])
    assert evacuate(nodes, 2, again=True) == set()
    assert is_read(nodes, A1, X)


def test_a_home_that_dies_is_not_waited_for(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    nodes.do("hold_for", A1, B2, [X])
    nodes.carry_out(2, nodes.ledgers[2].federation.evacuate(False))
    nodes.down(1)
    assert evacuate(nodes, 2) == set()


def test_a_home_is_not_asked_for_more_than_it_can_take_at_once(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rustray.store.evacuation.AT_ONCE_BYTES", 1500)
    nodes.put(B1, X, holder=A1)
    nodes.put(B1, Y, holder=A1)
    nodes.put(B1, Z, holder=A1)
    assert evacuate(nodes, 2) == {Z}
    assert evacuate(nodes, 2) == set()
