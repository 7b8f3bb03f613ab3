"""What a head that takes office knows of the past."""

from __future__ import annotations

from typing import Any

from rustray.head.history import HANDED_BYTES, WHOLE_EVERY, History
from rustray.head.metrics import HANDED
from rustray.metrics.functions import FUNCTIONS
from rustray.metrics.series import KEEP
from rustray.metrics.task_events import BUDGET
from tests.unit.metrics.test_functions import NOW, owned, ran
from tests.unit.metrics.test_head import SCHEDULED, sample


def leader(epoch: int = 1) -> History:
    history = History()
    history.lead(epoch)
    return history


def feed(history: History, time: float, node: str = "a", **more: Any) -> None:
    history.metrics.add(node, sample(time, **more), lambda: SCHEDULED)


def times(history: History) -> list[float]:
    return [at["time"] for at in history.metrics.since(-1.0)]


def test_curves_and_counts_go_on_at_the_next_leader() -> None:
    first, second = leader(), History()
    gpus = [{"index": 0, "utilisation": 5.0, "memory": 1, "memory_total": 2}]
    for at in range(1, 5):
        feed(first, float(at), gpus=gpus, cpu=50.0)
        feed(first, float(at), "b")
        first.functions.ran([ran(count=5)], NOW + at)
        first.functions.owned("a", [owned(failed=1, waiting=7)], NOW + at)
        first.events.add([(float(at), 0.5, "a", 77, "f", "ok", f"{at}")])
        second.take(first.hand())
    assert second.metrics.of_nodes(0.0) == first.metrics.of_nodes(0.0)
    second.lead(2)
    assert times(second) == [1.0, 2.0, 3.0, 4.0]
    (row,) = second.functions.rows()
    assert (row["finished"], row["failed"], row["waiting"]) == (20, 4, 0), "who waits the nodes tell anew"
    assert len(second.events.since(0)["events"]) == 4
    feed(second, 4.5)
    second.functions.ran([ran(count=5)], NOW + 9)
    assert times(second)[-1] == 4.5 and second.functions.rows()[0]["finished"] == 25


def test_a_head_that_comes_late_has_the_curves_of_the_cluster_soon() -> None:
    first, late = leader(), History()
    for at in range(1, 2 * WHOLE_EVERY):
        feed(first, float(at))
        handed = first.hand()
        if at > WHOLE_EVERY // 2:
            late.take(handed)
    assert times(late) == times(first)


def test_a_leader_that_was_deposed_is_not_believed() -> None:
    old, new, other = leader(1), leader(2), History()
    feed(old, 1.0)
    feed(new, 2.0)
    other.take(new.hand())
    other.take(old.hand())
    assert times(other) == [2.0]
    old.take(new.hand())
    feed(new, 3.0)
    old.take(new.hand())
    assert times(old)[-1] == 3.0


def test_a_node_that_has_gone_is_forgotten_by_all() -> None:
    first, second = leader(), History()
    for node in ("a", "b"):
        feed(first, 1.0, node)
    second.take(first.hand())
    first.metrics.forget("b")
    second.take(first.hand())
    assert list(second.metrics.of_nodes(0.0)) == ["a"]


def test_what_is_handed_is_bounded() -> None:
    first, second = leader(), History()
    for at in range(1, KEEP + 1):
        feed(first, float(at))
    for node in range(HANDED + 50):
        feed(first, 600.0, f"node-{node:012x}")
    buckets = [(at, 1000) for at in range(33)]
    for at in range(FUNCTIONS + 50):
        first.functions.ran([ran(f"some.module.function_{at}", runs=buckets)], NOW)
    first.events.add((float(at), 0.5, "node", 77, f"f{at}", "ok", "ab" * 14) for at in range(10 * BUDGET))
    handed = first.hand()
    assert 0 < len(handed) < HANDED_BYTES
    second.take(handed)
    assert len(times(second)) == KEEP and len(second.metrics.of_nodes(0.0)) == HANDED
    assert len(second.events.since(0)["events"]) == BUDGET
    first.events.add([(0.0, 0.5, "node", 77, "f" * HANDED_BYTES, "ok", "")])
    assert first.hand() == b""
