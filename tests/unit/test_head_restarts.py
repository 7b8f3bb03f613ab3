"""When the head starts an actor again, when it does not, and how long it waits before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.head_bench import DRIVER, Bench, dead_causes


@pytest.fixture
def bench() -> Bench:
    return Bench()


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
