"""Actors among the replicated facts: states, restarts, names, deaths."""

from __future__ import annotations

import pytest

from rustray.cluster import commands
from rustray.cluster.commands import Command
from rustray.cluster.facts import ALIVE, DEAD, PENDING, RESTARTING, TRANSITIONS
from tests.unit.cluster_commands import A, B, C, alive, cluster, error, failed, register


def test_a_lost_nodes_actors_restart_or_die_with_it() -> None:
    facts = cluster(register(A, max_restarts=1), register(B), register(C), alive(A), alive(B))
    assert facts.apply(*commands.remove_node("n1", 4.0, "no heartbeat")) == {
        "restarting": [A],
        "dead": [B],
        "rescheduling": [],
    }
    assert facts.actors[A].incarnation == 1 and facts.actors[A].node == ""
    assert "no heartbeat" in facts.actors[B].cause
    assert facts.actors[C].state == PENDING


def test_an_actor_lives() -> None:
    facts = cluster()
    assert facts.apply(*register(name="c", namespace="ns")) == {"incarnation": 0}
    assert facts.apply(*alive()) == {}
    actor = facts.actors[A]
    assert (actor.state, actor.node, actor.worker, actor.pid) == (ALIVE, "n1", 7, 77)
    assert facts.actor_named("ns", "c") is actor and facts.actor_named("", "c") is None


IN_STATE: dict[str, list[Command]] = {
    PENDING: [],
    ALIVE: [alive()],
    RESTARTING: [alive(), failed()],
    DEAD: [commands.kill_actor(A, "killed", 3.0)],
}


@pytest.mark.parametrize("start", IN_STATE)
@pytest.mark.parametrize("end", [ALIVE, RESTARTING, DEAD])
def test_every_transition_is_taken_or_refused_as_the_table_says(start: str, end: str) -> None:
    facts = cluster(register(max_restarts=-1), *IN_STATE[start])
    actor = facts.actors[A]
    assert actor.state == start
    word = {
        ALIVE: alive(incarnation=actor.incarnation),
        RESTARTING: failed(incarnation=actor.incarnation),
        DEAD: failed(incarnation=actor.incarnation, restart=False),
    }[end]
    if end in TRANSITIONS[start]:
        assert "error" not in facts.apply(*word) and actor.state == end
    else:
        assert error(facts, word) == "illegal_transition" and actor.state == start


def test_restarts_are_counted_against_the_most_allowed() -> None:
    facts = cluster(register(max_restarts=2))
    for incarnation in (0, 1):
        result = facts.apply(*failed(incarnation=incarnation))
        assert result == {"state": RESTARTING, "incarnation": incarnation + 1}
    assert facts.apply(*failed(incarnation=2)) == {"state": DEAD, "incarnation": 2}
    assert facts.actors[A].restarts == 2 and facts.actors[A].cause == "segfault"


def test_minus_one_restarts_for_ever() -> None:
    facts = cluster(register(max_restarts=-1))
    for incarnation in range(50):
        assert facts.apply(*failed(incarnation=incarnation))["state"] == RESTARTING


def test_its_spec_is_kept_for_restarts_and_dropped_at_death() -> None:
    facts = cluster(register(max_restarts=1), failed())
    assert facts.actors[A].spec == b"spec"
    facts.apply(*failed(incarnation=1))
    assert facts.actors[A].spec == b""


def test_arguments_told_later_are_kept_for_restarts_and_dropped_at_death() -> None:
    facts = cluster(register(max_restarts=1, complete=False))
    assert not facts.actors[A].complete
    assert facts.apply(*commands.actor_arguments(A, b"args")) == {}
    assert facts.apply(*commands.actor_arguments(A, b"others")) == {}
    assert (facts.actors[A].complete, facts.actors[A].arguments) == (True, b"args")
    facts.apply(*failed())
    assert facts.actors[A].arguments == b"args"
    facts.apply(*failed(incarnation=1))
    assert facts.actors[A].arguments == b""
    assert error(facts, commands.actor_arguments(A, b"args")) == "illegal_transition"
    assert error(facts, commands.actor_arguments(B, b"args")) == "unknown_actor"


def test_word_of_an_older_incarnation_is_refused() -> None:
    facts = cluster(register(max_restarts=3), alive(), failed())
    assert error(facts, failed(incarnation=0)) == "stale_incarnation"
    assert error(facts, alive(incarnation=0)) == "stale_incarnation"
    assert facts.apply(*alive(incarnation=1)) == {}


def test_a_kill_is_final_unless_restarts_are_wanted() -> None:
    facts = cluster(register(max_restarts=5), alive())
    again = commands.kill_actor(A, "killed", 3.0, no_restart=False)
    assert facts.apply(*again) == {"state": RESTARTING, "incarnation": 1}
    assert facts.apply(*commands.kill_actor(A, "killed", 3.0))["state"] == DEAD
    assert error(facts, commands.kill_actor(A, "killed", 3.0)) == "illegal_transition"
    assert error(facts, commands.kill_actor(B, "killed", 3.0)) == "unknown_actor"


def test_a_name_is_unique_among_the_living_of_a_namespace() -> None:
    facts = cluster(register(A, name="c", namespace="x"), register(B, name="c", namespace="y"))
    taken = register(C, name="c", namespace="x")
    assert facts.apply(*taken)["actor"] == A
    assert error(facts, taken) == "name_taken"
    facts.apply(*commands.kill_actor(A, "killed", 3.0))
    assert facts.actor_named("x", "c") is None
    assert "error" not in facts.apply(*taken)


def test_what_cannot_be_registered() -> None:
    facts = cluster(register(A))
    assert error(facts, register(A)) == "actor_exists"
    assert error(facts, register(b"short")) == "bad_payload"
    assert error(facts, register(B, max_restarts=-2)) == "bad_payload"
    assert error(facts, register(B, job=9)) == "unknown_job"
    facts.apply(*commands.end_job(1, 3.0))
    assert error(facts, register(B)) == "job_ended"


def test_an_actor_lives_on_a_member_node_only() -> None:
    facts = cluster(register())
    assert error(facts, alive(node="n9")) == "unknown_node"
    facts.apply(*commands.remove_node("n1", 2.0))
    assert error(facts, alive()) == "node_removed"


def test_a_detached_actor_may_make_actors_after_its_driver_has_gone() -> None:
    facts = cluster()
    facts.apply(*register(A, detached=True))
    facts.apply(*commands.end_job(1, 5.0))
    assert facts.apply(*register(B)) == {"incarnation": 0}
    facts.apply(*commands.kill_actor(A, "kill", 6.0))
    assert error(facts, register(bytes(16))) == "job_ended"
