"""The head alone: fake links take what it says, a fake clock tells the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rustray.driver import failures
from rustray.errors import ActorAlreadyExistsError, ActorNotFoundError, InfeasibleError
from rustray.head.actor_callers import UNKNOWN_FOR_S
from rustray.head.log import LocalLog
from rustray.head.membership import NODE_TIMEOUT_S, SETTLE_S
from rustray.head.reactor import Head
from rustray.model import ids

DRIVER, OTHER = ids.node_client(1) + 1, ids.node_client(1) + 2
GIB = float(2**30)


class Bench:
    """A head with nodes; `said` has what it told each since last asked."""

    def __init__(self, **nodes: dict[str, float]) -> None:
        self.now = 100.0
        self.head = Head(lambda: self.now, lambda: self.now, LocalLog())
        self._said: dict[str, list[tuple[Any, ...]]] = {}
        self._next = 0
        for name, resources in (nodes or {"n1": {"CPU": 2.0, "memory": GIB}}).items():
            self._said[name] = []
            self.head.members.on_node_up(name, resources, {}, {}, self._said[name].append)
        self.driver(DRIVER)

    def driver(self, client: int, namespace: str = "ns") -> None:
        self.say("job_start", client, {"namespace": namespace, "env": {}})
        ((op, *_),) = self.said()
        assert op == "job_started"

    def say(self, *message: Any, node: str = "n1") -> None:
        self.head.from_node(node, message)
        self.head.scheduling.scheduler.sanity_check()

    def said(self, node: str = "n1") -> list[tuple[Any, ...]]:
        told, self._said[node][:] = list(self._said[node]), []
        return told

    def ops(self, node: str = "n1") -> list[str]:
        return [message[0] for message in self.said(node)]

    def create(self, client: int = DRIVER, job: int = 1, request: int = 0, **more: Any) -> bytes:
        self._next += 1
        actor = ids.make_object_id(client, self._next, 0)
        spec = {
            "name": "Counter",
            "registered": "",
            "namespace": "ns",
            "detached": False,
            "get_if_exists": False,
            "max_restarts": 0,
            "resources": {},
            "complete": True,
            "handle": {"name": "Counter"},
            **more,
        }
        self.say("create_actor", client, request, actor, job, spec)
        return actor

    def alive(self, worker: int = 2000, **more: Any) -> tuple[bytes, int]:
        """An actor that is up, and its lease."""
        actor = self.create(**more)
        return actor, self.up(actor, worker)

    def up(self, actor: bytes, worker: int) -> int:
        (start,) = [message for message in self.said() if message[0] == "start_actor"]
        assert start[2] == actor
        self.say("actor_ready", actor, worker, start[4]["incarnation"], 77)
        return int(start[1])

    def incarnation(self, actor: bytes) -> int:
        return self.head.state.actors[actor].incarnation

    def exited(self, actor: bytes, lease: int, worker: int = 2000, text: str = "was killed") -> None:
        """The node reports the end of an actor's process, and then of its lease."""
        self.say("actor_exited", actor, worker, "signal", text, self.incarnation(actor))
        self.say("returned", lease)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def dead_causes(messages: list[tuple[Any, ...]]) -> dict[int, Any]:
    return {message[1]: message[-1] for message in messages if message[0] == "actor_dead"}


def test_an_actor_is_started_and_callers_are_introduced(bench: Bench) -> None:
    actor = bench.create()
    bench.say("connect_actor", DRIVER, actor, 0)
    bench.up(actor, 2000)
    assert bench.said() == [("actor_place", DRIVER, actor)]
    bench.say("connect_actor", OTHER, actor, 0)
    assert bench.said() == [("actor_place", OTHER, actor)]
    bench.say("query", DRIVER, 9, "actors", ())
    (row,) = bench.said()[0][-1]
    assert (row["state"], row["pid"]) == ("ALIVE", 77)


def test_an_actor_waits_for_its_arguments(bench: Bench) -> None:
    actor = bench.create(complete=False)
    bench.say("connect_actor", OTHER, actor, 0)
    assert bench.said() == []
    bench.say("actor_arguments", actor, b"args", None)
    (start,) = bench.said()
    assert start[0] == "start_actor" and start[4]["args"] == b"args" and start[4]["incarnation"] == 0
    failing = bench.create(complete=False)
    bench.say("actor_failed", failing, b"packed")
    dead = [message for message in bench.said() if message[0] == "actor_dead"]
    assert dead == [("actor_dead", DRIVER, failing, "constructor", b"packed")]
    bench.say("actor_arguments", failing, b"late", None)
    assert bench.said() == []


def test_a_name_is_taken_until_the_actor_is_dead(bench: Bench) -> None:
    actor, _lease = bench.alive(registered="it")
    bench.create(request=7, registered="it")
    over, (op, client, request, ok, value) = bench.said()
    assert over[0] == "actor_over" and (op, client, request, ok) == ("answer", DRIVER, 7, False)
    assert isinstance(failures.unpack(value), ActorAlreadyExistsError)
    bench.create(request=8, registered="it", get_if_exists=True)
    assert bench.said()[1] == ("answer", DRIVER, 8, True, (actor, {"name": "Counter"}))
    bench.say("query", DRIVER, 9, "actor_named", ("it", "ns"))
    assert bench.said()[0][3:] == (True, (actor, {"name": "Counter"}))
    bench.say("kill_actor", actor, True)
    assert "stop_actor" in bench.ops()
    bench.say("query", DRIVER, 10, "actor_named", ("it", "ns"))
    assert isinstance(failures.unpack(bench.said()[0][-1]), ActorNotFoundError)


def test_a_dead_actor_is_told_to_its_owner_and_its_callers(bench: Bench) -> None:
    actor, lease = bench.alive()
    bench.say("connect_actor", OTHER, actor, 0)
    bench.said()
    bench.exited(actor, lease, text="was killed by signal 9 (SIGKILL)")
    cause = "its worker was killed by signal 9 (SIGKILL)"
    assert dead_causes(bench.said()) == {DRIVER: cause, OTHER: cause}
    bench.say("connect_actor", OTHER, actor, 2000)
    assert dead_causes(bench.said()) == {OTHER: cause}


def test_an_actor_restarts_on_a_new_lease(bench: Bench) -> None:
    actor, lease = bench.alive(max_restarts=1, resources={"CPU": 2.0})
    bench.say("connect_actor", DRIVER, actor, 0)
    bench.said()
    bench.say("actor_exited", actor, 2000, "signal", "was killed", 0)
    assert [message[:3] for message in bench.said()] == [("actor_restarting", DRIVER, actor)]
    bench.say("connect_actor", DRIVER, actor, 2000)
    assert bench.ops() == ["actor_restarting"]
    bench.say("returned", lease)
    (start,) = bench.said()
    assert start[0] == "start_actor" and start[1] != lease and start[4]["incarnation"] == 1
    bench.say("actor_ready", actor, 2001, bench.incarnation(actor), 77)
    assert bench.said() == [("actor_place", DRIVER, actor)]
    bench.exited(actor, start[1], 2001)
    assert dead_causes(bench.said())[DRIVER] == "its worker was killed"


def test_a_client_is_not_led_back_to_the_process_it_lost(bench: Bench) -> None:
    """Its socket tells it of the death before the zygote tells the node."""
    actor, lease = bench.alive(max_restarts=1)
    bench.say("connect_actor", DRIVER, actor, 2000)
    assert bench.said() == []
    bench.exited(actor, lease)
    bench.up(actor, 2001)
    assert bench.said() == [("actor_place", DRIVER, actor)]


def test_kill_with_and_without_restart(bench: Bench) -> None:
    actor, lease = bench.alive(max_restarts=1)
    bench.say("kill_actor", actor, False)
    assert bench.ops() == ["stop_actor"]
    bench.say("actor_exited", actor, 2000, "killed", "it was killed by rustray.kill()", 0)
    bench.say("returned", lease)
    second = bench.up(actor, 2001)
    bench.say("kill_actor", actor, True)
    told = bench.said()
    assert dead_causes(told) == {DRIVER: "it was killed by rustray.kill()"}
    bench.exited(actor, second, 2001)
    assert bench.said() == []


def test_an_actor_that_ends_itself_is_not_stopped_and_not_restarted(bench: Bench) -> None:
    actor, lease = bench.alive(max_restarts=-1)
    bench.say("actor_ended", actor, "it called exit_actor()")
    assert bench.ops() == ["actor_dead", "actor_over"]
    bench.exited(actor, lease)
    assert bench.said() == []


def test_an_actor_without_handles_ends_when_it_is_idle(bench: Bench) -> None:
    actor, lease = bench.alive(max_restarts=-1)
    bench.say("actor_unreferenced", actor)
    assert ("stop_actor", actor, True, "") in bench.said()
    bench.exited(actor, lease)
    assert bench.said() == []
    lasting, _lease = bench.alive(detached=True)
    bench.say("actor_unreferenced", lasting)
    assert bench.said() == []


def test_actors_end_with_their_creator_but_for_detached_ones(bench: Bench) -> None:
    bench.driver(OTHER)
    mortal, _lease = bench.alive(2000, client=OTHER, job=2)
    lasting, _lease = bench.alive(2001, client=OTHER, job=2, detached=True, registered="lasting")
    bench.say("client_gone", OTHER)
    bench.say("job_end", 2)
    stopped = [message[1] for message in bench.said() if message[0] == "stop_actor"]
    assert stopped == [mortal]
    # It goes on to submit tasks and make actors of its own.
    bench.say("class", b"k" * 16, 2, {"name": "f", "resources": {"CPU": 1.0}})
    bench.say("demand", b"k" * 16, 2001, 1)
    _job, grant = bench.said()
    assert grant[0] == "grant" and grant[3] == 2001
    child, _lease = bench.alive(2002, client=2001, job=2)
    bench.say("kill_actor", lasting, True)
    bench.say("client_gone", 2001)
    assert {message[1] for message in bench.said() if message[0] == "stop_actor"} == {lasting, child}
    assert 2 not in bench.head.scheduling.scheduler._book.jobs


def test_what_fits_nowhere_is_told_at_once(bench: Bench) -> None:
    actor = bench.create(resources={"CPU": 3.0})
    (_op, client, told, kind, packed), _stop, _over = bench.said()
    error = failures.unpack(packed)
    assert (client, told, kind) == (DRIVER, actor, "error")
    assert isinstance(error, InfeasibleError) and "1 CPU" in str(error)


def of_the_other_node(then: Callable[[Head], None]) -> list[tuple[Any, ...]]:
    """What a client is told that needs a node which had not reported when a new leader took office, nor `then`."""
    now, told, report = [0.0], [], {}
    log = LocalLog()
    for epoch in (1, 2):
        head = Head(lambda: now[0], lambda: now[0], log, epoch, may_grow=True)
        info = {"number": 1} if epoch == 2 else {}
        head.members.on_node_up("n1", {"CPU": 1.0}, {}, info, told.append, report=report)
        if epoch == 1:
            head.members.on_node_up("n2", {"CPU": 1.0}, {}, {}, lambda _message: None)
            head.from_node("n1", ("job_start", DRIVER, {"namespace": "ns", "env": {}}))
            spec = {"name": "f", "resources": {"CPU": 1.0}, "constraint": {"node": "n2"}}
            report.update(
                jobs=[1],
                clients=[(DRIVER, 1)],
                classes=[(b"key", 1, spec, True)],
                demands=[(b"key", DRIVER, 1)],
            )
    now[0] = SETTLE_S + 0.1
    head.tick()
    then(head)
    now[0] = NODE_TIMEOUT_S + 0.1
    head.tick()
    return [message for message in told if message[0] == "infeasible"]


def test_a_new_leader_gives_up_only_what_needs_a_node_that_does_not_come_back() -> None:
    assert len(of_the_other_node(lambda _head: None)) == 1
    back = {"number": 2}
    assert not of_the_other_node(
        lambda head: head.members.on_node_up("n2", {"CPU": 1.0}, {}, back, lambda _message: None, report={})
    )


def test_unknown_actors_are_dead(bench: Bench) -> None:
    bench.say("connect_actor", DRIVER, bytes(16), 0)
    assert bench.said() == []  # a handle may travel faster than the registration of its actor
    bench.now += UNKNOWN_FOR_S + 1
    bench.head.tick()
    assert "not known" in dead_causes(bench.said())[DRIVER]
    for message in (("kill_actor", bytes(16), True), ("actor_unreferenced", bytes(16))):
        bench.say(*message)
    assert bench.said() == []


def crash(bench: Bench, actor: bytes, start: tuple[Any, ...]) -> None:
    """The process that was started dies before its constructor has returned."""
    bench.say("actor_exited", actor, 2000, "exit", "ended", start[4]["incarnation"])
    bench.say("returned", start[1])


def test_an_actor_that_keeps_dying_is_started_later_and_later(bench: Bench) -> None:
    wakes: list[float] = []
    bench.head.scheduling.wake_at = wakes.append
    actor = bench.create(max_restarts=-1)
    (start,) = bench.said()
    crash(bench, actor, start)
    (start,) = bench.said()  # at once
    for pause in (0.1, 0.2, 0.4):
        crash(bench, actor, start)
        assert bench.said() == [] and bench.now + pause in wakes
        bench.now += pause - 0.01
        bench.head.tick()
        assert bench.said() == []
        bench.now += 0.02
        bench.head.tick()
        (start,) = bench.said()
    assert start[0] == "start_actor" and start[4]["incarnation"] == 4
    bench.say("actor_ready", actor, 2001, 4, 77)
    bench.now += 60.0
    bench.exited(actor, start[1], 2001)
    (start,) = bench.said()
    assert start[4]["incarnation"] == 5


def test_an_actor_that_dies_while_it_rests_is_not_started(bench: Bench) -> None:
    actor = bench.create(max_restarts=-1)
    for _ in range(2):
        (start,) = bench.said()
        crash(bench, actor, start)
    bench.say("kill_actor", actor, True)
    assert "start_actor" not in bench.ops()
    bench.now += 60.0
    bench.head.tick()
    assert bench.ops() == [] and not bench.head.scheduling.scheduler._book.classes


def test_nothing_is_started_before_a_node_has_said_how_the_last_process_ended(bench: Bench) -> None:
    there: list[tuple[Any, ...]] = []

    def join(**report: Any) -> None:
        bench.head.members.on_node_up("n2", {"CPU": 1.0}, {}, {}, there.append, report=report)

    def starts() -> list[int]:
        """Incarnations that were ordered since last asked, on either node."""
        said = [*there, *bench.said()]
        there.clear()
        return [message[4]["incarnation"] for message in said if message[0] == "start_actor"]

    join()
    constraint = {"node": "n2", "soft": True}
    actor = bench.create(max_restarts=2, resources={"CPU": 1.0}, constraint=constraint)
    assert starts() == [0]
    # It has died; the node's link was cut before that was said, and the report has its lease no more.
    join(exits=[(actor, 0)])
    assert starts() == []
    bench.say("actor_exited", actor, 2000, "exit", "ended", 0, node="n2")
    assert starts() == [1] and bench.head.state.actors[actor].restarts == 1
    # A start that never came to the node is made good: no process of it has ended.
    join()
    assert starts() == [1] and bench.head.state.actors[actor].restarts == 1
    # A node that is gone says nothing any more.
    join(exits=[(actor, 1)])
    assert starts() == []
    bench.head.members.on_node_lost("n2", "it is lost")
    assert starts() == [1] and bench.head.state.actors[actor].restarts == 1


def test_nothing_is_kept_of_the_dead(bench: Bench) -> None:
    for _ in range(20):
        actor, lease = bench.alive()
        bench.say("connect_actor", DRIVER, actor, 0)
        bench.say("kill_actor", actor, True)
        bench.exited(actor, lease)
        bench.said()
    actors, callers = bench.head.actors, bench.head.callers
    assert not actors.specs and not actors._owned.get(DRIVER)
    assert not callers._waiting and not callers._connected and not callers._errors
    assert not bench.head.scheduling.scheduler._book.classes


def test_a_question_that_nobody_answers_is_an_error(bench: Bench) -> None:
    bench.say("query", DRIVER, 3, "weather", ())
    (answer,) = bench.said()
    assert answer[:4] == ("answer", DRIVER, 3, False) and "weather" in str(failures.unpack(answer[4]))


class Moody(LocalLog):
    """A log that takes nothing while it has a `trouble`."""

    trouble = ""

    def submit(self, op: str, payload: dict[str, Any], then: Callable[[dict[str, Any]], None]) -> None:
        if self.trouble:
            then({"error": self.trouble, "message": "not now"})
        else:
            super().submit(op, payload, then)


@pytest.mark.parametrize("trouble", ["read_only", "busy", "unknown_outcome"])
def test_what_the_log_cannot_take_is_submitted_again_in_its_order(trouble: str) -> None:
    log, said, acknowledged = Moody(), list[tuple[Any, ...]](), list[int]()
    head = Head(lambda: 1.0, lambda: 1.0, log, may_grow=True)
    head.members.on_node_up("n1", {"CPU": 2.0}, {}, {"number": 0}, said.append)
    log.trouble = trouble
    head.from_node("n1", ("job_start", DRIVER, {}), "node1.1", lambda: acknowledged.append(1))
    head.from_node("n1", ("job_start", OTHER, {}), "node1.2", lambda: acknowledged.append(2))
    head.from_node("n1", ("job_end", 1), "node1.3", lambda: acknowledged.append(3))
    head.tick()
    assert not acknowledged and not said
    log.trouble = ""
    head.tick()
    assert acknowledged == [1, 2, 3]
    assert [message[:3] for message in said] == [
        ("job_started", DRIVER, 1),
        ("job_started", OTHER, 2),
        ("job_ended", 1),
    ]


def test_a_node_is_removed_when_the_log_takes_it() -> None:
    log, dead = Moody(), list[str]()
    head = Head(lambda: 1.0, lambda: 1.0, log, may_grow=True)
    head.members.on_node_up("n1", {"CPU": 2.0}, {}, {}, lambda _message: None)
    log.trouble = "read_only"
    head.members.on_node_lost("n1", "it was silent")
    head.members.on_node_up(
        "n1", {"CPU": 2.0}, {}, {}, lambda _m: None, refused=lambda r: dead.append(r["error"])
    )
    assert dead == ["read_only"] and head.state.nodes["n1"].removed is None
    log.trouble = ""
    head.tick()
    assert head.state.nodes["n1"].removed is not None
    head.scheduling.scheduler.sanity_check()


def test_who_writes_is_told_that_the_log_takes_nothing() -> None:
    log, answers = Moody(), list[bool]()
    head = Head(lambda: 1.0, lambda: 1.0, log, may_grow=True)
    log.trouble = "read_only"
    head.questions.ask("kv_put", ("ns", b"key", b"value", True), lambda ok, _value: answers.append(ok))
    assert answers == [False]
