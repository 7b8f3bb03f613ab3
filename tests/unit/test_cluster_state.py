from __future__ import annotations

import marshal
import random
from typing import Any

import pytest

from rustray.cluster import actors, commands, groups, membership, nodes_jobs, state
from rustray.cluster.commands import Command
from rustray.cluster.facts import (
    ALIVE,
    CREATED,
    DEAD,
    PENDING,
    REMOVED,
    RESCHEDULING,
    RESTARTING,
    STRATEGIES,
    TRANSITIONS,
)
from rustray.cluster.state import ClusterState

DRIVER = 1 << 28 | 1
A, B, C = (bytes([n]) * 16 for n in (1, 2, 3))


def cluster(*more: Command) -> ClusterState:
    """A cluster with job 1 and node n1, and what `more` makes of it."""
    facts = ClusterState()
    for command in (
        commands.start_job(DRIVER, "job", "ns", b"place", 1.0),
        commands.add_node("n1", "10.0.0.1:1", {"CPU": 10_000}, {"zone": "a"}, 1.0),
        *more,
    ):
        result = facts.apply(*command)
        assert "error" not in result, result
    return facts


def register(actor: bytes = A, **more: Any) -> Command:
    return commands.register_actor(
        actor, more.pop("job", 1), "Counter", b"spec", more.pop("time", 2.0), **more
    )


def alive(actor: bytes = A, incarnation: int = 0, node: str = "n1") -> Command:
    return commands.actor_alive(actor, incarnation, node, worker=7, pid=77)


def failed(actor: bytes = A, incarnation: int = 0, restart: bool = True) -> Command:
    return commands.actor_failed(actor, incarnation, "segfault", 3.0, restart)


def error(facts: ClusterState, command: Command) -> str:
    before = facts.to_dict()
    result = facts.apply(*command)
    assert result["message"] and facts.to_dict() == before, "a refused command changed something"
    return str(result["error"])


# -- jobs


def start(**more: Any) -> Command:
    return commands.start_job(DRIVER, "job", more.pop("namespace", "ns"), b"place", 1.0, **more)


def test_jobs_are_numbered_and_one_told_twice_is_one() -> None:
    facts = ClusterState()
    once = start(options={"weight": 2.0}).once("op-1")
    assert facts.apply(*once) == facts.apply(*once) == {"job": 1, "namespace": "ns"}
    assert facts.apply(*start(namespace="")) == {"job": 2, "namespace": "job-2"}
    job = facts.jobs[1]
    assert (job.client, job.place, job.options) == (DRIVER, b"place", {"weight": 2.0})
    facts.apply(*commands.end_job(2, 2.0))
    assert facts.apply(*start())["job"] == 3, "a number was given twice"


def test_a_job_ends_once() -> None:
    facts = cluster()
    assert facts.to_dict()["jobs"][0]["end"] is None
    assert facts.apply(*commands.end_job(1, 5.0, "done")) == {"killed": []}
    assert facts.to_dict()["jobs"][0]["end"] == 5.0 and facts.jobs[1].cause == "done"
    assert error(facts, commands.end_job(1, 6.0)) == "job_ended"
    assert error(facts, commands.end_job(9, 6.0)) == "unknown_job"


def test_a_jobs_end_kills_its_actors_but_not_the_detached() -> None:
    facts = cluster(
        start(),
        register(A),
        register(B, detached=True, name="keeper"),
        register(C, job=2),
        alive(A),
    )
    assert facts.apply(*commands.end_job(1, 5.0)) == {"killed": [A]}
    assert [facts.actors[a].state for a in (A, B, C)] == [DEAD, PENDING, PENDING]
    assert facts.actors[A].died == 5.0 and "job 1" in facts.actors[A].cause
    assert facts.actor_named("", "keeper") is facts.actors[B]


def test_the_place_is_kept_while_the_driver_or_a_detached_actor_lives() -> None:
    facts = cluster(register(A, detached=True), register(B, detached=True))
    facts.apply(*commands.end_job(1, 5.0))
    facts.apply(*commands.kill_actor(A, "killed", 6.0))
    assert facts.jobs[1].place == b"place"
    facts.apply(*commands.kill_actor(B, "killed", 7.0))
    assert facts.jobs[1].place == b""
    facts = cluster()
    facts.apply(*commands.end_job(1, 5.0))
    assert facts.jobs[1].place == b""


# -- heads


def test_each_term_of_office_has_a_number() -> None:
    facts = ClusterState()
    once = commands.take_office("h1:1", 1.0).once("op-1")
    assert facts.apply(*once) == facts.apply(*once) == {"epoch": 1}
    assert facts.apply(*commands.take_office("h2:1", 2.0)) == {"epoch": 2}
    assert (facts.epoch, facts.leader, facts.leads_since) == (2, "h2:1", 2.0)


# -- nodes


def test_a_node_that_belongs_to_the_cluster_may_join_again_by_its_number() -> None:
    facts = cluster()
    again = commands.add_node("n1", "10.0.0.1:2", {"CPU": 20_000}, {}, 2.0, number=1)
    assert facts.apply(*again) == {"number": 1}
    assert (facts.nodes["n1"].address, facts.nodes["n1"].total) == ("10.0.0.1:2", {"CPU": 20_000})
    assert error(facts, commands.add_node("n1", "", {}, {}, 2.0, number=2)) == "node_removed"
    facts.apply(*commands.remove_node("n1", 3.0, "silent"))
    assert error(facts, again) == "node_removed"
    assert facts.apply(*commands.add_node("n1", "", {}, {}, 4.0)) == {"number": 2}
    assert facts.nodes["n1"].number == 2


def test_a_node_joins_leaves_and_may_come_back() -> None:
    facts = cluster()
    again = commands.add_node("n1", "10.0.0.1:2", {}, {}, 3.0)
    assert error(facts, again) == "node_exists"
    assert facts.apply(*commands.remove_node("n1", 2.0, "drained")) == {
        "restarting": [],
        "dead": [],
        "rescheduling": [],
    }
    assert error(facts, commands.remove_node("n1", 2.0)) == "node_removed"
    assert error(facts, commands.remove_node("n9", 2.0)) == "unknown_node"
    assert facts.apply(*again) == {"number": 2} and facts.nodes["n1"].removed is None


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


# -- actors


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


# -- key-value pairs


def test_kv() -> None:
    facts = ClusterState()
    assert facts.apply(*commands.kv_put("ns", b"k1", b"v")) == {"added": True}
    assert facts.apply(*commands.kv_put("ns", b"k1", b"w")) == {"added": False}
    assert facts.apply(*commands.kv_put("ns", b"k1", b"x", overwrite=False)) == {"added": False}
    assert facts.apply(*commands.kv_get("ns", b"k1")) == {"value": b"w"}
    assert facts.apply(*commands.kv_get("other", b"k1")) == {"value": None}
    facts.apply(*commands.kv_put("ns", b"j", b""))
    assert facts.apply(*commands.kv_keys("ns")) == {"keys": [b"j", b"k1"]}
    assert facts.apply(*commands.kv_keys("ns", b"k")) == {"keys": [b"k1"]}
    assert facts.apply(*commands.kv_exists("ns", b"j")) == {"exists": True}
    assert facts.apply(*commands.kv_delete("ns", b"j")) == {"deleted": True}
    assert facts.apply(*commands.kv_exists("ns", b"j")) == {"exists": False}
    assert facts.apply(*commands.kv_delete("ns", b"j")) == {"deleted": False}
    facts.apply(*commands.kv_delete("ns", b"k1"))
    assert facts.kv == {}


def test_the_pairs_of_a_job_without_a_namespace_go_with_it() -> None:
    facts = ClusterState()
    for namespace in ("", "shared"):
        job = facts.apply(*commands.start_job(1, "", namespace, b"", 1.0))
        facts.apply(*commands.kv_put(job["namespace"], b"k", b"v"))
    assert set(facts.kv) == {"job-1", "shared"}
    facts.apply(*commands.end_job(1, 2.0))
    facts.apply(*commands.end_job(2, 2.0))
    assert set(facts.kv) == {"shared"}


# -- commands that make no sense


@pytest.mark.parametrize(
    ("op", "payload", "code"),
    [
        ("dance", {}, "unknown_op"),
        ("end_job", {"job": 1}, "bad_payload"),
        ("end_job", {"job": "1", "time": 1.0, "cause": ""}, "bad_payload"),
        ("end_job", {"job": 1, "time": 1.0, "cause": "", "more": 1}, "bad_payload"),
        ("end_job", {"job": 1, "time": 1.0, "cause": "", "operation": []}, "bad_payload"),
    ],
)
def test_nonsense_is_an_error_value(op: str, payload: dict[str, Any], code: str) -> None:
    assert error(cluster(), Command(op, payload)) == code


# -- operations told twice


def test_an_operation_told_twice_is_done_once() -> None:
    facts = cluster(register(max_restarts=5))
    once = failed().once("op-1")
    first = facts.apply(*once)
    assert facts.apply(*once) == first and facts.actors[A].restarts == 1
    refused = commands.end_job(9, 1.0).once("op-2")
    assert facts.apply(*refused) == facts.apply(*refused)


def test_what_a_caller_does_to_a_result_is_not_remembered() -> None:
    facts = cluster(register())
    once = commands.end_job(1, 5.0).once("op-1")
    facts.apply(*once)["killed"].clear()
    assert facts.apply(*once) == {"killed": [A]}


# -- bounded memory


def test_what_is_over_is_forgotten_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, bound in (
        (state, "RESULTS_KEPT"),
        (actors, "DEAD_ACTORS_KEPT"),
        (groups, "REMOVED_GROUPS_KEPT"),
        (membership, "ENDED_JOBS_KEPT"),
        (nodes_jobs, "REMOVED_NODES_KEPT"),
    ):
        monkeypatch.setattr(module, bound, 3)
    facts = cluster()
    for n in range(10, 20):
        job = facts.apply(*start().once(f"op-{n}"))["job"]
        facts.apply(*register(bytes([n]) * 16, job=job))
        facts.apply(*commands.create_group(bytes([n]) * 16, job, [{}], "PACK", 1.0))
        facts.apply(*commands.end_job(job, 2.0))
        facts.apply(*commands.add_node(f"n{n}", "", {}, {}, 1.0))
        facts.apply(*commands.remove_node(f"n{n}", 2.0))
    assert list(facts.jobs) == [1, 9, 10, 11]
    assert list(facts.nodes) == ["n1", "n17", "n18", "n19"]
    assert list(facts.actors) == list(facts.groups) == [bytes([n]) * 16 for n in (17, 18, 19)]
    assert list(facts.to_dict()["results"]) == ["op-17", "op-18", "op-19"]


def test_a_job_is_not_forgotten_while_a_detached_actor_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "ENDED_JOBS_KEPT", 1)
    facts = cluster(register(A, detached=True, max_restarts=-1))
    facts.apply(*commands.end_job(1, 2.0))
    for job in (2, 3, 4):
        facts.apply(*start())
        facts.apply(*commands.end_job(job, 2.0))
    assert list(facts.jobs) == [1, 4] and facts.jobs[1].place == b"place"
    facts.apply(*commands.kill_actor(A, "killed", 6.0))
    assert list(facts.jobs) == [1]


def test_a_detached_actor_may_make_actors_after_its_driver_has_gone() -> None:
    facts = cluster()
    facts.apply(*register(A, detached=True))
    facts.apply(*commands.end_job(1, 5.0))
    assert facts.apply(*register(B)) == {"incarnation": 0}
    facts.apply(*commands.kill_actor(A, "kill", 6.0))
    assert error(facts, register(bytes(16))) == "job_ended"


# -- replay and snapshots


def random_log(seed: int, length: int) -> list[Command]:
    rng = random.Random(seed)
    pick = rng.choice
    log: list[Command] = []
    shadow = ClusterState()
    for n in range(length):
        # ids move on slowly, for jobs, actors and groups that are over do not come back
        actor, job = bytes([n // 12 + rng.randrange(8)]) * 16, shadow.last_job - rng.randrange(4)
        node = f"n{rng.randrange(3)}"
        incarnation, time = pick([0, 0, 1, 2]), float(n)
        command = pick(
            [
                start(namespace=pick(["", "ns"])),
                commands.end_job(job, time) if rng.random() < 0.2 else commands.kv_keys("ns"),
                commands.add_node(node, "addr", {"CPU": 1}, {"a": "b"}, time, number=pick([0, 0, 1, 2])),
                commands.remove_node(node, time, "lost")
                if rng.random() < 0.4
                else commands.kv_get("ns", b"k"),
                register(
                    actor,
                    job=job,
                    time=time,
                    name=pick(["", "x", "y"]),
                    detached=rng.random() < 0.3,
                    max_restarts=pick([-1, 0, 2]),
                ),
                alive(actor, incarnation, node),
                alive(actor, incarnation, node),
                failed(actor, incarnation, restart=rng.random() < 0.8),
                commands.kill_actor(actor, "kill", time, no_restart=rng.random() < 0.5),
                commands.create_group(
                    actor,
                    job,
                    [{"CPU": 1}, {}],
                    pick(STRATEGIES),
                    time,
                    actor=pick([b"", bytes([n // 12 + 4]) * 16]),
                    name=pick(["", "x"]),
                    detached=rng.random() < 0.3,
                ),
                commands.group_placed(actor, [node, "n1"])
                if rng.random() < 0.8
                else commands.remove_group(actor, "removed", time),
                commands.kv_put("ns", bytes([rng.randrange(5)]), b"v%d" % n),
                commands.kv_delete("ns", bytes([rng.randrange(5)])),
            ]
        )
        log.append(command.once(f"op-{rng.randrange(length)}") if rng.random() < 0.5 else command)
        shadow.apply(*log[-1])
    return log


def check(facts: ClusterState) -> None:
    for (namespace, name), actor in facts.names.items():
        held = facts.actors[actor]
        assert (held.namespace, held.name) == (namespace, name) and held.state != DEAD
    for held in facts.actors.values():
        assert held.state in TRANSITIONS
        assert (held.state == ALIVE) == bool(held.node) and held.restarts == held.incarnation
        assert held.max_restarts < 0 or held.restarts <= held.max_restarts
        assert not held.name or held.state == DEAD or facts.names[held.namespace, held.name] == held.id
        if held.state != DEAD and not held.detached:
            end = facts.jobs[held.job].end
            assert end is None or held.created >= end  # made by a detached actor that goes on
        if held.state == ALIVE:
            assert facts.nodes[held.node].removed is None
    for job in facts.jobs.values():
        living = [a for a in facts.actors.values() if a.job == job.id and a.detached and a.state != DEAD]
        assert job.detached == len(living)
        assert (job.id in facts.ended_jobs) == (job.end is not None and not living) == (not job.place)
    check_groups(facts)


def check_groups(facts: ClusterState) -> None:
    for (namespace, name), identity in facts.group_names.items():
        group = facts.groups[identity]
        assert (group.namespace, group.name) == (namespace, name) and group.state != REMOVED
    for group in facts.groups.values():
        assert (group.state == CREATED) == all(group.nodes)
        assert group.state == RESCHEDULING or all(group.nodes) or not any(group.nodes)
        assert all(facts.nodes[node].removed is None for node in group.nodes if node)
        if group.state != REMOVED:
            assert not group.name or facts.group_names[group.namespace, group.name] == group.id
            assert group.detached or group.job not in facts.ended_jobs or group.actor


@pytest.mark.parametrize("seed", range(8))
def test_the_same_log_makes_the_same_state_also_through_snapshots(seed: int) -> None:
    log = random_log(seed, 1500)
    first, second, seen = ClusterState(), ClusterState(), set[str]()
    for n, command in enumerate(log):
        result = first.apply(*command)
        check(first)
        seen |= {actor.state for actor in first.actors.values()}
        seen |= {group.state for group in first.groups.values()}
        assert second.apply(*command) == result
        if n % 100 == 0:
            second = ClusterState.from_dict(marshal.loads(marshal.dumps(second.to_dict())))
    assert first.to_dict() == second.to_dict() and first.names == second.names
    assert seen == {*TRANSITIONS, CREATED, RESCHEDULING, REMOVED}, "the log was too tame"


def test_a_snapshot_shares_nothing_with_the_state() -> None:
    facts = cluster(commands.kv_put("ns", b"k", b"v"))
    snapshot = facts.to_dict()
    other = ClusterState.from_dict(snapshot)
    other.apply(*commands.kv_put("ns", b"k", b"w"))
    other.nodes["n1"].labels["zone"] = "b"
    snapshot["nodes"][0]["total"]["CPU"] = 0
    assert facts.kv["ns"][b"k"] == b"v"
    assert facts.nodes["n1"].labels == {"zone": "a"} and facts.nodes["n1"].total == {"CPU": 10_000}
