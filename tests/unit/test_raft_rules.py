"""What a head believes of raft messages, against what the raft paper says a follower does."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rustray.head.raft_rules import Diverged, Entry, acknowledge, believe_append, believe_snapshot, counts


class Log:
    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.deleted: list[Entry] = []

    @property
    def first_index(self) -> int:
        return self.entries[0][1]

    @property
    def last_index(self) -> int:
        return self.entries[-1][1]

    def term_at(self, index: int) -> int | None:
        return next((term for _command, at, term in self.entries if at == index), None)

    def handle(self, message: dict[str, Any]) -> int | None:
        """What PySyncObj does with the message (syncobj.py 982-1020); the next index it acknowledges."""
        previous = message["prevLogIdx"]
        if (
            previous is None
            or self.term_at(previous) is None
            or self.term_at(previous) != message["prevLogTerm"]
        ):
            return None
        behind = [entry for entry in self.entries if entry[1] > previous]
        if behind:
            self.deleted += behind
            self.entries = [entry for entry in self.entries if entry[1] <= previous]
        self.entries += message["entries"]
        return (message["entries"][-1][1] if message["entries"] else previous) + 1


def log_of(*terms: int, first: int = 1) -> Log:
    return Log([(b"", first + n, term) for n, term in enumerate(terms)])


def append(previous: int | None, term: int | None, entries: list[Entry], commit: int = 0) -> dict[str, Any]:
    return {
        "type": "append_entries",
        "term": 9,
        "commit_index": commit,
        "entries": entries,
        "prevLogIdx": previous,
        "prevLogTerm": term,
    }


def test_entries_that_are_there_are_not_deleted_to_be_written_again() -> None:
    log = log_of(1, 1, 1, 1, 1)
    message = append(1, 1, log.entries[1:3], commit=9)
    believed = believe_append(message, log, committed=1)
    assert believed.proven == 3
    assert believed.message["commit_index"] == 3  # and not 5, which it has but which nobody has confirmed
    next_index = log.handle(believed.message)
    assert log.last_index == 5 and not log.deleted
    ack = {"type": "next_node_idx", "next_node_idx": next_index, "reset": False, "success": True}
    assert acknowledge(ack, 9, believed.proven) == {**ack, "next_node_idx": 4, "term": 9}


def test_a_heartbeat_says_nothing_of_the_tail() -> None:
    log = log_of(1, 1, 2, 2)
    believed = believe_append(append(2, 1, [], commit=4), log, committed=1)
    assert believed.message["commit_index"] == 2
    log.handle(believed.message)
    assert not log.deleted


def test_a_conflict_voids_the_tail() -> None:
    log = log_of(1, 1, 2, 2)
    believed = believe_append(append(1, 1, [(b"", 2, 1), (b"", 3, 3)]), log, committed=2)
    log.handle(believed.message)
    assert [entry[2] for entry in log.entries] == [1, 1, 3]
    assert [entry[1] for entry in log.deleted] == [3, 4]


def test_a_leader_that_contradicts_what_is_committed_stops_the_head() -> None:
    log = log_of(1, 1, 2, 2)
    with pytest.raises(Diverged):
        believe_append(append(1, 1, [(b"", 2, 3)]), log, committed=2)
    with pytest.raises(Diverged):
        believe_append(append(2, 3, []), log, committed=2)


@pytest.mark.parametrize("previous, term", [(None, None), (9, 1), (3, 7)])
def test_what_does_not_fit_moves_nothing(previous: int | None, term: int | None) -> None:
    log = log_of(1, 1, 1)
    believed = believe_append(append(previous, term, [(b"", 10, 1)], commit=9), log, committed=1)
    assert believed.proven is None
    assert log.handle(believed.message) is None


def test_entries_from_before_a_snapshot_are_known() -> None:
    log = log_of(1, 1, 1, first=50)
    entries = [(b"", index, 1) for index in range(41, 55)]
    believed = believe_append(append(40, 1, entries, commit=60), log, committed=52)
    assert log.handle(believed.message) == 55
    assert believed.proven == 54 and log.first_index == 50 and not log.deleted
    old = believe_append(append(40, 1, entries[:3], commit=60), log, committed=52)
    assert old.proven == 50
    assert log.handle(old.message) is not None and not log.deleted


def test_a_piece_of_a_snapshot_commits_nothing() -> None:
    assert believe_snapshot({"commit_index": 700, "serialized": None}, committed=5)["commit_index"] == 5


def test_an_answer_to_another_term_does_not_count() -> None:
    assert counts({"term": 3}, 3)
    assert not counts({"term": 2}, 3)
    assert not counts({}, 3)


@pytest.mark.parametrize("seed", range(300))
def test_a_follower_does_what_the_paper_says(seed: int) -> None:
    """Late, repeated and reordered messages of one leader: the follower's log is always a part of its own and the
    leader's, its commit index never goes beyond what is the same, and nothing that is the same is deleted."""
    rng = random.Random(seed)
    shared = rng.randrange(1, 6)
    terms = sorted(rng.randrange(1, 4) for _ in range(shared))
    leader = log_of(*terms, *([5] * rng.randrange(1, 8)))
    follower = log_of(*terms, *([4] * rng.randrange(5)))
    committed = rng.randrange(1, shared + 1)
    for _ in range(40):
        start = rng.randrange(len(leader.entries))
        end = rng.randrange(start, len(leader.entries)) + 1
        previous = leader.entries[start]
        entries = leader.entries[start + 1 : end]
        message = append(previous[1], previous[2], entries, commit=rng.randrange(1, leader.last_index + 1))
        same = {(at, term) for _c, at, term in follower.entries} & {
            (at, term) for _c, at, term in leader.entries
        }
        follower.deleted = []
        believed = believe_append(message, follower, committed)
        next_index = follower.handle(believed.message)
        assert not same & {(at, term) for _c, at, term in follower.deleted}
        if believed.proven is None:
            assert next_index is None
            continue
        assert next_index is not None
        assert follower.entries[: believed.proven] == leader.entries[: believed.proven]
        committed = max(committed, min(believed.message["commit_index"], follower.last_index))
        assert follower.entries[:committed] == leader.entries[:committed]
