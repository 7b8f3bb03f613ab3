"""What `explain` says, from made-up facts; what the head adds; and when a waiting `get` is told."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rustray.driver import cells, failures
from rustray.driver.patience import LACKING_S, PATIENCE_S, Patience, warning, why_not_started
from rustray.errors import OptionError, SessionError
from rustray.explanation import Explanation
from rustray.head.explaining import OWNER_ANSWERS_S
from rustray.model import ids, quantities
from tests.unit.test_head_reactor import DRIVER, OTHER, Bench
from tests.unit.test_submitter import Bench as DriverBench
from tests.unit.test_submitter import bench as driver_bench  # noqa: F401

KEY, F = b"class", b"f" * 16
SPEC = {"name": "f", "function": F, "resources": {"CPU": 2.0}, "runtime_env": None, "env_key": b""}
TASK = {"task": "00" * 14, "function": "f", "class": KEY, "client": DRIVER}
QUEUED = {**TASK, "state": "queued", "position": 2, "queued": 5, "leases": 0}
ON_WORKER = {**TASK, "worker": DRIVER + 9, "pid": 4242, "node": "n1", "behind": 0, "suspended": False}
COUNTER = {"class": "Counter", "job": 1, "pinned": True, "leases": 2, "client": 0}
OTHERS = {**COUNTER, "pinned": False, "client": OTHER}
JOB = 7
LEASE = {"state": "waiting", "wanted": 1, "held": 0, "promised": 0, "missing": {"CPU": 2.0}, "ahead": 0}
CALL = {"task": "00" * 14, "function": "Counter.add", "actor": b"a" * 16, "client": DRIVER}
WAITING_CALL = {
    **CALL,
    "state": "actor",
    "position": 1,
    "queued": 3,
    "connected": False,
    "actor_name": "Counter",
}


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        ({"task": "00", "state": "done", "value": "in the store"}, "done", "its value is in the store"),
        (
            {
                "task": "00",
                "function": "f",
                "state": "failed",
                "error_type": "ValueError",
                "error": "no\nmore",
            },
            "failed",
            "Task f() has failed: ValueError: no",
        ),
        (
            {"task": "00", "state": "failed", "error_type": "rustray.errors.TaskCancelledError", "error": ""},
            "cancelled",
            "was cancelled",
        ),
        ({"task": "00", "state": "ended"}, "ended", "nothing refers to its results any more"),
        ({"task": "00", "state": "unknown"}, "unknown", "not known"),
        (
            {**ON_WORKER, "state": "running", "since_s": 3.21},
            "running",
            "on node n1, in worker process 4242, for 3.21 s so far.",
        ),
        (
            {**ON_WORKER, "state": "running", "since_s": 1.0, "cancelled": True},
            "running",
            "is being cancelled",
        ),
        (
            {**ON_WORKER, "state": "running", "suspended": True},
            "suspended",
            "its slot went to more urgent work",
        ),
        ({**ON_WORKER, "state": "sent", "behind": 3}, "sent", "which runs 3 tasks before it"),
        ({**ON_WORKER, "state": "sent", "pid": 0}, "sent", "worker process yet to start, and starts next"),
        (
            {**TASK, "state": "arguments", "missing": ["ab", "cd"]},
            "waiting for arguments",
            "for 2 objects: ab, cd.",
        ),
        ({**QUEUED, "leases": 2}, "queued", "at place 2 of 5 here, for 2 workers that run others now"),
        (
            {**QUEUED, "lease": {**LEASE, "holders": [COUNTER]}},
            "waiting for a lease",
            "for a slot, of which 2 CPU is missing: held by 2 actors Counter of job 1.",
        ),
        (
            {**QUEUED, "lease": {**LEASE, "state": "promised", "promised": 1}},
            "waiting for a lease",
            "being freed for it",
        ),
        (
            {**QUEUED, "lease": {**LEASE, "state": "infeasible"}},
            "infeasible",
            "Task f() cannot start: no node of the cluster has what it needs (missing: 2 CPU); it waits for one to join.",
        ),
        (
            {
                **QUEUED,
                "lease": {**LEASE, "state": "infeasible", "missing": {}, "reason": "no node has label a=b"},
            },
            "infeasible",
            "no node of the cluster has what it needs (no node has label a=b); it waits for one to join.",
        ),
        (
            {**QUEUED, "lease": {**LEASE, "reason": "its group has no room"}},
            "waiting for a lease",
            "; its group has no room",
        ),
        (
            {**QUEUED, "lease": {"state": "unknown"}},
            "waiting for a lease",
            "waits, at place 2 of 5 here, for a slot.",
        ),
        (
            {**WAITING_CALL, "actor_state": "PENDING", "complete": True, "lease": LEASE},
            "waiting for its actor",
            "Counter.add() is at place 1 of 3 calls here; its actor Counter is not up yet: it waits for a slot",
        ),
        (
            {**WAITING_CALL, "actor_state": "PENDING", "complete": False},
            "waiting for its actor",
            "waits for the arguments of its constructor",
        ),
        (
            {**WAITING_CALL, "actor_state": "RESTARTING", "complete": True, "lease": {"state": "served"}},
            "waiting for its actor",
            "is being restarted: its constructor runs",
        ),
        ({**WAITING_CALL, "connected": True, "actor_state": "ALIVE"}, "queued", "its actor is busy"),
        (
            {**WAITING_CALL, "connected": True, "actor_state": "ALIVE", "blocked_by": ["ab"]},
            "waiting for arguments",
            "as calls run in their order, for an argument of one before it for 1 object: ab",
        ),
        (
            {**CALL, "state": "interrupted", "actor_state": "RESTARTING"},
            "waiting for its actor",
            "ran when its actor died",
        ),
        (
            {
                "task": "",
                "state": "actor",
                "actor_name": "Counter",
                "actor_state": "DEAD",
                "cause": "it was killed",
            },
            "dead",
            "The actor Counter is dead: it was killed.",
        ),
        (
            {"task": "", "state": "actor", "actor_name": "Counter", "actor_state": "ALIVE"},
            "alive",
            "The actor Counter is up.",
        ),
        ({"task": "", "state": "actor", "actor_state": "unknown"}, "unknown", "is not known to the cluster"),
        (
            {
                "task": "",
                "state": "actor",
                "actor": b"a" * 16,
                "actor_name": "Counter",
                "actor_state": "PENDING",
                "lease": {**LEASE, "state": "infeasible"},
            },
            "infeasible",
            "The actor Counter cannot start: no node of the cluster has what it needs (missing: 2 CPU)",
        ),
        (
            {"state": "group", "group": "ab", "group_state": "PENDING", "reason": "no node has 7 CPU"},
            "pending",
            "The placement group ab is waiting for room: no node has 7 CPU.",
        ),
    ],
)
def test_it_says_in_a_sentence_how_a_task_is(facts: dict[str, Any], state: str, words: str) -> None:
    found = Explanation(facts)
    assert found.state == state and words in found.text
    assert found.text in repr(found) and found.state in found._repr_html_()


def test_what_else_is_known_is_in_fields_and_in_a_table() -> None:
    lease = {
        **LEASE,
        "level": 2,
        "ahead": 3,
        "predicted_start": 4.0,
        "first_ahead": [{"class": "<g>"}],
        "holders": [COUNTER],
    }
    estimate = {"run_s": 0.25, "spread_s": 0.01, "tasks": 7, "memory": 3 << 20}
    found = Explanation(
        {**QUEUED, "lease": lease, "estimate": estimate, "resources": {"CPU": 2.0, "memory": 2.0**31}}
    )
    assert (found.position, found.queued, found.level, found.ahead) == (2, 5, 2, 3)
    assert (found.missing, found.predicted_start_s, found.predicted_run_s) == ({"CPU": 2.0}, 4.0, 0.25)
    assert dict(found.details()) == {
        "task": "00" * 14,
        "needs": "2 CPU, 2 GiB memory",
        "level": "2",
        "missing": "2 CPU",
        "held by": "2 actors Counter of job 1",
        "ahead": "3: <g>",
        "starts in": "about 4 s",
        "takes": "about 250 ms, ± 10 ms",
        "memory": "about 3 MiB",
    }
    assert "&lt;g&gt;" in found._repr_html_() and found.plain()["level"] == 2


def test_quantities() -> None:
    assert [quantities.duration(s) for s in (0.0, 1.5e-5, 0.0012, 0.25, 3, 500)] == [
        "0 µs", "15 µs", "1.2 ms", "250 ms", "3 s", "8.33 min",
    ]  # fmt: skip
    assert [quantities.lapse(s) for s in (0.03, 0.34, 9.96, 59.7, 185, 7380)] == [
        *("30 ms", "0.3 s", "10 s", "1 min", "3 min 5 s", "2 h 3 min")
    ]
    assert [quantities.byte_size(n) for n in (5, 3 << 10, 14 << 20, 3 << 29)] == [
        "5 B",
        "3 KiB",
        "14 MiB",
        "1.5 GiB",
    ]


class TestHead:
    @pytest.fixture
    def bench(self) -> Bench:
        return Bench()

    def ask(self, bench: Bench, what: str, *args: Any) -> list[tuple[bool, Any]]:
        answers: list[tuple[bool, Any]] = []
        bench.head.questions.ask(what, args, lambda ok, value: answers.append((ok, value)))
        return answers

    def test_it_says_who_has_the_slots(self, bench: Bench) -> None:
        bench.alive(resources={"CPU": 1.0})
        bench.say("class", KEY, 1, SPEC, DRIVER)
        bench.say("demand", KEY, DRIVER, 1)
        bench.say("predicted", [(KEY, 1, 3.0, 9.0)])
        ((ok, told),) = self.ask(bench, "explained", QUEUED)
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
            ({**ON_WORKER, "state": "running"}, None),
        ],
    )
    def test_it_says_when_a_task_will_start(
        self, bench: Bench, about: dict[str, Any], start: float | None
    ) -> None:
        bench.say("class", KEY, 1, SPEC, DRIVER)
        ((_ok, told),) = self.ask(bench, "explained", about)
        assert Explanation(told).predicted_start_s is None
        assert ("not known yet" in str(Explanation(told))) == (start is not None)
        bench.say("predicted", [(KEY, 1, 3.0, 9.0)])
        ((_ok, told),) = self.ask(bench, "explained", about)
        assert Explanation(told).predicted_start_s == start

    def test_it_names_the_node_of_a_worker(self, bench: Bench) -> None:
        ((_ok, told),) = self.ask(bench, "explained", {**ON_WORKER, "state": "running"})
        assert told["node"] == "n1"
        ((_ok, told),) = self.ask(
            bench, "explained", {**ON_WORKER, "state": "running", "worker": ids.node_client(9) + 1}
        )
        assert told["node"] == "number 9"

    def test_it_knows_how_an_actor_is(self, bench: Bench) -> None:
        actor, _lease = bench.alive()
        ((_ok, told),) = self.ask(bench, "explain_task", actor.hex())
        assert Explanation(told).state == "alive"
        waiting = bench.create(resources={"CPU": 2.0}, complete=False)
        ((_ok, told),) = self.ask(bench, "explain_task", waiting.hex())
        assert "arguments of its constructor" in Explanation(told).text

    def test_the_owner_is_asked_about_its_task(self, bench: Bench) -> None:
        bench.said()
        for name in (ids.make_object_id(DRIVER, 7, 0).hex(), ids.make_object_id(DRIVER, 7, 1)[:14].hex()):
            answers = self.ask(bench, "explain_task", name)
            ((op, client, token, number),) = bench.said()
            assert (op, client, number) == ("explain", DRIVER, 7) and answers == []
            bench.say("explained", token, {"task": name, "state": "ended"})
            bench.say("explained", token, {"task": name, "state": "ended"})
            assert answers == [(True, {"task": name, "state": "ended"})]

    def test_an_owner_that_is_gone_or_silent_is_an_error_in_time(self, bench: Bench) -> None:
        gone, silent = (
            self.ask(bench, "explain_task", ids.make_object_id(OTHER, 7, 0).hex()) for _ in range(2)
        )
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
    def test_what_is_no_id_says_what_is(self, bench: Bench, name: str) -> None:
        ((ok, packed),) = self.ask(bench, "explain_task", name)
        assert not ok
        with pytest.raises(OptionError, match="28 hexadecimal digits"):
            raise failures.unpack(packed)


class TestDriver:
    @pytest.fixture
    def bench(self, driver_bench: DriverBench) -> DriverBench:  # noqa: F811
        driver_bench.session.client = DRIVER
        driver_bench.session.id_prefix = DRIVER.to_bytes(6, "big")
        return driver_bench

    def of(self, bench: DriverBench, entry: Any) -> dict[str, Any]:
        return bench.session.explaining.of_entry(entry)

    def test_a_queued_task_knows_its_place(self, bench: DriverBench) -> None:
        entries = bench.submit(3)
        about = self.of(bench, entries[1])
        assert (about["state"], about["position"], about["queued"], about["leases"]) == ("queued", 2, 3, 0)
        assert about["task"] == entries[1].id[:14].hex() and about["class"] == b"class"

    def test_a_sent_task_knows_who_runs_before_it(self, bench: DriverBench) -> None:
        bench.session.leases.on_estimate(b"class", 1e-5, 0.0)
        entries, worker = bench.submit(3), bench.worker()
        assert [(self.of(bench, e)["state"], self.of(bench, e)["behind"]) for e in entries] == [
            ("sent", 0), ("sent", 1), ("sent", 2),
        ]  # fmt: skip
        worker.start(entries[1].task.number)
        worker.answer(entries[0].task.number)
        assert [self.of(bench, e)["state"] for e in entries] == ["done", "running", "sent"]
        bench.session.leases.tick(100.0)
        bench.session.leases.on_suspended(worker.lease, True)
        assert self.of(bench, entries[1])["suspended"] and self.of(bench, entries[2])["behind"] == 1

    def test_the_owner_finds_a_task_by_its_number(self, bench: DriverBench) -> None:
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

    def test_a_cancelled_task_says_so(self, bench: DriverBench) -> None:
        (entry,) = bench.submit()
        bench.session.tasks.cancel(entry.task, False, True)
        assert Explanation(self.of(bench, entry)).state == "cancelled"


class TestPatience:
    @pytest.fixture
    def waiting(self, driver_bench: DriverBench, monkeypatch: pytest.MonkeyPatch) -> DriverBench:  # noqa: F811
        """Somebody waits in `get`, and the class has tasks and no lease."""
        monkeypatch.setattr(type(driver_bench.session.reactor), "is_waited_for", True)
        driver_bench.submit(2)
        driver_bench.told.receive()
        return driver_bench

    def answer(self, bench: DriverBench, **lease: Any) -> None:
        queries = [message for message in bench.told.receive() if message[0] == "query"]
        for _op, number, what, (about,) in queries:
            assert what == "explained"
            bench.session.requests.on_answer(
                number, True, {**about, "lease": {**LEASE, "holders": [COUNTER], **lease}}
            )

    def test_it_is_said_once_and_not_too_early(self, waiting: DriverBench) -> None:
        lines: list[str] = []
        patience = Patience(waiting.session, lines.append)
        for now in (0.0, PATIENCE_S / 2, PATIENCE_S - 0.1):
            patience.tick(now)
            self.answer(waiting)
        assert lines == []
        for now in (PATIENCE_S, PATIENCE_S + 1, 5 * PATIENCE_S):
            patience.tick(now)
            self.answer(waiting)
        (line,) = lines
        assert line.startswith(
            "rustray: get() has waited 10 s: f() waits for 2 CPU, held by 2 actors Counter."
        )
        assert "rustray.explain(ref)" in line and line.endswith("\n")

    def test_what_no_node_has_is_told_soon_and_once(self, waiting: DriverBench) -> None:
        lines: list[str] = []
        patience = Patience(waiting.session, lines.append)
        for now in (0.0, LACKING_S - 0.1, LACKING_S, LACKING_S + 1, PATIENCE_S, PATIENCE_S + 1):
            assert bool(lines) is (now > LACKING_S)
            patience.tick(now)
            self.answer(waiting, state="infeasible", missing={"GPU": 1.0})
        assert lines == [
            "rustray: f() cannot start: no node of the cluster has what it needs (missing: 1 GPU); it waits for one to "
            "join. rustray.explain(ref) tells more.\n"
        ]

    def test_a_cell_that_is_run_again_is_told_again(
        self, waiting: DriverBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines: list[str] = []
        patience = Patience(waiting.session, lines.append)
        for cell in (1, 2):
            monkeypatch.setattr(cells, "running_cell", lambda cell=cell: cell)
            for now in (0.0, LACKING_S, PATIENCE_S):
                patience.tick(100 * cell + now)
                self.answer(waiting, state="infeasible")
            assert len(lines) == cell

    def test_nothing_is_asked_while_no_head_answers(
        self, waiting: DriverBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines: list[str] = []
        monkeypatch.setattr(cells, "writer", lambda: lambda _stream, text: lines.append(text))
        waiting.session.head.on_lost(100.0, "it was cut", ["10.0.0.1:6380"])
        start = time.monotonic()
        patience = Patience(waiting.session, lines.append)
        for later in (0.0, 1.0, 5.0, 20.0):
            patience.tick(start + later)
        assert len(lines) == 1 and "no leading head of the cluster has answered" in lines[0]
        assert waiting.told.receive() == []

    def test_a_timeout_names_what_hinders(self, waiting: DriverBench) -> None:
        session, entries = waiting.session, [ref._entry for ref in waiting.refs]
        assert why_not_started(session, entries, 0.1) == "" and waiting.told.receive() == []
        for lease, said in (
            ({"state": "infeasible"}, "f() cannot start: no node of the cluster has what it needs (missing: 2 CPU)"),
            ({"reason": "its job has all"}, "f() has no slot: its job has all"),
        ):
            number = session.requests._number + 1
            waiting.told.send([("answer", number, True, {"function": "f", "lease": {**LEASE, **lease}})])
            assert why_not_started(session, entries, 1.0).startswith(said)
        session.head.on_lost(9.0, "it was cut", ["10.0.0.1:6380"])
        assert "f() has no slot yet, and no leading head" in why_not_started(session, entries, 0.1)

    def test_nothing_is_said_while_nobody_waits(
        self, waiting: DriverBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines: list[str] = []
        patience = Patience(waiting.session, lines.append)
        monkeypatch.setattr(type(waiting.session.reactor), "is_waited_for", False)
        patience.tick(0.0)
        patience.tick(100.0)
        monkeypatch.setattr(type(waiting.session.reactor), "is_waited_for", True)
        patience.tick(101.0)
        self.answer(waiting)
        assert lines == []

    def test_nothing_is_said_of_a_class_that_is_served(self, waiting: DriverBench) -> None:
        lines: list[str] = []
        patience = Patience(waiting.session, lines.append)
        patience.tick(0.0)
        waiting.worker()
        patience.tick(PATIENCE_S + 1)
        self.answer(waiting)
        assert lines == []

    @pytest.mark.parametrize(
        ("about", "said"),
        [
            ({**QUEUED, "lease": {**LEASE, "holders": [COUNTER]}}, True),
            ({**QUEUED, "lease": {**LEASE, "state": "served"}}, False),
            ({**QUEUED, "lease": {**LEASE, "state": "promised"}}, False),
            (QUEUED, False),
            (
                {
                    **QUEUED,
                    "lease": {**LEASE, "holders": [COUNTER, {**COUNTER, "pinned": False, "client": DRIVER}]},
                },
                False,
            ),
            (
                {**QUEUED, "lease": {**LEASE, "holders": [OTHERS]}},
                True,
            ),
            ({**QUEUED, "lease": {**LEASE, "holders": [{**OTHERS, "job": JOB}]}}, False),
            (
                {**QUEUED, "lease": {**LEASE, "missing": {"GPU": 1.0}, "holders": [{**OTHERS, "job": JOB}]}},
                True,
            ),
            ({**QUEUED, "lease": {**LEASE, "missing": {}}}, True),
            ({**WAITING_CALL, "actor_state": "PENDING", "lease": {**LEASE, "holders": [COUNTER]}}, True),
        ],
    )
    def test_own_tasks_end_by_themselves(self, about: dict[str, Any], said: bool) -> None:
        assert bool(warning(about, JOB)) is said
