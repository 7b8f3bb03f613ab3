"""Jobs, terms of office, nodes and pairs among the replicated facts; what is refused, told twice or forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.cluster import actors, commands, groups, membership, nodes_jobs, state
from rustray.cluster.commands import Command
from rustray.cluster.facts import DEAD, PENDING
from rustray.cluster.state import ClusterState
from tests.unit.cluster_commands import DRIVER, A, B, C, alive, cluster, error, failed, register, start


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


def test_each_term_of_office_has_a_number() -> None:
    facts = ClusterState()
    once = commands.take_office("h1:1", 1.0).once("op-1")
    assert facts.apply(*once) == facts.apply(*once) == {"epoch": 1}
    assert facts.apply(*commands.take_office("h2:1", 2.0)) == {"epoch": 2}
    assert (facts.epoch, facts.leader, facts.leads_since) == (2, "h2:1", 2.0)


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
