"""What the process that submitted a task knows of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from rustray.explanation import Explanation, explain
from tests.unit.head_bench import DRIVER
from tests.unit.lease_bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.session.client = DRIVER
    made.session.id_prefix = DRIVER.to_bytes(6, "big")
    yield made
    made.close()


def of(bench: Bench, entry: Any) -> dict[str, Any]:
    return bench.session.explaining.of_entry(entry)


def test_a_queued_task_knows_its_place(bench: Bench) -> None:
    entries = bench.submit(3)
    about = of(bench, entries[1])
    assert (about["state"], about["position"], about["queued"], about["leases"]) == ("queued", 2, 3, 0)
    assert about["task"] == entries[1].id[:14].hex() and about["class"] == b"class"


def test_a_sent_task_knows_who_runs_before_it(bench: Bench) -> None:
    bench.session.leases.on_estimate(b"class", 1e-5, 0.0)
    entries, worker = bench.submit(3), bench.worker()
    assert [(of(bench, e)["state"], of(bench, e)["behind"]) for e in entries] == [
        ("sent", 0), ("sent", 1), ("sent", 2),
    ]  # fmt: skip
    worker.start(entries[1].task.number)
    worker.answer(entries[0].task.number)
    assert [of(bench, e)["state"] for e in entries] == ["done", "running", "sent"]
    bench.session.leases.tick(100.0)
    bench.session.leases.on_suspended(worker.lease, True)
    assert of(bench, entries[1])["suspended"] and of(bench, entries[2])["behind"] == 1


def test_a_queued_task_knows_how_long_those_before_it_have_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, workers = bench.submit(4), [bench.worker(), bench.worker()]
    assert of(bench, entries[3])["ran_s"] == 0.0
    begun = time.monotonic()
    bench.session.leases.tick(begun)
    monkeypatch.setattr(time, "monotonic", lambda: begun + 5.0)
    assert of(bench, entries[3])["ran_s"] == 5.0
    workers[0].answer(entries[0].task.number, seconds=5.0)  # it begins another
    assert of(bench, entries[3])["ran_s"] == 0.0


def test_the_owner_finds_a_task_by_its_number(bench: Bench) -> None:
    entries, worker = bench.submit(2), bench.worker()
    first, second = (entry.task.number for entry in entries)
    find = bench.session.explaining.of_number
    assert find(first)["state"] == "sent" and find(second)["state"] == "queued"
    worker.answer(first)
    assert find(first)["state"] == "ended"  # what its ref says only its process can ask for
    assert find(10**6)["state"] == "unknown"
    bench.told.receive()
    bench.session.explaining.on_explain(5, second)
    ((op, token, told),) = bench.told.receive()
    assert (op, token, told["function"]) == ("explained", 5, "f")


def test_a_cancelled_task_says_so(bench: Bench) -> None:
    (entry,) = bench.submit()
    bench.session.tasks.cancel(entry.task, False, True)
    assert Explanation(of(bench, entry)).state == "cancelled"


def test_while_no_head_answers_a_process_tells_what_it_knows_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rustray.driver.current._current", bench.session)
    bench.submit(2)
    bench.session.head.on_lost(9.0, "it was cut", ["10.0.0.1:6380"])
    bench.told.receive()
    told = explain(bench.refs[1])
    assert told.state == "waiting for a lease" and (told.position, told.queued) == (2, 2)
    assert "no leading head of the cluster has answered for 9 s (tried: 10.0.0.1:6380" in told.text
    worker = bench.worker()
    assert "on node number " in explain(bench.refs[0]).text
    worker.answer(bench.refs[0]._entry.task.number)
    assert explain(bench.refs[0]).text == "The object is done: its value is here."
    assert not [message for message in bench.told.receive() if message[0] == "query"]
