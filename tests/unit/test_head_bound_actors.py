"""Actors bound to a node or a placement group that goes: those that have lived die, others were infeasible."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.driver import failures
from rustray.errors import InfeasibleError
from tests.unit.head_bench import DRIVER, Bench, dead_causes

G = b"g" * 16
EVICTED = "was stopped because its placement group was removed"


@pytest.fixture
def bench() -> Bench:
    bench = Bench(n1={"CPU": 2.0}, n2={"CPU": 1.0})
    spec = {
        "bundles": [{"CPU": 2.0}],
        "selectors": [],
        "strategy": "PACK",
        "name": "",
        "namespace": "ns",
        "detached": False,
        "actor": b"",
    }
    bench.say("query", DRIVER, 7, "group_create", (G, 1, spec))
    bench.said()
    return bench


def in_group(bench: Bench, **more: Any) -> bytes:
    return bench.create(resources={"CPU": 1.0}, constraint={"group": G}, **more)


def remove_group(bench: Bench) -> list[tuple[Any, ...]]:
    bench.say("query", DRIVER, 8, "group_remove", (G,))
    return [message for message in bench.said() if message[0] == "evict"]


@pytest.mark.parametrize("max_restarts", [0, 1, -1])
@pytest.mark.parametrize("slow", [False, True])
def test_an_actor_dies_with_its_group(bench: Bench, max_restarts: int, slow: bool) -> None:
    actor = in_group(bench, max_restarts=max_restarts)
    lease = bench.up(actor, 2000)
    assert [message[1] for message in remove_group(bench)] == [lease]
    bench.log.held = slow  # then its lease comes back before it is known what its end means
    bench.say("actor_exited", actor, 2000, "evicted", EVICTED, 0)
    bench.say("returned", lease)
    assert not slow or bench.said() == []
    bench.log.let_go()
    told = bench.said()
    assert [message[3] for message in told if message[0] == "actor_dead"] == ["text"]
    cause = dead_causes(told)[DRIVER]
    assert cause.startswith(f"its worker {EVICTED}")
    assert ("it cannot be started again: placement group" in cause) == bool(max_restarts)
    assert "start_actor" not in [message[0] for message in told]
    assert bench.head.state.actors[actor].state == "DEAD"
    assert not bench.head.scheduling.scheduler._book.classes


def test_an_actor_that_rests_dies_with_its_group(bench: Bench) -> None:
    actor = in_group(bench, max_restarts=-1)
    for worker in (2000, 2001):
        bench.exited(actor, bench.up(actor, worker), worker)
    assert remove_group(bench) == []  # of its lease no node knows yet
    bench.now += 60.0
    bench.head.tick()
    assert bench.said() == [] and bench.head.state.actors[actor].state == "DEAD"
    assert "cannot be started again" in bench.head.state.actors[actor].cause
    assert bench.head.status.available()["CPU"] == 3


def test_an_actor_that_has_not_lived_is_infeasible(bench: Bench) -> None:
    remove_group(bench)
    in_group(bench)
    ((_op, _client, _actor, kind, packed),) = [m for m in bench.said() if m[0] == "actor_dead"]
    assert kind == "error" and isinstance(failures.unpack(packed), InfeasibleError)


@pytest.mark.parametrize("max_restarts", [0, -1])
def test_an_actor_dies_with_the_node_that_it_is_bound_to(bench: Bench, max_restarts: int) -> None:
    actor = bench.create(resources={"CPU": 1.0}, constraint={"node": "n2"}, max_restarts=max_restarts)
    (start,) = [message for message in bench.said("n2") if message[0] == "start_actor"]
    bench.say("actor_ready", actor, 2000, 0, 77, node="n2")
    assert start[2] == actor
    bench.head.members.on_node_lost("n2", "it has not been heard of")
    told = bench.said()
    assert [message[3] for message in told if message[0] == "actor_dead"] == ["text"]
    cause = dead_causes(told)[DRIVER]
    assert "it has not been heard of" in cause
    assert ("it cannot be started again: there is no node n2" in cause) == bool(max_restarts)
