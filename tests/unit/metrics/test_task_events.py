from __future__ import annotations

from typing import Any

from rustray.metrics.task_events import FAILED, TaskEvents, notable


def event(start: float, seconds: float = 0.1) -> tuple[Any, ...]:
    return (start, seconds, "n1", 7, "f", "ok", "00")


def events_from(first: int) -> TaskEvents:
    events = TaskEvents()
    events.lead(first)
    return events


def test_a_reader_sees_each_event_once_and_learns_what_he_missed() -> None:
    events = events_from(100)
    assert events.since(0) == {"next": 100, "events": [], "skipped": 0}
    events.add([event(1), event(2)], skipped=5)
    first = events.since(0)
    assert first == {"next": 107, "events": [event(1), event(2)], "skipped": 5}
    assert events.since(107)["events"] == []
    events.add([event(3)])
    assert events.since(107) == {"next": 108, "events": [event(3)], "skipped": 0}


def test_what_has_left_the_ring_was_missed() -> None:
    events = TaskEvents(keep=2)
    events.add([event(1), event(2), event(3)])
    assert events.since(0) == {"next": 3, "events": [event(2), event(3)], "skipped": 1}


def test_long_answers_come_in_parts() -> None:
    events = TaskEvents()
    events.add([event(at) for at in range(5)], skipped=2)
    events.add([event(9)])
    seen, cursor, skipped = [], 0, 0
    while (answer := events.since(cursor, limit=2))["events"]:
        assert len(answer["events"]) <= 2
        seen += [start for start, *_more in answer["events"]]
        skipped += answer["skipped"]
        cursor = answer["next"]
    assert seen == [0, 1, 2, 3, 4, 9] and skipped == 2


def test_the_newest_can_be_asked_for() -> None:
    events = events_from(50)
    events.add([event(at) for at in range(5)])
    assert events.since(-2) == {"next": 55, "events": [event(3), event(4)], "skipped": 0}


def test_a_cursor_of_an_earlier_leader_begins_anew() -> None:
    events = events_from(2 << 32)
    events.add([event(1)])
    answer = events.since((1 << 32) + 77)
    assert answer["events"] == [event(1)] and answer["skipped"] == 0


def test_who_has_read_what_an_earlier_leader_told_is_told_what_is_new() -> None:
    leader, follower = events_from(1 << 32), TaskEvents()
    leader.add([event(1), event(2)])
    follower.add(leader.hand())
    assert leader.hand() == []
    cursor = leader.since(0)["next"]
    follower.lead(2 << 32)
    follower.add([event(3)], skipped=4)
    assert follower.since(cursor) == {"next": (2 << 32) + 5, "events": [event(3)], "skipped": 4}
    assert follower.since(0) == {
        "next": (2 << 32) + 5,
        "events": [event(1), event(2), event(3)],
        "skipped": 4,
    }


def test_a_cursor_of_another_cluster_begins_anew() -> None:
    events = events_from(1 << 32)
    events.add([event(1)])
    assert events.since((1 << 32) + 500)["events"] == [event(1)]


def test_those_that_take_longest_are_chosen_and_stay_in_order() -> None:
    chosen = notable([event(1, 0.1), event(2, 5.0), event(3, 0.2), event(4, 1.0)], budget=2)
    assert [start for start, *_more in chosen] == [2, 4]


def test_those_that_failed_count_as_long_ones() -> None:
    failed = (3, 0.001, *event(3)[2:-2], FAILED, "ab")
    chosen = notable([event(1, 0.1), event(2, 5.0), failed, event(4, 0.9)], budget=2)
    assert [start for start, *_more in chosen] == [2, 3]
