"""Answers put together over time: samples, events, progress, heads; and when a widget rests."""

from __future__ import annotations

from typing import Any

from rustray.dashboard.feed import Feed
from rustray.dashboard.head_strips import HeadStrips
from rustray.dashboard.history import History, NodeHistory
from rustray.dashboard.progress import QUIET_S, SHOWN_S, Progress, Row
from rustray.dashboard.task_stream import BARS_OF_WORKER, RUNNING, SPAN_S, TaskStream
from rustray.dashboard.watch import LOOKED_S, Watch
from rustray.model.colours import FUNCTIONS, Colours

from .dashboard_rows import ANSWERS, NOW, function


def test_samples_are_asked_for_once() -> None:
    history = History(10.0)
    assert history.arguments(100.0) == (90.0,)
    history.add([{"time": 99.0}, {"time": 99.5}], 100.0)
    assert history.arguments(100.0) == (99.5,)
    history.add([{"time": 99.5}, {"time": 109.2}], 109.2)
    assert [sample["time"] for sample in history.seen(109.2)] == [99.5, 109.2]


def test_samples_of_nodes_are_asked_for_since_the_slowest_that_still_tells() -> None:
    history = NodeHistory(60.0)
    history.add({"a": [{"time": 100.0}], "b": [{"time": 99.4}]}, 100.0)
    assert history.arguments(100.5) == (99.4,)
    history.add({"a": [{"time": 120.0}], "b": []}, 120.0)
    assert history.arguments(120.5) == (115.0,), "a silent one holds up nothing"
    history.add({"a": [{"time": 170.0}]}, 170.0)
    assert history.seen(170.0).keys() == {"a"}
    assert history.arguments(500.0) == (440.0,), "after a pause everything of the span"


def event(start: float, seconds: float, name: str = "f", outcome: str = "ok") -> tuple[Any, ...]:
    return (start, seconds, "node", 1, name, outcome, "id")


def told(*events: tuple[Any, ...], skipped: int = 0, following: int = 5, running: Any = ()) -> dict[str, Any]:
    return {"next": following, "events": list(events), "skipped": skipped, "running": list(running)}


def test_a_task_that_runs_is_a_bar_up_to_now_until_it_has_ended() -> None:
    stream = TaskStream()
    of_keeper = (10.0, "node", 2, "NotebookKeeper.news", "k")
    stream.add(told(running=[(10.0, "node", 1, "f", "id"), of_keeper]), 12.0)
    stream.add(told(running=[(10.0, "node", 1, "f", "id")]), 200.0)
    (bar,) = stream.bars()
    assert (bar.start, bar.end, bar.outcome) == (10.0, 200.0, RUNNING)
    stream.add(told(event(9.9, 191.0)), 201.0)
    (bar,) = stream.bars()
    assert (bar.start, bar.outcome, stream.running) == (9.9, "ok", {})


def test_short_tasks_in_a_row_are_one_bar() -> None:
    stream = TaskStream()
    stream.add(told(*(event(10.0 + at * 0.02, 0.01) for at in range(100)), skipped=3), 12.0)
    (bar,) = stream.bars()
    assert (bar.start, bar.tasks, round(bar.busy, 6)) == (10.0, 100, 1.0)
    assert (stream.arguments(12.0), stream.skipped) == ((5,), 3)


def test_what_can_be_told_apart_is_not_joined() -> None:
    stream = TaskStream()
    stream.add(told(event(10, 0.01), event(10.02, 0.01, "g"), event(10.04, 0.01, "g", "failed")), 12.0)
    stream.add(told(event(11.0, 0.01, "g", "failed"), event(11.02, 0.5, "g", "failed")), 12.0)
    assert [bar.tasks for bar in stream.bars()] == [1, 1, 1, 1, 1]
    assert stream.outcomes() == {"ok": 2, "failed": 3}


def test_the_stream_is_bounded_in_time_and_number() -> None:
    stream = TaskStream()
    stream.add(told(*(event(float(at), 0.5, f"f{at}") for at in range(1000)), skipped=1), 1000.0)
    assert len(list(stream.bars())) <= min(SPAN_S + 1, BARS_OF_WORKER)
    stream.add(told(), 1000.0 + SPAN_S + 1.0)
    assert (stream.workers, stream.skipped) == ({}, 0)


def test_what_the_notebooks_keeper_does_is_not_shown() -> None:
    stream, progress = TaskStream(), Progress()
    stream.add(told(event(10.0, 1.0, "NotebookKeeper.news")), 12.0)
    progress.add([function("NotebookKeeper.news", running=1)], 12.0)
    assert (stream.workers, progress.seen(12.0)) == ({}, [])


def test_a_name_keeps_its_colour_and_new_ones_get_the_one_unused_longest() -> None:
    colours = Colours()
    first = [colours[f"f{at}"] for at in range(len(FUNCTIONS))]
    assert len(set(first)) == len(FUNCTIONS)
    assert colours["f0"] == first[0]
    assert colours["new"] == first[1]


def row(progress: Progress, now: float) -> Row:
    (found,) = progress.seen(now)
    return found


def test_progress_has_a_rate_and_what_remains() -> None:
    progress = Progress()
    progress.add([function("f", running=2, waiting=98)], 10.0)
    assert row(progress, 10.0).remaining_s is None
    for at in range(1, 5):
        progress.add([function("f", finished=10 * at, running=2, waiting=98 - 10 * at)], 10.0 + at)
    found = row(progress, 14.0)
    assert (found.done, found.total, found.rate, found.remaining_s) == (40, 100, 10.0, 6.0)


def test_a_task_of_which_worker_and_owner_do_not_tell_at_once_is_counted_once() -> None:
    progress = Progress()
    steps = [
        (function("f", waiting=298, running=2), (0, 300)),
        (function("f", finished=50, waiting=248, running=2), (50, 300)),
        (function("f", finished=53, waiting=248, running=2, ahead=3), (53, 300)),
        (function("f", finished=53, waiting=240, running=2, ahead=-5), (53, 300)),
        (function("f", finished=300, waiting=1, running=2, ahead=3), (300, 300)),
        (function("f", finished=300), (300, 300)),
    ]
    for at, (answer, shown) in enumerate(steps):
        progress.add([answer], 10.0 + at)
        found = row(progress, 10.0 + at)
        assert (found.done, found.total) == shown and found.running <= 2
    # A difference that does not go, as of an owner that has died, is nothing that is counted twice.
    progress.add([function("f", finished=300, waiting=9, running=1, ahead=7)], 16.0 + 2 * QUIET_S)
    assert row(progress, 16.0 + 2 * QUIET_S).total == 10


def test_progress_begins_anew_after_a_pause() -> None:
    progress = Progress()
    progress.add([function("f", finished=50, failed=2, last=10.0)], 10.0)
    assert row(progress, 10.0).total == 52
    progress.add([function("f", finished=50, failed=2, waiting=4)], 11.0 + QUIET_S)
    assert (row(progress, 14.0).done, row(progress, 14.0).total) == (0, 4)
    progress.add([function("f", finished=54, failed=2)], 11.5 + QUIET_S)
    assert (row(progress, 14.5).done, row(progress, 14.5).active) == (4, False)


def test_what_was_done_stays_done_when_a_new_head_counts_from_the_beginning() -> None:
    progress = Progress()
    progress.add([function("f", finished=50, running=1)], 10.0)
    progress.add([function("f", finished=2, running=1)], 11.0)
    assert (row(progress, 11.0).done, row(progress, 11.0).rate) == (50, 0.0)
    progress.add([function("f", finished=7, running=1)], 12.0)
    assert (row(progress, 12.0).done, row(progress, 12.0).rate) == (55, 2.5)


def test_what_was_stopped_is_apart_from_what_failed() -> None:
    progress = Progress()
    progress.add([function("f", running=2, waiting=8)], 10.0)
    progress.add([function("f", cancelled=9, failed=1)], 11.0)
    found = row(progress, 11.0)
    assert (found.stopped, found.failed, found.total, found.rate) == (9, 1, 10, 1.0)
    progress.add([function("f", cancelled=9, failed=1, waiting=1)], 12.0 + QUIET_S)
    assert row(progress, 15.0).total == 1


def test_what_has_had_nothing_to_do_for_long_is_shown_no_more() -> None:
    progress = Progress()
    rows = [
        function("of an old notebook", finished=9, last=NOW - SHOWN_S),
        function("of another", finished=9, last=NOW - 60.0),
        function("slept on", running=1, last=NOW),
    ]
    progress.add(rows, NOW)
    assert [found.name for found in progress.seen(NOW)] == ["slept on", "of another"]
    progress.add([function("of an old notebook", finished=9, waiting=1, last=NOW), *rows[1:]], NOW)
    newest, *_others = (found for found in progress.seen(NOW) if found.name == "of an old notebook")
    assert (newest.done, newest.total) == (0, 1)


def test_heads_are_remembered_as_spans() -> None:
    strips = HeadStrips()
    for at in range(4):
        states = ("leads", "follows") if at < 2 else ("does not answer", "leads")
        rows = [{"address": f"h{n}", "state": state, "term": at // 2} for n, state in enumerate(states)]
        strips.add(rows, 10.0 + at)
    assert [(span.start, span.end, span.state) for span in strips.spans["h1"]] == [
        (10.0, 12.0, "follows"),
        (12.0, 13.0, "leads"),
    ]
    strips.add([{"address": "h1", "state": "leads", "term": 1}], 100.0)
    assert len(strips.spans["h1"]) == 3, "nobody looked in between"


def test_what_costs_much_is_asked_less_often() -> None:
    asked: list[str] = []

    def query(what: str, *_args: Any) -> Any:
        asked.append(what)
        return ANSWERS[what]

    now = NOW
    feed = Feed(lambda: now)
    for _ in range(4):
        feed.take(query, ["store", "queues"])
        now += 0.6
    assert (asked.count("metrics"), asked.count("objects")) == (4, 1)
    now -= 1000.0  # the clock was set back
    feed.take(query, ["store"])
    assert asked.count("objects") == 2


def test_a_widget_rests_when_nobody_looks() -> None:
    watch = Watch(100.0, in_cell=False)
    assert watch.on(100.0 + LOOKED_S - 1)
    assert not watch.on(100.0 + LOOKED_S)
    watch.looked(200.0)
    assert watch.on(201.0)


def test_a_widget_that_was_looked_at_moves_until_the_cell_ends() -> None:
    watch = Watch(100.0, in_cell=True)
    assert watch.on(5000.0)
    watch.cell_ends(5000.0)
    assert watch.on(5001.0)
    assert not watch.on(5000.0 + LOOKED_S)
    watch.cell_begins(6000.0)
    assert not watch.on(6000.0), "nobody looked when it began"
