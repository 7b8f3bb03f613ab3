"""What measures on nodes, workers and owners, with fakes around it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rustray.driver.figures import Figures as OwnFigures
from rustray.metrics.functions import Owned, Ran
from rustray.metrics.histogram import SECONDS
from rustray.metrics.task_events import BUDGET
from rustray.node import gpu_usage
from rustray.node.figures import HELD, Figures
from rustray.node.gpu_usage import GpuUsage
from rustray.node.throughput import Rates
from rustray.worker.context import Running
from rustray.worker.figures import EVENTS, FUNCTIONS, LONG_S, WorkerFigures
from tests.support import eventually
from tests.unit.metrics.test_functions import owned, ran

# -- rates


def test_rates_are_of_the_time_that_has_passed() -> None:
    rates = Rates()
    assert rates.take(10.0, {"in": 100}) == {"in_per_s": 0.0}
    assert rates.take(12.0, {"in": 300, "out": 50}) == {"in_per_s": 100.0, "out_per_s": 0.0}
    assert rates.latest["in_per_s"] == 100.0


def test_a_counter_that_was_set_back_has_no_rate() -> None:
    rates = Rates()
    rates.take(1.0, {"in": 100})
    assert rates.take(2.0, {"in": 5}) == {"in_per_s": 0.0}
    assert rates.take(2.0, {"in": 9}) == {"in_per_s": 0.0}, "no time has passed"


# -- GPUs


class Library:
    """As much of pynvml as is used: two GPUs."""

    def nvmlInit(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=handle + 1, total=80 << 30)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=50 * handle)


def test_gpus_by_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pynvml")
    module.__dict__.update(
        {name: getattr(Library(), name) for name in dir(Library) if name.startswith("nvml")}
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert gpu_usage.by_library()() == [
        {"index": 0, "utilisation": 0.0, "memory": 1, "memory_total": 80 << 30},
        {"index": 1, "utilisation": 50.0, "memory": 2, "memory_total": 80 << 30},
    ]


def test_gpus_by_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(stdout="0, 37, 1024, 81559\n1, 0, 0, 81559\n")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_more: told)
    first, second = gpu_usage.by_command()
    assert first == {"index": 0, "utilisation": 37.0, "memory": 1 << 30, "memory_total": 81559 << 20}
    assert second["index"] == 1


def nothing_there() -> Any:
    raise ImportError("no such library")


def test_where_there_is_neither_nobody_looks_again() -> None:
    usage = GpuUsage(nothing_there, lambda: (_ for _ in ()).throw(FileNotFoundError("nvidia-smi")))
    usage.start()
    eventually(lambda: not any(thread.name == "rustray-gpus" for thread in threading.enumerate()))
    assert usage.rows == []


def test_a_library_without_a_driver_leaves_it_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_usage, "LOOK_EVERY_S", 0.01)
    looks: list[int] = []

    def command() -> list[dict[str, Any]]:
        looks.append(1)
        if len(looks) > 3:
            raise subprocess.TimeoutExpired("nvidia-smi", 5)
        return [{"index": 0, "utilisation": float(len(looks)), "memory": 0, "memory_total": 1}]

    usage = GpuUsage(nothing_there, command)
    usage.start()
    eventually(lambda: len(looks) > 3 and usage.rows == [])
    usage.stop()


# -- a node


def node(**workers: int) -> Figures:
    pool = SimpleNamespace(workers={int(k[1:]): SimpleNamespace(pid=pid) for k, pid in workers.items()})
    return Figures(pool)  # type: ignore[arg-type]


def test_a_node_tells_runs_once_and_events_of_the_longest() -> None:
    figures = node(w1=77)
    events = [(float(at), 0.001 * at, "f", "ok", "aa") for at in range(BUDGET + 10)]
    figures.on_ran(1, [ran(count=300, errors=2)], events, 40, [])
    message = figures.take()
    assert message is not None
    op, runs, own, kept, skipped, _running = message
    assert (op, own, skipped) == ("figures", [], 50) and [Ran._make(row).errors for row in runs] == [2]
    assert len(kept) == BUDGET and kept[0] == (10.0, 0.01, 77, "f", "ok", "aa")
    assert (figures.ran, figures.errors) == (300, 2)
    assert figures.take() is None


def test_a_node_does_not_count_what_rustray_itself_runs() -> None:
    figures = node(w1=77)
    figures.on_ran(1, [ran(name="NotebookKeeper.news", count=3, errors=1), ran(count=2)], [], 0, [])
    assert (figures.ran, figures.errors) == (2, 0)


def test_how_things_are_is_told_until_it_is_otherwise_and_what_came_once() -> None:
    figures = node()
    figures.on_owned(5, [owned(waiting=3, failed=1), owned("g", retried=1)])
    figures.on_owned(5, [owned(waiting=2, cancelled=1)])

    def told() -> list[Owned]:
        message = figures.take()
        assert message is not None
        return [Owned._make(row) for row in message[2]]

    rows = told()
    assert [row.waiting for row in rows if row.waiting] == [2]
    assert [sum(row[at] for row in rows) for at in (6, 7, 8)] == [1, 1, 1]
    assert told() == [Owned._make(owned(waiting=2))]
    figures.forget(5)
    assert told() == []
    assert figures.take() is None


def test_while_there_is_no_head_to_tell_a_node_keeps_what_came_and_not_too_much() -> None:
    figures = node(w1=77)
    for at in range(HELD + 5):
        figures.on_ran(1, [ran(f"f{at}")], [(float(at), 0.1, "f", "ok", "aa")], 1, [])
        figures.on_owned(5, [owned(f"f{at}", failed=1)])
    message = figures.take()
    assert message is not None
    _op, runs, own, events, skipped, _running = message
    assert len(runs) == len(own) == HELD and own[-1][0] == f"f{HELD + 4}"
    assert len(events) == BUDGET and len(events) + skipped == 2 * (HELD + 5)


# -- a worker


class Node:
    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def tell(self, *messages: tuple[Any, ...]) -> None:
        self.said += messages

    def take(self) -> tuple[dict[str, Ran], list[tuple[Any, ...]], int]:
        ((_op, rows, events, skipped, _running),) = self.said
        self.said.clear()
        return {row[0]: Ran._make(row) for row in rows}, events, skipped


def test_a_worker_tells_what_came_since_it_told_last() -> None:
    to = Node()
    figures = WorkerFigures(to.tell)
    figures.begin("f")
    figures.end("f", 0.5, False, False, 1, 7)
    figures.end("f", 0.002, True, False, 1, 8)
    figures.end("f", 9.0, True, True, 1, 9)
    figures.tell(False)
    rows, events, skipped = to.take()
    assert sum(times for _at, times in rows["f"].runs) == 2 and rows["f"].seconds == pytest.approx(0.502)
    assert (rows["f"].errors, rows["f"].stopped, rows["f"].longest, skipped) == (1, 1, 0.5, 0) and rows[
        "f"
    ].memory > 1 << 20
    assert [(event[3], event[4][-16:]) for event in events] == [
        ("ok", f"{7:016x}"),
        ("failed", f"{8:016x}"),
        ("cancelled", f"{9:016x}"),
    ]
    assert abs(events[0][0] + 0.5 - time.time()) < 60
    figures.tell(False)
    assert to.said == []
    figures.end("g", 0.1, False, False, 1, 10)
    figures.tell(False)
    assert set(to.take()[0]) == {"g"}
    figures.end("f", 0.1, True, True, 1, 11)
    figures.tell(False)
    (row,) = to.take()[0].values()
    assert (row.name, row.runs, row.seconds, row.errors, row.stopped) == ("f", [], 0.0, 0, 1)


def test_beyond_its_budget_a_worker_tells_of_long_and_failed_tasks_only() -> None:
    to = Node()
    figures = WorkerFigures(to.tell)
    for number in range(EVENTS + 5):
        figures.end("f", 0.001, False, False, 1, number)
    figures.end("f", 2 * LONG_S, False, False, 1, 1000)
    figures.tell(False)
    _rows, events, skipped = to.take()
    assert len(events) == EVENTS + 1 and skipped == 5
    for number in range(2 * EVENTS):
        figures.end("f", 0.001, number >= EVENTS + 5, False, 1, number)
    figures.end("f", 0.001, False, True, 1, 1000)
    figures.tell(False)
    outcomes = [event[3] for event in to.take()[1]]
    assert outcomes.count("ok") == EVENTS and outcomes[EVENTS:] == ["failed"] * (EVENTS - 5) + ["cancelled"]
    figures.end("f", 0.001, False, False, 1, 1001)
    figures.tell(False)
    assert len(to.take()[1]) == 1


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_processor_time_is_that_of_the_function_at_work() -> None:
    to = Node()
    figures = WorkerFigures(to.tell)
    figures.tell(False)
    for name, used in (("idle", 0.0), ("busy", 0.05), ("idle", 0.0)):
        if name != figures.name:
            figures.begin(name)
        spin(used)
        figures.end(name, 0.05, False, False, 1, 1)
    figures.tell(False)
    rows, _events, _skipped = to.take()
    assert rows["busy"].cpu >= 0.05 > 0.02 > rows["idle"].cpu


def test_a_task_that_goes_on_tells_of_its_processor_time_too() -> None:
    to = Node()
    figures = WorkerFigures(to.tell)
    figures.tell(False)
    figures.begin("f")
    spin(0.02)
    figures.tell(True)
    rows, events, skipped = to.take()
    assert rows["f"].cpu >= 0.02 and rows["f"].runs == [] and (events, skipped) == ([], 0)
    figures.tell(True)
    assert to.said == [], "too little to be worth it"


def test_it_tells_four_times_a_second() -> None:
    to = Node()
    figures = WorkerFigures(to.tell)

    def at(now: float) -> bool:
        figures.end("f", 0.001, False, False, 1, 1)
        figures.tick(now, lambda: ())
        told, to.said = bool(to.said), []
        return told

    assert [at(now) for now in (1.0, 1.1, 1.2, 1.3, 1.4)] == [True, False, False, True, False]


def test_a_task_that_runs_for_long_is_told_until_it_has_ended() -> None:
    to = Node()
    figures = WorkerFigures(to.tell)
    long = Running(SimpleNamespace(client=1), 7, "f")  # type: ignore[arg-type]

    def at(now: float, *tasks: Running) -> list[Any]:
        figures.tick(now, lambda: tasks)
        told = [message[4] for message in to.said if message[0] == "ran"]
        to.said.clear()
        return told

    short = [Running(long.channel, number, "s") for number in (8, 9)]
    at(1.0, long, short[0])
    at(1.25, long, short[1])
    ((since, name, task),) = at(1.5, long)[0]
    assert abs(since - time.time()) < 60 and (name, task[-16:]) == ("f", f"{7:016x}")
    assert all(told == [(since, name, task)] for told in at(1.75, long)), "the same, if at all"
    figures.end("f", 1.0, False, False, 1, 7)
    assert at(2.0, long) == [[]], "in the message that has its event"
    assert at(2.25) == []


def test_what_runs_is_told_by_the_node_until_its_worker_ends() -> None:
    figures = node(w1=77, w2=78)
    figures.on_ran(1, [], [], 0, [(5.0, "f", "aa")])
    figures.on_ran(2, [], [], 0, [(6.0, "g", "bb")])

    def told() -> Any:
        message = figures.take()
        return message and message[5]

    assert told() == told() == [(5.0, 77, "f", "aa"), (6.0, 78, "g", "bb")], "again and again"
    figures.on_ran(1, [], [], 0, [])
    assert told() == [(6.0, 78, "g", "bb")]
    figures.forget(2)
    assert told() == [] and told() is None


@pytest.mark.parametrize(
    ("kind", "outcome"), [("cancelled", "cancelled"), ("oom", "failed"), ("signal", "failed")]
)
def test_what_a_worker_ran_when_it_was_killed_has_an_event(kind: str, outcome: str) -> None:
    figures = node(w1=77)
    figures.on_ran(1, [], [], 0, [(5.0, "f", "aa")])
    figures.on_exited(1, kind, 8.0)
    figures.forget(1)
    message = figures.take()
    assert message is not None and message[3:] == ([(5.0, 3.0, 77, "f", outcome, "aa")], 0, [])
    assert figures.take() is None


def test_a_worker_of_very_many_functions_keeps_few_and_tells_all() -> None:
    to = Node()
    figures = WorkerFigures(to.tell)
    told: Counter[str] = Counter()
    for turn in range(20):
        for at in range(1000):
            name = f"f{turn}-{at}"
            figures.begin(name)
            figures.end(name, 0.001, False, False, 1, at)
        figures.tell(True)
        rows, _events, _skipped = to.take()
        for name, row in rows.items():
            told[name] += sum(times for _at, times in row.runs)
    assert told == Counter(f"f{turn}-{at}" for turn in range(20) for at in range(1000))
    figures.tell(True)
    assert len(figures._of) <= FUNCTIONS


def test_a_task_that_ends_while_its_function_is_forgotten_is_told() -> None:
    to = Node()
    figures = WorkerFigures(to.tell)
    for at in range(FUNCTIONS + 5):
        figures.end(f"f{at}", 0.001, False, False, 1, at)
    figures.tell(True)
    to.said.clear()
    in_hand = figures._of["f0"]
    figures.tell(True)
    assert "f0" not in figures._of
    in_hand.counts[3] += 1
    figures.tell(True)
    assert to.take()[0]["f0"].runs == [(3, 1)]


# -- an owner


def test_an_answer_counts_for_all_its_tasks() -> None:
    figures = OwnFigures()
    first: Any = SimpleNamespace(submitted=10.0)
    figures.answered(first, 5, elapsed=0.5, now=12.5)
    figures.retried += 1
    taken = figures.take()
    assert taken is not None
    ((at, times),), waited, failed, cancelled, retried = taken
    assert SECONDS[at - 1] < 2.0 <= SECONDS[at] or SECONDS[at] >= 2.0 > SECONDS[at - 1]
    assert (times, waited, failed, cancelled, retried) == (5, 10.0, 0, 0, 1)
    assert figures.take() is None


def test_counting_costs_less_than_a_microsecond_a_task() -> None:
    """Of a fast machine; the bound here is for a busy one."""
    figures = WorkerFigures(lambda *_messages: None)
    figures.begin("f")

    def each(work: Callable[[], None], count: int = 20_000) -> float:
        began = time.thread_time()
        for _ in range(count):
            work()
        return (time.thread_time() - began) / count

    cost = min(each(lambda: figures.end("f", 0.0001, False, False, 1, 1)) for _ in range(5))
    assert cost < 5e-6
