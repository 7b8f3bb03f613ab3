"""The ledger by scenario: values, holds, wants, containers, deaths, losses. Room: test_ledger_room.py."""

from __future__ import annotations

import pytest

from rustray.store import actions as act
from rustray.store.actions import (
    IN_BLOCK,
    OWNER_DIED,
    Action,
    CreateSegment,
    Deliver,
    Freed,
    Granted,
    Recover,
)
from rustray.store.allocator import MIB, PAGE
from rustray.store.errors import InvalidRequest
from rustray.store.ledger import Ledger

A, B, C = 1, 2, 3


def oid(owner: int, number: int = 1) -> bytes:
    return owner.to_bytes(6, "big") + number.to_bytes(10, "big")


X, Y, Z = oid(A, 1), oid(A, 2), oid(A, 3)


class Store:
    """A ledger whose segments are there at once, and which is checked after each call."""

    def __init__(self, capacity: int = 64 * MIB) -> None:
        self.ledger = Ledger(capacity)
        for client in (A, B, C):
            self.do("connect", client)

    def do(self, method: str, *args: object) -> list[Action]:
        actions = getattr(self.ledger, method)(*args)
        found: list[Action] = []
        for action in actions:
            if isinstance(action, CreateSegment):
                found += self.do("segment_ready", action.segment)
            else:
                found.append(action)
        self.ledger.sanity_check()
        return found

    def grant(self, client: int, size: int = 1000) -> Granted:
        [grant] = self.do("reserve", client, 7, size)
        assert isinstance(grant, Granted)
        return grant

    def put(
        self,
        client: int,
        name: bytes,
        contains: tuple[bytes, ...] = (),
        holder: int | None = None,
        size: int = 1000,
        reading: bool = False,
    ) -> list[Action]:
        grant = self.grant(client, size)
        place = (grant.segment, grant.offset, size)
        return self.do("seal", client, name, *place, contains, holder or client, reading)

    def used(self) -> int:
        return self.ledger.stats()["used"]


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_block_lives_from_seal_to_the_last_release(store: Store) -> None:
    assert store.put(A, X) == []
    [delivered] = store.do("want", B, X)
    assert delivered == Deliver(B, X, IN_BLOCK, (1, 0, 1000))
    store.do("hold", B, [X])
    assert store.do("release", A, [X]) == []
    assert store.used() > 0
    assert store.do("release", B, [X]) == [Freed(A, [X])]
    assert store.used() == store.ledger.stats()["objects"] == 0


def test_a_wanted_value_is_delivered_when_it_is_published(store: Store) -> None:
    store.do("hold", A, [X])
    store.do("declare", A, X)
    assert store.do("want", B, X) == []
    assert store.do("want", C, X) == []
    assert store.do("publish", A, X, 0, "value", ()) == [Deliver(B, X, 0, "value"), Deliver(C, X, 0, "value")]
    assert store.do("want", B, X) == [Deliver(B, X, 0, "value")]


def test_a_want_may_come_before_anything_is_known(store: Store) -> None:
    assert store.do("want", B, X) == []
    assert store.ledger.stats()["objects"] == 1
    assert store.put(A, X) == [Deliver(B, X, IN_BLOCK, (1, 0, 1000))]


def test_a_placeholder_goes_with_its_last_want(store: Store) -> None:
    store.do("want", B, X)
    store.do("want", C, X)
    store.do("disconnect", B)
    assert store.ledger.stats()["objects"] == 1
    assert store.do("disconnect", C) == []
    assert store.ledger.stats()["objects"] == 0


def test_a_declaration_outlives_who_wanted_it(store: Store) -> None:
    """The owner's hold for the next one may still be on its way."""
    store.do("declare", A, X)
    store.do("want", B, X)
    store.do("disconnect", B)
    store.do("hold_for", A, C, [X])
    store.do("want", C, X)
    assert store.do("publish", A, X, 0, 1, ()) == [Deliver(C, X, 0, 1)]


def test_a_release_may_overtake_the_hold_that_was_made_for_it(store: Store) -> None:
    store.put(A, X)
    assert store.do("release", B, [X]) == []  # B got it over a lease socket, and has dropped it already
    assert store.do("hold_for", A, B, [X]) == []
    assert store.do("release", A, [X]) == [Freed(A, [X])]


def test_an_object_is_kept_by_a_negative_count_too(store: Store) -> None:
    store.put(A, X)
    store.do("hold", C, [X])
    store.do("release", B, [X])
    store.do("release", C, [X])
    store.do("release", A, [X])
    assert store.ledger.stats()["objects"] == 1
    assert store.do("hold_for", A, B, [X]) == [Freed(A, [X])]


def test_a_hold_for_a_client_that_is_gone_is_ignored(store: Store) -> None:
    store.put(A, X)
    store.do("disconnect", B)
    store.do("hold_for", A, B, [X])
    assert store.do("release", A, [X]) == [Freed(A, [X])]


def test_what_nobody_holds_is_not_kept(store: Store) -> None:
    assert store.do("publish", A, X, 0, "value", ()) == [Freed(A, [X])]
    grant = store.grant(B)
    store.do("disconnect", A)
    assert store.do("seal", B, X, grant.segment, grant.offset, 1000, (), A) == []
    assert store.ledger.stats()["objects"] == store.used() == 0


def test_a_value_holds_what_it_contains(store: Store) -> None:
    store.put(A, X)
    store.put(A, Y, contains=(X,))
    store.do("hold", A, [Z])
    store.do("publish", A, Z, 0, "list of Y and X", (Y, X))
    store.do("release", A, [X, Y])
    assert store.ledger.stats()["objects"] == 3
    [freed] = store.do("release", A, [Z])
    assert isinstance(freed, Freed) and sorted(freed.oids) == [X, Y, Z]
    assert store.used() == 0


def test_a_long_chain_is_freed_without_recursion(store: Store) -> None:
    names = [oid(A, number) for number in range(1, 5001)]
    ledger = store.ledger
    ledger.hold(A, names)
    for inner, outer in zip([None, *names], names, strict=False):
        ledger.publish(A, outer, 0, "", (inner,) if inner else ())
    ledger.release(A, names[:-1])
    assert ledger.stats()["objects"] == 5000
    [freed] = store.do("release", A, names[-1:])
    assert isinstance(freed, Freed) and len(freed.oids) == 5000


def test_frees_of_a_call_are_told_together_and_to_each_owner(store: Store) -> None:
    mine, yours = oid(B, 1), oid(B, 2)
    for name in (X, Y):
        store.put(A, name, holder=C)
    for name in (mine, yours):
        store.put(B, name, holder=C)
    freed = store.do("release", C, [X, mine, Y, yours])
    assert sorted((f.owner, sorted(f.oids)) for f in freed if isinstance(f, Freed)) == [
        (A, [X, Y]),
        (B, [mine, yours]),
    ]


def test_a_promise_of_a_dead_owner_is_an_error_for_all_who_wait(store: Store) -> None:
    store.do("hold", A, [X])
    store.do("declare", A, X)
    store.do("hold_for", A, B, [X])
    store.do("want", B, X)
    assert store.do("disconnect", A) == [Deliver(B, X, OWNER_DIED, None)]
    store.do("hold", C, [X])
    assert store.do("want", C, X) == [Deliver(C, X, OWNER_DIED, None)]
    store.do("release", B, [X])
    store.do("release", C, [X])
    assert store.ledger.stats()["objects"] == 0


def test_a_value_outlives_its_owner_while_others_hold_it(store: Store) -> None:
    store.put(A, X)
    store.do("hold", A, [Y])
    store.do("publish", A, Y, 0, "value", ())
    store.do("hold_for", A, B, [X, Y])
    store.do("disconnect", A)
    assert store.do("want", B, Y) == [Deliver(B, Y, 0, "value")]
    assert store.do("want", B, X) == [Deliver(B, X, IN_BLOCK, (1, 0, 1000))]
    assert store.do("release", B, [X, Y]) == []  # nobody to tell
    assert store.ledger.stats()["objects"] == store.used() == 0


def test_all_of_a_client_ends_with_it(store: Store) -> None:
    store.put(A, X)
    store.do("hold", B, [X])
    store.do("want", B, X)
    store.do("want", B, oid(C, 9))
    store.grant(B)
    store.do("release", A, [X])
    assert store.do("disconnect", B) == [Freed(A, [X])]
    stats = store.ledger.stats()
    assert stats["objects"] == stats["used"] == stats["reserved"] == 0


def test_a_lost_object_is_asked_for_once_and_delivered_when_it_is_made_again(store: Store) -> None:
    store.put(A, X)
    store.do("hold", B, [X])
    assert store.do("lose", X) == []
    assert store.do("want", B, X) == [Recover(A, X)]
    assert store.do("want", C, X) == []
    assert store.put(C, X, holder=A) == [
        Deliver(B, X, IN_BLOCK, (1, 0, 1000)),
        Deliver(C, X, IN_BLOCK, (1, 0, 1000)),
    ]
    store.do("release", B, [X])
    assert store.do("release", A, [X]) == [Freed(A, [X])], "the second seal makes no second hold"


def test_a_lost_object_of_a_dead_owner_is_lost(store: Store) -> None:
    store.put(A, X)
    store.do("hold", B, [X])
    store.do("lose", X)
    store.do("want", B, X)
    assert store.do("disconnect", A) == [Deliver(B, X, act.LOST, "its copy is gone")]
    assert store.do("want", B, X) == [Deliver(B, X, act.LOST, "its copy is gone")]


def test_what_is_being_read_cannot_be_lost(store: Store) -> None:
    store.put(A, X)
    store.do("want", A, X)
    with pytest.raises(InvalidRequest, match="being read"):
        store.do("lose", X)
    store.do("unread", A, X)
    store.do("lose", X)


def test_a_retry_seals_again_and_holds_once(store: Store) -> None:
    store.put(B, X, contains=(Y,), holder=A, reading=True)  # B dies before it has answered
    store.do("disconnect", B)
    store.put(C, X, contains=(Z,), holder=A, reading=True)
    assert store.used() == PAGE, "the first block is free again"
    assert store.do("release", A, [X]) == [Freed(A, [X])]
    assert store.used() == 0


def test_a_retry_does_not_pull_the_block_from_under_a_reader(store: Store) -> None:
    store.put(B, X, holder=A)
    [first] = store.do("want", C, X)
    store.put(C, X, holder=A)
    assert store.do("want", C, X) == [first]
    assert store.used() == 2 * PAGE, "both blocks live: the retry's location has been told, too"
    store.do("release", A, [X])
    assert store.used() == 0


def test_an_owner_takes_back_the_hold_of_a_worker_that_died(store: Store) -> None:
    store.put(B, X, holder=A, reading=True)
    store.do("disconnect", B)
    assert store.do("retract", A, [X, Y]) == [Freed(A, [X])]
    assert store.used() == 0


def test_a_client_writes_only_where_it_may(store: Store) -> None:
    grant = store.grant(A, 1000)
    with pytest.raises(InvalidRequest, match="no unsealed block"):
        store.do("seal", B, oid(B), grant.segment, grant.offset, 1000, (), B)
    with pytest.raises(InvalidRequest, match="into a block of"):
        store.do("seal", A, X, grant.segment, grant.offset, 100_000, (), A)
    with pytest.raises(InvalidRequest, match="no unsealed block"):
        store.do("abandon", A, grant.segment, grant.offset)
    assert store.used() == 0


def test_statistics(store: Store) -> None:
    store.put(A, X, size=5000)
    store.grant(B, 100)
    store.do("hold", A, [Y, Z])
    store.do("declare", A, Y)
    store.do("publish", A, Z, 0, "", ())
    assert store.ledger.stats() == {
        "objects": 3,
        "pending": 1,
        "inline": 1,
        "spilled": 0,
        "spilled_bytes": 0,
        "remote": 0,
        "used": 3 * PAGE,
        "reserved": PAGE,
        "segments": 8 * MIB,
        "capacity": 64 * MIB,
        "waiting": 0,
    }


def test_owners_are_asked_for_what_is_wanted_and_not_known(store: Store) -> None:
    store.do("want", B, X)
    assert store.ledger.ask_owners() == [], "it may be on its way"
    assert store.ledger.ask_owners() == [Recover(A, X)]
    assert store.ledger.ask_owners() == []
    assert store.do("publish", A, X, 1, "lost", ()) == [Deliver(B, X, 1, "lost"), Freed(A, [X])]
    assert store.ledger.stats()["objects"] == 0


def test_a_lost_object_that_its_owner_wants_is_asked_for_again(store: Store) -> None:
    store.put(A, X)
    store.do("lose", X)
    assert store.do("want", B, X) == [Recover(A, X)]
    assert store.do("want", A, X) == [Recover(A, X)]


def test_a_value_is_not_delivered_while_an_older_one_is_being_restored(store: Store) -> None:
    store = Store(4 * MIB)
    store.put(A, X, size=3 * MIB)
    [spill] = store.do("reserve", B, 1, 3 * MIB)
    assert isinstance(spill, act.SpillOut)
    [grant] = store.do("spilled", X, "file")
    assert isinstance(grant, Granted)
    store.do("abandon", B, grant.segment, grant.offset)
    [restore] = store.do("want", C, X)
    assert isinstance(restore, act.RestoreIn)
    assert store.put(B, X, holder=A, size=1000) == []
    assert store.do("restore_failed", X, "bad file")[-1].status == IN_BLOCK  # type: ignore[union-attr]


def test_a_lost_object_that_nobody_holds_goes_though_it_is_wanted(store: Store) -> None:
    store.put(A, X)
    store.do("lose", X)
    store.do("want", B, X)
    assert store.do("release", A, [X]) == [Deliver(B, X, act.LOST, "nobody held it"), Freed(A, [X])]
