"""What the head adds to what a driver knows of a task, and whom it asks."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.driver import failures
from rustray.errors import OptionError, SessionError
from rustray.explanation import Explanation
from rustray.head.explaining import OWNER_ANSWERS_S
from rustray.model import ids
from tests.unit.explained_facts import (
    KEY,
    ON_WORKER,
    QUEUED,
    SPEC,
)
from tests.unit.head_bench import DRIVER, OTHER, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ask(bench: Bench, what: str, *args: Any) -> list[tuple[bool, Any]]:
    answers: list[tuple[bool, Any]] = []
    bench.head.questions.ask(what, args, lambda ok, value: answers.append((ok, value)))
    return answers


def test_it_says_who_has_the_slots(bench: Bench) -> None:
    bench.alive(resources={"CPU": 1.0})
    bench.say("class", KEY, 1, SPEC, DRIVER)
    bench.say("demand", KEY, DRIVER, 1)
    bench.say("predicted", [(KEY, 1, 3.0, 9.0)])
    ((ok, told),) = ask(bench, "explained", QUEUED)
    assert ok and told["lease"]["state"] == "waiting" and told["lease"]["missing"] == {"CPU": 1.0}
    (holder,) = told["lease"]["holders"]
    assert (holder["class"], holder["pinned"], holder["leases"]) == ("Counter", True, 1)
    assert told["estimate"]["run_s"] == 3.0 and told["resources"] == {"CPU": 2.0}
    assert Explanation(told).state == "waiting for a lease"


@pytest.mark.parametrize(
    ("about", "start"),
    [
        ({**ON_WORKER, "state": "sent", "behind": 2}, 6.0),
        ({**QUEUED, "leases": 2}, 2.25),
        ({**QUEUED, "leases": 2, "ran_s": 1.0}, 2.25),
        ({**QUEUED, "leases": 2, "ran_s": 12.0}, 9.0),
        ({**ON_WORKER, "state": "sent", "behind": 2, "ran_s": 12.0}, 24.0),
        ({**ON_WORKER, "state": "running"}, None),
    ],
)
def test_it_says_when_a_task_will_start(bench: Bench, about: dict[str, Any], start: float | None) -> None:
    bench.say("class", KEY, 1, SPEC, DRIVER)
    ((_ok, told),) = ask(bench, "explained", about)
    assert Explanation(told).predicted_start_s is None
    assert ("not known yet" in str(Explanation(told))) == (start is not None)
    bench.say("predicted", [(KEY, 1, 3.0, 9.0)])
    ((_ok, told),) = ask(bench, "explained", about)
    assert Explanation(told).predicted_start_s == start


def test_it_names_the_node_of_a_worker(bench: Bench) -> None:
    ((_ok, told),) = ask(bench, "explained", {**ON_WORKER, "state": "running"})
    assert told["node"] == "n1"
    ((_ok, told),) = ask(
        bench, "explained", {**ON_WORKER, "state": "running", "worker": ids.node_client(9) + 1}
    )
    assert told["node"] == "number 9"


def test_it_knows_how_an_actor_is(bench: Bench) -> None:
    actor, _lease = bench.alive()
    ((_ok, told),) = ask(bench, "explain_task", actor.hex())
    assert Explanation(told).state == "alive"
    waiting = bench.create(resources={"CPU": 2.0}, complete=False)
    ((_ok, told),) = ask(bench, "explain_task", waiting.hex())
    assert "arguments of its constructor" in Explanation(told).text


def test_the_owner_is_asked_about_its_task(bench: Bench) -> None:
    bench.said()
    for name in (ids.make_object_id(DRIVER, 7, 0).hex(), ids.make_object_id(DRIVER, 7, 1)[:14].hex()):
        answers = ask(bench, "explain_task", name)
        ((op, client, token, number),) = bench.said()
        assert (op, client, number) == ("explain", DRIVER, 7) and answers == []
        bench.say("explained", token, {"task": name, "state": "ended"})
        bench.say("explained", token, {"task": name, "state": "ended"})
        assert answers == [(True, {"task": name, "state": "ended"})]


def test_an_owner_that_is_gone_or_silent_is_an_error_in_time(bench: Bench) -> None:
    gone, silent = (ask(bench, "explain_task", ids.make_object_id(OTHER, 7, 0).hex()) for _ in range(2))
    token = next(message[2] for message in bench.said() if message[0] == "explain")
    bench.say("explained", token, None)
    bench.head.tick()
    assert not silent
    bench.now += OWNER_ANSWERS_S
    bench.head.tick()
    for answers in (gone, silent):
        ((ok, packed),) = answers
        assert not ok
        with pytest.raises(SessionError, match="the process that submitted it has"):
            raise failures.unpack(packed)


@pytest.mark.parametrize("name", ["", "f", "00" * 13, "00" * 17, "zz" * 14])
def test_what_is_no_id_says_what_is(bench: Bench, name: str) -> None:
    ((ok, packed),) = ask(bench, "explain_task", name)
    assert not ok
    with pytest.raises(OptionError, match="28 hexadecimal digits"):
        raise failures.unpack(packed)
