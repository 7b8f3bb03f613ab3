"""How the head leads an actor from its creation to its end, with its name, its callers and its owner."""

from __future__ import annotations

import pytest

from rustray.driver import failures
from rustray.errors import ActorAlreadyExistsError, ActorNotFoundError, InfeasibleError
from rustray.head.actor_callers import UNKNOWN_FOR_S
from tests.unit.head_bench import DRIVER, OTHER, Bench, dead_causes


@pytest.fixture
def bench() -> Bench:
    return Bench()


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


def test_one_that_ends_itself_can_be_killed_before_it_has_finished(bench: Bench) -> None:
    actor, lease = bench.alive()
    bench.say("actor_ended", actor, "it has called exit_actor()")
    assert "stop_actor" not in bench.ops()
    bench.say("kill_actor", actor, True)
    assert bench.said() == [("stop_actor", actor, False, "it was killed by rustray.kill()")]
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
    assert "%%actor --detached" in bench.head.state.actors[mortal].cause
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


def test_unknown_actors_are_dead(bench: Bench) -> None:
    bench.say("connect_actor", DRIVER, bytes(16), 0)
    assert bench.said() == []  # a handle may travel faster than the registration of its actor
    bench.now += UNKNOWN_FOR_S + 1
    bench.head.tick()
    assert "not known" in dead_causes(bench.said())[DRIVER]
    for message in (("kill_actor", bytes(16), True), ("actor_unreferenced", bytes(16))):
        bench.say(*message)
    assert bench.said() == []


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
