"""The ledger by scenario: who gets room, what is spilled for it, and what happens when that fails."""

from __future__ import annotations

import pytest

from rustray.store import actions as act
from rustray.store.actions import (
    IN_BLOCK,
    STORE_FULL,
    Action,
    CreateSegment,
    Delayed,
    Deliver,
    DropSegment,
    DropSpill,
    Freed,
    Full,
    Granted,
    Recover,
    RestoreIn,
    Short,
    SpillOut,
)
from rustray.store.allocator import MIB
from rustray.store.ledger import Ledger

A, B = 1, 2


def oid(number: int) -> bytes:
    return A.to_bytes(6, "big") + number.to_bytes(10, "big")


class Store:
    """A ledger of `capacity` bytes that is checked after each call; the test plays the shell."""

    def __init__(self, capacity: int) -> None:
        self.ledger = Ledger(capacity)
        self.do("connect", A)
        self.do("connect", B)

    def do(self, method: str, *args: object) -> list[Action]:
        actions: list[Action] = getattr(self.ledger, method)(*args)
        self.ledger.sanity_check()
        return actions

    def grant(self, size: int, client: int = A) -> Granted:
        """Room that is there, in segments made at once."""
        for action in self.do("reserve", client, 0, size):
            if isinstance(action, CreateSegment):
                [action] = self.do("segment_ready", action.segment)
            if isinstance(action, Granted):
                return action
        raise AssertionError("not granted")

    def put(self, number: int, size: int = MIB, client: int = A) -> tuple[int, int, int]:
        grant = self.grant(size, client)
        location = (grant.segment, grant.offset, size)
        self.do("seal", client, oid(number), *location, (), A, False)
        return location

    def spill(self, number: int) -> Granted:
        """Have it spilled for a new block of 10 MiB of A."""
        self.do("reserve", A, 1, 10 * MIB)
        [grant] = self.do("spilled", oid(number), "file")
        assert isinstance(grant, Granted)
        return grant

    def put_on_disk(self, number: int) -> None:
        """As `put`, and nothing is in memory."""
        self.put(number, 10 * MIB)
        grant = self.spill(number)
        self.do("abandon", A, grant.segment, grant.offset)

    def stat(self, name: str) -> int:
        return self.ledger.stats()[name]


def test_a_request_waits_for_its_segment() -> None:
    store = Store(64 * MIB)
    assert store.do("reserve", A, 1, 1000) == [CreateSegment(1, 8 * MIB)]
    assert store.do("reserve", B, 2, 1000) == []  # the same segment will do
    first, second = store.do("segment_ready", 1)
    assert (first, second) == (Granted(A, 1, 1, 0, 1000), Granted(B, 2, 1, 4096, 1000))


def test_a_request_that_can_never_fit_is_refused_at_once_and_says_why() -> None:
    store = Store(8 * MIB)
    [full] = store.do("reserve", A, 1, 9 * MIB)
    assert isinstance(full, Full)
    assert "9,437,184 bytes" in full.text and "8.0 MiB" in full.text and "object_store_memory" in full.text


def test_free_memory_is_used_again_before_new_memory_is_made() -> None:
    store = Store(64 * MIB)
    for size in (20 * MIB, 18 * MIB, 16 * MIB):
        location = store.put(1, size)
        assert location[:2] == (1, 0)
        store.do("release", A, [oid(1)])
    assert store.stat("used") == 0 and store.stat("segments") == 20 * MIB


def test_idle_segments_of_another_size_make_way() -> None:
    store = Store(64 * MIB)
    store.put(1, 60 * MIB)
    store.do("release", A, [oid(1)])
    assert store.do("reserve", A, 1, 10 * MIB) == [DropSegment(1), CreateSegment(2, 10 * MIB)]


def test_trim_gives_idle_segments_back() -> None:
    store = Store(64 * MIB)
    for number in (1, 2, 3):
        store.put(number, 10 * MIB)
    store.do("release", A, [oid(1), oid(2)])
    assert store.do("trim", 25 * MIB) == [DropSegment(1)]
    assert store.do("trim", 0) == [DropSegment(2)]
    assert store.stat("segments") == store.stat("used") == 10 * MIB


def test_the_coldest_object_is_spilled_to_make_room() -> None:
    store = Store(40 * MIB)
    for number in (1, 2, 3, 4):
        store.put(number, 10 * MIB)
    store.do("want", B, oid(1))  # warm again
    store.do("unread", B, oid(1))
    assert store.do("reserve", A, 1, 10 * MIB) == [SpillOut(oid(2), 2, 0, 10 * MIB)]
    assert store.do("spilled", oid(2), "file") == [Granted(A, 1, 2, 0, 10 * MIB)]
    assert store.stat("spilled") == 1 and store.stat("spilled_bytes") == 10 * MIB


def test_a_spilled_object_comes_back_when_it_is_wanted() -> None:
    store = Store(20 * MIB)
    store.put(1, 10 * MIB)
    store.put(2, 10 * MIB)
    grant = store.spill(1)
    store.do("abandon", A, grant.segment, grant.offset)
    assert store.do("want", B, oid(1)) == [RestoreIn(oid(1), "file", 1, 0, 10 * MIB)]
    assert store.do("want", A, oid(1)) == []
    assert store.do("restored", oid(1)) == [
        DropSpill("file"),
        Deliver(B, oid(1), IN_BLOCK, (1, 0, 10 * MIB)),
        Deliver(A, oid(1), IN_BLOCK, (1, 0, 10 * MIB)),
    ]
    assert store.stat("spilled") == 0


def test_what_is_read_is_not_spilled() -> None:
    store = Store(20 * MIB)
    store.put(1, 10 * MIB)
    store.put(2, 10 * MIB)
    for _ in range(2):
        store.do("want", B, oid(1))
    store.do("want", B, oid(2))
    store.do("unread", B, oid(1))
    store.do("hold", B, [oid(1)])
    store.do("release", B, [oid(1)])  # a count may pass zero while its client still reads
    assert store.do("reserve", A, 1, 10 * MIB) == [Delayed(A, 1)]
    assert store.do("unread", B, oid(1)) == [SpillOut(oid(1), 1, 0, 10 * MIB)]
    assert store.do("spilled", oid(1), "file") == [Granted(A, 1, 1, 0, 10 * MIB)]
    assert store.do("refuse", A, 1) == []


def test_a_sealed_block_is_read_by_its_holder_if_it_has_been_told_where_it_is() -> None:
    store = Store(10 * MIB)
    grant = store.grant(10 * MIB, B)
    store.do("seal", B, oid(1), grant.segment, grant.offset, 10 * MIB, (), A, True)
    assert store.do("reserve", B, 1, 10 * MIB) == [Delayed(B, 1)]
    assert store.do("unread", A, oid(1)) == [SpillOut(oid(1), 1, 0, 10 * MIB)]


def test_who_is_refused_is_told_what_holds_the_room() -> None:
    store = Store(20 * MIB)
    for number, client in ((1, A), (2, B)):
        store.put(number, 10 * MIB)
        store.do("want", client, oid(number))
    assert store.do("reserve", A, 1, 10 * MIB) == [Delayed(A, 1)]
    assert store.do("reserve", B, 1, 10 * MIB) == [Delayed(B, 1)]
    [full] = store.do("refuse", A, 1)
    assert isinstance(full, Full) and full.client == A
    assert "no room for 10,485,760 bytes: the object store has 20.0 MiB" in full.text
    assert "10.0 MiB by this process, 10.0 MiB by 1 other process." in full.text
    assert store.do("refuse", A, 1) == []
    store.do("disconnect", B)
    assert store.do("refuse", B, 1) == [], "it has gone, and waits no more"


def test_who_waits_to_write_is_served_in_turn() -> None:
    store = Store(20 * MIB)
    first, second = store.grant(10 * MIB, A), store.grant(10 * MIB, A)
    assert store.do("reserve", B, 1, 10 * MIB) == [Delayed(B, 1)]
    assert store.do("reserve", B, 2, 10 * MIB) == [Delayed(B, 2)]
    granted = Granted(B, 1, first.segment, 0, 10 * MIB)
    assert store.do("abandon", A, first.segment, first.offset) == [granted, Delayed(B, 2)]
    assert store.do("disconnect", A) == [Granted(B, 2, second.segment, 0, 10 * MIB)]


def test_a_want_during_the_spill_keeps_the_block() -> None:
    store = Store(20 * MIB)
    store.put(1, 10 * MIB)
    store.put(2, 10 * MIB)
    store.do("reserve", A, 1, 10 * MIB)
    assert store.do("want", B, oid(1)) == [Deliver(B, oid(1), IN_BLOCK, (1, 0, 10 * MIB))]
    assert store.do("spilled", oid(1), "file") == [DropSpill("file"), SpillOut(oid(2), 2, 0, 10 * MIB)]
    assert store.do("spilled", oid(2), "other") == [Granted(A, 1, 2, 0, 10 * MIB)]


@pytest.mark.parametrize("failed", [False, True])
def test_a_want_during_the_spill_that_overtakes_its_hold_is_answered(failed: bool) -> None:
    store = Store(10 * MIB)
    store.put(1, 10 * MIB)
    store.do("reserve", A, 1, 10 * MIB)
    store.do("release", A, [oid(1)])
    assert store.do("want", B, oid(1)) == []
    store.do("hold", B, [oid(1)])
    actions = store.do(*(("spill_failed", oid(1), "no disk") if failed else ("spilled", oid(1), "file")))
    assert Deliver(B, oid(1), IN_BLOCK, (1, 0, 10 * MIB)) in actions


def test_a_release_during_the_spill_frees_the_block_when_the_shell_is_done() -> None:
    store = Store(20 * MIB)
    store.put(1, 10 * MIB)
    store.put(2, 10 * MIB)
    store.do("reserve", A, 1, 10 * MIB)
    assert store.do("release", A, [oid(1)]) == []
    actions = store.do("spilled", oid(1), "file")
    assert actions == [DropSpill("file"), Granted(A, 1, 1, 0, 10 * MIB), Freed(A, [oid(1)])]


def test_a_release_during_the_restore_frees_all_when_the_shell_is_done() -> None:
    store = Store(10 * MIB)
    store.put_on_disk(1)
    store.do("want", B, oid(1))
    assert store.do("release", A, [oid(1)]) == []
    assert store.do("restored", oid(1)) == [
        DropSpill("file"),
        Deliver(B, oid(1), act.LOST, "nobody held it"),
        Freed(A, [oid(1)]),
    ]
    assert store.stat("used") == store.stat("objects") == 0


def test_a_spilled_object_that_is_released_takes_its_file_along() -> None:
    store = Store(10 * MIB)
    store.put(1, 10 * MIB)
    store.do("reserve", A, 1, 10 * MIB)
    store.do("spilled", oid(1), "file")
    assert store.do("release", A, [oid(1)]) == [DropSpill("file"), Freed(A, [oid(1)])]


def test_when_the_disk_fails_the_request_is_refused_and_the_next_one_tries_again() -> None:
    store = Store(10 * MIB)
    store.put(1, 10 * MIB)
    store.do("reserve", A, 1, 10 * MIB)
    store.do("spill_failed", oid(1), "disk full")  # what was sealed meanwhile is a reason to try once more
    assert store.do("spill_failed", oid(1), "disk full") == [Delayed(A, 1)]
    [full] = store.do("refuse", A, 1)
    assert isinstance(full, Full) and "disk full" in full.text
    assert store.do("reserve", A, 2, 10 * MIB) == [SpillOut(oid(1), 1, 0, 10 * MIB)]


def test_a_damaged_file_is_a_loss() -> None:
    store = Store(10 * MIB)
    store.put_on_disk(1)
    store.do("want", B, oid(1))
    assert store.do("restore_failed", oid(1), "damaged") == [DropSpill("file"), Recover(A, oid(1))]
    assert store.stat("used") == 0
    assert store.do("disconnect", A) == [Deliver(B, oid(1), act.LOST, "damaged")]


def test_no_room_to_restore_is_waited_for() -> None:
    store = Store(10 * MIB)
    store.put(1, 10 * MIB)
    grant = store.spill(1)
    assert store.do("want", B, oid(1)) == [Short(oid(1))]
    assert store.do("want", A, oid(1)) == []
    outlook = store.ledger.outlook(oid(1))
    assert outlook is not None and [client for client, _text in outlook.told] == [B, A]
    [of_b, of_a] = [text for _client, text in outlook.told]
    assert "no room for 10,485,760 bytes" in of_a and "10.0 MiB by this process" in of_a
    assert "10.0 MiB by 1 other process." in of_b and "larger object_store_memory" in of_b
    assert store.do("abandon", A, grant.segment, grant.offset) == [RestoreIn(oid(1), "file", 1, 0, 10 * MIB)]
    assert store.ledger.outlook(oid(1)) is None
    assert store.do("give_up", oid(1)) == []
    assert len(store.do("restored", oid(1))) == 3


def test_room_is_waited_for_without_hope_if_all_who_could_make_it_wait_too() -> None:
    store = Store(20 * MIB)
    for number in (1, 2, 3, 4):
        store.put(number, 10 * MIB)
        for action in store.do("reserve", A, 1, 10 * MIB) if number > 1 else ():
            if isinstance(action, SpillOut):
                [grant] = store.do("spilled", action.oid, f"file {number}")
                assert isinstance(grant, Granted)
                store.do("abandon", A, grant.segment, grant.offset)
    assert store.stat("spilled") == 3
    for client, number in ((A, 4), (B, 1)):
        for action in store.do("want", client, oid(number)):
            if isinstance(action, RestoreIn):
                store.do("restored", action.oid)
    assert store.do("want", A, oid(2)) == [Short(oid(2))]
    outlook = store.ledger.outlook(oid(2))
    assert outlook is not None and not outlook.hopeless  # B may look away
    assert store.do("want", B, oid(3)) == [Short(oid(3))]
    outlook = store.ledger.outlook(oid(2))
    assert outlook is not None and outlook.hopeless
    [answer] = store.do("give_up", oid(2))
    assert isinstance(answer, Deliver) and answer.status == STORE_FULL
    assert [type(action) for action in store.do("unread", A, oid(4))] == [SpillOut]  # for what B waits for


def test_who_goes_makes_room_for_who_waits() -> None:
    store = Store(10 * MIB)
    store.put_on_disk(1)
    store.do("reserve", B, 2, 10 * MIB)
    assert store.do("want", A, oid(1)) == [Short(oid(1))]
    assert store.do("disconnect", B) == [RestoreIn(oid(1), "file", 1, 0, 10 * MIB)]


def test_first_come_first_served() -> None:
    """A small request does not slip past a big one that waits."""
    store = Store(32 * MIB)
    store.put(1, 16 * MIB)
    store.put(2, 12 * MIB)
    assert store.do("reserve", A, 1, 20 * MIB) == [SpillOut(oid(1), 1, 0, 16 * MIB)]
    assert store.do("reserve", B, 2, MIB) == []
    actions = store.do("spilled", oid(1), "file")
    assert actions == [DropSegment(1), CreateSegment(3, 20 * MIB), SpillOut(oid(2), 2, 0, 12 * MIB)]
    assert store.do("segment_ready", 3) == [Granted(A, 1, 3, 0, 20 * MIB)]
    actions = store.do("spilled", oid(2), "other")
    assert actions[0] == DropSegment(2) and isinstance(actions[1], CreateSegment)


def test_small_objects_are_spilled_a_segment_at_a_time() -> None:
    store = Store(16 * MIB)  # segments of 2 MiB
    for number in range(64):
        store.put(number, MIB // 4)
    actions = store.do("reserve", A, 1, MIB // 4)
    assert [a.oid for a in actions if isinstance(a, SpillOut)] == [oid(number) for number in range(8)]
    for number in range(8):
        granted = store.do("spilled", oid(number), f"file {number}")
    assert store.stat("spilled") == 8 and store.stat("waiting") == 0
    assert [type(action) for action in granted] in ([Granted], [])


def test_where_all_segments_are_read_a_run_of_neighbours_goes() -> None:
    store = Store(16 * MIB)
    for number in range(64):
        store.put(number, MIB // 4)
    for number in range(0, 64, 8):
        store.do("want", B, oid(number))  # one in each segment
    actions = store.do("reserve", A, 1, MIB // 4)
    assert actions and all(isinstance(action, SpillOut) for action in actions)
    [granted] = store.do("spilled", oid(1), "file")
    assert isinstance(granted, Granted)


def test_less_shared_memory_than_thought() -> None:
    """A segment that cannot be made: its requests are met by what there is, or by spilling."""
    store = Store(64 * MIB)
    store.put(1, 20 * MIB)
    assert store.do("reserve", A, 1, 20 * MIB) == [CreateSegment(2, 20 * MIB)]
    assert store.do("segment_failed", 2, "no space") == [SpillOut(oid(1), 1, 0, 20 * MIB)]
    assert store.do("spilled", oid(1), "file") == [Granted(A, 1, 1, 0, 20 * MIB)]


def test_less_shared_memory_than_anybody_can_use() -> None:
    store = Store(64 * MIB)
    store.do("reserve", A, 1, 20 * MIB)
    assert store.do("segment_failed", 1, "no space left on device") == [Delayed(A, 1)]
    [full] = store.do("refuse", A, 1)
    assert isinstance(full, Full) and "no space left on device" in full.text
    assert store.do("reserve", A, 2, 20 * MIB) == [CreateSegment(2, 20 * MIB)], "the next one tries again"


def test_a_client_that_goes_while_its_segment_is_made() -> None:
    store = Store(64 * MIB)
    store.do("reserve", B, 1, 20 * MIB)
    assert store.do("disconnect", B) == []
    assert store.do("segment_ready", 1) == []
    assert store.do("reserve", A, 1, 20 * MIB) == [Granted(A, 1, 1, 0, 20 * MIB)]


def test_a_client_gets_back_the_block_that_it_wrote_last() -> None:
    store = Store(64 * MIB)
    mine = store.put(1, MIB)
    yours = store.put(2, MIB, client=B)
    store.put(3, MIB)
    store.do("release", A, [oid(1), oid(2)])
    assert store.put(4, MIB, client=B) == yours
    assert store.put(5, MIB) == mine
