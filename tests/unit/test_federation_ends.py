"""What the ledgers of the others keep, lose and make again when a node or a client of it ends."""

from __future__ import annotations

import pytest

from rustray.model.ids import node_client
from rustray.store.actions import IN_BLOCK, OWNER_DIED, Deliver, Freed, Recover, Tell
from rustray.store.allocator import MIB
from rustray.store.ledger import Ledger
from tests.unit.federation_bench import A1, A2, B1, B2, C1, Nodes, X, Z, hold


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


def test_the_end_of_a_home_ends_what_is_awaited_from_it(nodes: Nodes) -> None:
    nodes.do("hold", A1, [X])
    nodes.do("declare", A1, X)
    nodes.do("hold_for", A1, B1, [X])
    nodes.do("want", B1, X)
    assert nodes.down(1) == [Deliver(B1, X, OWNER_DIED, None)]
    assert nodes.do("want", B1, X) == [Deliver(B1, X, OWNER_DIED, None)]
    nodes.do("release", B1, [X])
    assert nodes.knows(X) == set()


def test_a_copy_serves_those_beside_it_when_its_home_is_gone(nodes: Nodes) -> None:
    nodes.put(A1, X)
    nodes.do("hold_for", A1, B1, [X])
    nodes.do("want", B1, X)
    nodes.do("unread", B1, X)
    nodes.down(1)
    [delivered] = nodes.do("want", B2, X)
    assert isinstance(delivered, Deliver) and delivered.status == IN_BLOCK
    nodes.do("unread", B2, X)
    nodes.do("release", B1, [X])
    assert nodes.knows(X) == set()


def test_the_end_of_a_holder_ends_its_registration(nodes: Nodes) -> None:
    hold(nodes, A1, X)
    nodes.do("hold_for", A1, B1, [X])
    nodes.do("release", A1, [X])
    assert nodes.down(2) == [Freed(A1, [X])]


def test_what_one_has_handed_on_outlives_it(nodes: Nodes) -> None:
    hold(nodes, A1, X)
    nodes.do("hold_for", A1, B1, [X])
    nodes.do("release", A1, [X])
    nodes.late("hold_for", B1, C1, [X])
    nodes.deliver(2, 3)
    del nodes.ledgers[2]
    nodes.links = {link: queue for link, queue in nodes.links.items() if 2 not in link}
    for number in (3, 1):
        nodes.carry_out(number, nodes.ledgers[number].federation.down(2))
    assert nodes.settle() == []
    nodes.carry_out(1, nodes.ledgers[1].federation.forget(2))
    assert nodes.do("want", C1, X) == [Deliver(C1, X, 0, "value")]


def test_a_dead_node_is_known_only_while_something_of_it_is_here(nodes: Nodes) -> None:
    nodes.put(A1, X)
    nodes.do("hold_for", A1, B1, [X])
    nodes.do("want", B1, X)
    nodes.down(1)
    known = {
        number: [node.number for node in ledger._table.nodes] for number, ledger in nodes.ledgers.items()
    }
    assert 1 in known[2] and 1 not in known[3]
    nodes.do("release", B1, [X])
    nodes.do("unread", B1, X)
    assert [node.number for node in nodes.ledgers[2]._table.nodes if node.down] == []
    # What comes late names it again: it is still dead, and nobody waits for it.
    assert nodes.do("want", C1, X) == [Deliver(C1, X, OWNER_DIED, None)]
    assert [node.number for node in nodes.ledgers[3]._table.nodes if node.down] == []


def test_the_owner_makes_again_what_was_lost_with_a_node(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    assert nodes.down(2) == []
    assert nodes.do("want", C1, X) == [Recover(A1, X)]
    [delivered] = nodes.put(A2, X, holder=A1)
    assert isinstance(delivered, Deliver) and delivered.client == C1


def test_a_pulled_copy_becomes_the_one_that_counts(nodes: Nodes) -> None:
    nodes.put(B1, X, holder=A1)
    nodes.do("want", C1, X)
    nodes.do("unread", C1, X)
    assert nodes.down(2) == [] and nodes.told[-2:] == ["keep", "kept"]
    [delivered] = nodes.do("want", A1, X)
    assert isinstance(delivered, Deliver) and delivered.status == IN_BLOCK


def test_who_joins_late_does_not_wait_for_nodes_that_were_gone(nodes: Nodes) -> None:
    ledger = Ledger(MIB)
    ledger.federation.join(5, [2, 3])
    client = node_client(5) + 1
    ledger.connect(client)
    assert ledger.want(client, X) == [Deliver(client, X, OWNER_DIED, None)]
    [asked] = ledger.want(client, Z)
    assert asked == Tell(2, ("want", Z))
