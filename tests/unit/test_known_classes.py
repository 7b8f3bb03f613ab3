"""What a client, its node and its workers remember of classes and functions."""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from rustray.driver import figures, known_classes
from rustray.driver.functions import WORKERS_KNOWN, Code
from rustray.driver.known_classes import UNUSED_S
from rustray.metrics.functions import Owned
from rustray.serialization import serialize_code
from rustray.worker import code
from tests.unit.lease_bench import CODE, KEY, Bench, numbers


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_the_end_of_workers_given_back_is_not_waited_for(bench: Bench) -> None:
    for worker in range(2 * WORKERS_KNOWN):
        bench.session.leases.functions.at(worker).add(CODE)
    assert len(bench.session.leases.functions._at) == WORKERS_KNOWN


def test_of_very_many_classes_the_busy_ones_are_told_each_time_and_all_in_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "CLASSES", 10)
    leases = bench.session.leases
    for at in range(35):
        leases.scheduling_class(b"%d" % at, Code(b"g", b"", f"g{at}"), {}).figures.retried += 1
    bench.submit()
    telling = figures.Telling(bench.session)
    retried: Counter[str] = Counter()
    for _ in range(8):
        bench.told.receive()
        telling.tell()
        bench.session.flush()
        ((rows,),) = (fields for op, *fields in bench.told.receive() if op == "owned")
        told = [Owned._make(row) for row in rows]
        assert sum(row.waiting for row in told if row.name == "f") == 1
        retried.update({row.name: row.retried for row in told if row.retried})
    assert retried == {f"g{at}": 1 for at in range(35)}


def classes(bench: Bench, count: int) -> list[Any]:
    made = bench.session.leases.scheduling_class
    return [made(b"%d" % at, Code(b"code %d" % at, b"", f"g{at}"), {"name": f"g{at}"}) for at in range(count)]


def told_of(bench: Bench) -> list[tuple[Any, ...]]:
    """What the node is told of classes."""
    return [message for message in bench.told.receive() if message[0] in ("class", "demand", "unused")]


def look(bench: Bench, seconds: float = UNUSED_S + 1.0) -> None:
    """As it is some time later."""
    with bench.session.leases.lock:
        bench.session.leases.known.tick(time.monotonic() + seconds)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One class is kept although nobody uses it."""
    monkeypatch.setattr(known_classes, "KEPT", 1)


class TestUnused:
    def test_are_kept_while_they_are_few_or_young(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = classes(bench, 4)
        bench.told.receive()
        look(bench)
        monkeypatch.setattr(known_classes, "KEPT", 1)
        bench.session.leases.known._due = 0.0
        look(bench, 0.0)
        assert told_of(bench) == []
        look(bench)
        ((op, keys),) = told_of(bench)
        assert op == "unused" and len(keys) == len(made)  # and the class of the bench, less one

    @pytest.mark.usefixtures("few")
    def test_are_told_again_before_they_are_asked_for(self, bench: Bench) -> None:
        classes(bench, 2)
        look(bench)
        bench.told.receive()
        bench.submit()
        (told, spec), (demand, count) = ((op, rest[-1]) for op, *rest in told_of(bench))
        assert (told, demand, count) == ("class", "demand", 1) and spec["name"] == "f"

    @pytest.mark.usefixtures("few")
    def test_with_tasks_or_leases_are_never_forgotten(self, bench: Bench) -> None:
        kept = classes(bench, 2)
        (entry,) = bench.submit()
        look(bench)
        assert bench.session.leases.known.get(KEY) is not None
        worker = bench.worker()
        assert worker.received() == numbers([entry])
        bench.session.leases.known._due = 0.0
        look(bench)
        assert bench.session.leases.known.get(KEY) is not None
        assert kept

    @pytest.mark.usefixtures("few")
    def test_get_what_was_enqueued_while_demand_was_withdrawn(self, bench: Bench) -> None:
        classes(bench, 2)
        bench.target.asked = 1  # a thread that enqueues now tells nothing
        bench.submit()
        with bench.session.leases.lock:
            assert not bench.target.ask_for_nothing()
        assert bench.target.asked == 1

    @pytest.mark.usefixtures("few")
    def test_their_code_is_sent_again(self, bench: Bench) -> None:
        worker = bench.worker()
        bench.submit()
        assert [op for op, *_ in worker.connection.receive()] == ["fn", "run"]
        worker.answer(bench.refs[0]._entry.task.number)
        bench.session.leases.on_revoke(worker.lease)
        classes(bench, 2)
        look(bench)
        assert KEY in told_of(bench)[-1][1]
        assert CODE not in bench.session.leases.functions.at(worker.worker)

    @pytest.mark.usefixtures("few")
    def test_a_lease_that_was_on_its_way_goes_back(self, bench: Bench) -> None:
        classes(bench, 2)
        look(bench)
        bench.told.receive()
        worker = bench.worker()
        assert ("return", worker.lease) in bench.told.receive()

    @pytest.mark.usefixtures("few")
    def test_go_with_what_they_captured_when_nobody_has_them(self, bench: Bench) -> None:
        made = classes(bench, 3)
        captured = weakref.ref(made[0])
        look(bench)
        assert bench.session.leases.scheduling_class(b"0", made[0].code, {}) is made[0]
        del made
        assert captured() is None


def test_a_worker_that_has_forgotten_a_function_gets_it_before_its_tasks(bench: Bench) -> None:
    worker = bench.worker()
    entries = bench.submit(2)
    first = [task[0] for op, *fields in worker.connection.receive() if op == "run" for task in fields[0]]
    worker.say(("forgot", CODE), ("returned", first))
    (fn, run) = worker.connection.receive()
    assert fn == ("fn", CODE, b"", "f")
    assert run[0] == "run" and [task[0] for task in run[1]] == first == numbers(entries)[: len(first)]


class TestWorkerCode:
    def test_of_many_functions_the_last_are_kept_and_those_that_are_needed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(code, "KEPT", 2)
        known = code.KnownCode()
        for key in (b"1", b"2"):
            known.add(key, serialize_code(abs, "abs").pickle, "abs")
        assert known.use(b"1") and known.function(b"1")(-1) == 1
        known.add(b"3", b"", "g")
        assert known.drop(lambda: [b"2"]) == []
        assert known.drop(list) == [b"2"]
        assert not known.use(b"2")
        assert known.use(b"3") and known.use(b"1") and known.name_of(b"3") == "g"
