"""Scenarios of the scheduler, written down as transcripts: see `scheduler_env`."""

from __future__ import annotations

from collections import Counter

from rustray.scheduler.actions import Infeasible
from rustray.scheduler.events import (
    ClientGone,
    JobEnded,
    NodeRemoved,
)
from tests.unit.scheduler_env import Env


def test_a_demand_is_granted_as_far_as_there_are_slots() -> None:
    env = Env().node(cpu=2).cls("f")
    assert env.demand("f", 5).said == "grant 1 of f to 1 on n1; grant 2 of f to 1 on n1"
    assert env.returned(1).said == "grant 3 of f to 1 on n1"  # it still could use it


def test_a_demand_is_absolute_and_told_twice_means_once() -> None:
    env = Env().node(cpu=4).cls("f").demand("f", 2)
    assert env.demand("f", 2).said == ""
    assert env.demand("f", 3).said == "grant 3 of f to 1 on n1"


def test_a_lease_is_kept_while_nobody_else_wants_the_slot() -> None:
    env = Env().node(cpu=1).cls("f").demand("f", 1)
    assert env.demand("f", 0).said == ""
    assert env.tick(100).said == ""
    assert env.demand("f", 1).said == ""  # it has it still


def test_an_idle_lease_is_revoked_as_soon_as_somebody_wants_the_slot() -> None:
    env = Env().node(cpu=1).cls("f").cls("g").demand("f", 1).demand("f", 0)
    assert env.demand("g", 1).said == "revoke 1 from 1"
    assert env.returned(1).said == "grant 2 of g to 1 on n1"


def test_a_lease_that_becomes_idle_goes_to_who_waits() -> None:
    env = Env().node(cpu=1).cls("f").cls("g").demand("f", 1)
    assert env.demand("g", 1).said == ""  # equal claims; f has just got it
    assert env.demand("f", 0).said == "revoke 1 from 1"


def test_a_node_that_joins_serves_who_waits() -> None:
    env = Env().node("n1").cls("f").demand("f", 3)
    assert env.node("n2", cpu=4).said == "grant 2 of f to 1 on n2; grant 3 of f to 1 on n2"


def test_unknown_names_change_nothing() -> None:
    env = Env().node()
    assert env.demand("ghost", 1).said == ""
    assert env.returned(7).blocked(7).unblocked(7).said == ""
    assert env.step(ClientGone(9)).step(JobEnded(9)).step(NodeRemoved("ghost")).said == ""


def test_a_class_told_twice_is_one() -> None:
    env = Env().node().cls("f").cls("f").demand("f", 1)
    assert env.step(JobEnded(1)).said == ""
    assert env.scheduler.status.leases() == []


# -- fair shares


def test_free_slots_go_in_turns_to_waiting_jobs() -> None:
    env = Env().cls("a", job=1).cls("b", job=2).demand("a", 9, client=1).demand("b", 9, client=2)
    env.node(cpu=4)
    assert env.held() == {"a": 2, "b": 2}


def test_inside_a_job_slots_go_in_turns_to_classes_and_clients() -> None:
    env = Env().cls("f").cls("g")
    env.demand("f", 9, client=1).demand("f", 9, client=2).demand("g", 9, client=1)
    env.node(cpu=3)
    assert {holder[:2] for holder in env.holders.values()} == {("f", 1), ("f", 2), ("g", 1)}


def test_a_job_with_many_classes_gets_no_more_than_one_with_few() -> None:
    env = Env()
    for n in range(8):
        env.cls(f"a{n}", job=1).demand(f"a{n}", 9, client=1)
    env.cls("b", job=2).demand("b", 9, client=2).node(cpu=4)
    assert env.held()["b"] == 2


def test_a_newcomer_gets_its_half_and_no_more() -> None:
    env = Env().node(cpu=4).cls("a", job=1).cls("b", job=2).demand("a", 9, client=1)
    assert env.demand("b", 9, client=2).said == "revoke 1 from 1; revoke 2 from 1"
    assert env.demand("b", 9, client=2).tick(0.2).said == ""  # asked once, slots to come are counted
    assert env.returned(1, 2).said == "grant 5 of b to 2 on n1; grant 6 of b to 2 on n1"
    assert env.tick(50).said == ""  # equal shares rest
    assert env.demand("a", 10, client=1).demand("b", 10, client=2).tick(50).said == ""


def test_a_newcomer_asks_for_no_more_than_it_wants() -> None:
    env = Env().node(cpu=4).cls("a", job=1).cls("b", job=2).demand("a", 9)
    assert env.demand("b", 1, client=2).said == "revoke 1 from 1"


def test_an_odd_slot_does_not_go_back_and_forth() -> None:
    env = Env().node(cpu=3).cls("a", job=1).cls("b", job=2).demand("a", 9)
    assert env.demand("b", 9, client=2).said == "revoke 1 from 1"
    env.returned(1)
    assert env.run(20) == {}


def test_who_holds_most_loses() -> None:
    env = Env().node(cpu=6)
    env.cls("a", job=1).cls("b", job=2).cls("c", job=3).demand("a", 4, client=1).demand("b", 2, client=2)
    assert env.demand("c", 9, client=3).said == "revoke 1 from 1; revoke 2 from 1"


def test_a_revoked_slot_goes_to_whom_it_was_promised() -> None:
    env = Env().node(cpu=2).cls("a", job=1).cls("b", job=2).demand("a", 9).demand("b", 9, client=2)
    env.cls("c", job=1).demand("c", 9, client=1)
    assert env.returned(1).said == "grant 3 of b to 2 on n1"


def test_a_promise_takes_the_first_slot_that_opens_anywhere() -> None:
    env = Env().node("n1").node("n2").cls("a", job=1).cls("b", job=2).demand("a", 2)
    assert env.demand("b", 1, client=2).said == "revoke 1 from 1"  # whose task takes long
    assert env.returned(2).said == "grant 3 of b to 2 on n2"
    assert env.returned(1).said == "grant 4 of a to 1 on n1"


def test_a_withdrawn_demand_frees_its_promise() -> None:
    env = Env().node(cpu=2).cls("a", job=1).cls("b", job=2).demand("a", 9).demand("b", 1, client=2)
    env.demand("b", 0, client=2)
    assert env.returned(1).said == "grant 3 of a to 1 on n1"


def test_slots_to_come_that_are_nobodys_are_used_before_more_are_revoked() -> None:
    env = Env().node(cpu=2).cls("a", job=1).cls("b", job=2).cls("c", job=3)
    env.demand("a", 9).demand("b", 1, client=2).demand("b", 0, client=2)
    assert env.asked_back == [1]
    assert env.demand("c", 1, client=3).said == ""
    assert env.returned(1).said == "grant 3 of c to 3 on n1"


# -- turns where slots are fewer than claims


def test_two_classes_of_one_slot_take_turns() -> None:
    env = Env().node(cpu=1).cls("f").cls("g").demand("f", 9).demand("g", 9)
    assert env.tick(0.05).said == ""  # f has its turn
    assert env.tick(0.06).said == "revoke 1 from 1"
    assert env.returned(1).said == "grant 2 of g to 1 on n1"
    granted = env.run(10)
    assert granted["f"] == granted["g"] == 5


def test_many_classes_take_turns_without_leaving_one_out() -> None:
    env = Env().node(cpu=2)
    for n in range(7):
        env.cls(f"f{n}").demand(f"f{n}", 9)
    granted = env.run(35)
    assert max(granted.values()) - min(granted.values()) <= 1 and len(granted) == 7


def test_more_jobs_than_slots_take_turns() -> None:
    env = Env().node(cpu=2)
    for job in range(5):
        env.cls(f"f{job}", job=job).demand(f"f{job}", 9, client=job)
    granted = env.run(30)
    granted["f0"] += 1  # it had both slots at first
    granted["f1"] -= 1  # and gave it one of them
    assert set(granted.values()) == {12} and len(granted) == 5


def test_turns_are_taken_inside_a_job_and_not_from_another() -> None:
    env = Env().node(cpu=2).cls("b", job=2).demand("b", 1, client=9)
    for n in range(4):
        env.cls(f"a{n}", job=1).demand(f"a{n}", 1, client=1)
    granted = env.run(20)
    assert "b" not in granted and len(granted) == 4


def test_a_big_request_gets_its_turn_among_small_ones() -> None:
    env = Env().node(cpu=4).cls("small", job=1).cls("big", job=2, cpu=4).demand("small", 9)
    assert env.demand("big", 1, client=2).said == ""
    assert env.tick().said == "; ".join(f"revoke {n} from 1" for n in (1, 2, 3, 4))
    assert env.returned(1, 2, 3).said == ""  # room is held free for it
    assert env.returned(4).said == "grant 5 of big to 2 on n1"
    assert env.tick().said == "revoke 5 from 2"
    assert env.returned(5).held() == {"small": 4}


def test_no_more_is_revoked_than_is_needed() -> None:
    env = Env().node(cpu=8).cls("small", job=1).cls("two", job=1, cpu=2).cls("three", job=2, cpu=3)
    env.demand("small", 2).demand("two", 3)
    env.demand("three", 1, client=2)
    assert len(env.asked_back) == 2  # two of two CPUs each


# -- placement


def test_the_least_loaded_node_that_fits_is_taken() -> None:
    env = Env().node("n1", cpu=2).node("n2", cpu=4).cls("f").demand("f", 3)
    assert Counter(node for _, _, node in env.holders.values()) == {"n2": 2, "n1": 1}


def test_a_gpu_class_goes_where_the_gpu_is() -> None:
    env = Env().node("n1", cpu=8).node("n2", cpu=1, gpu=1).cls("g", cpu=0, gpu=0.5)
    assert env.demand("g", 3).said == "grant 1 of g to 1 on n2; grant 2 of g to 1 on n2"
    assert env.scheduler.status.explain(b"g", 1)["missing"] == {"GPU": 0.5}


def test_custom_resources_and_memory_are_counted() -> None:
    env = Env().node(cpu=8, memory=100, custom={"disk": 1}).cls("f", memory=60).cls("g", custom={"disk": 0.5})
    assert env.demand("f", 2).demand("g", 5).held() == {"f": 1, "g": 2}


def test_classes_that_request_nothing_are_bounded_all_the_same() -> None:
    env = Env().node(cpu=2).cls("f", cpu=0).demand("f", 1_000_000)
    assert env.held() == {"f": 8}
    assert env.cls("g").demand("g", 2).held() == {"f": 8, "g": 2}


def test_actors_that_request_nothing_spread_without_bound() -> None:
    env = Env().node("n1").node("n2").cls("actor", cpu=0, pinned=True).demand("actor", 100)
    assert Counter(node for _, _, node in env.holders.values()) == {"n1": 50, "n2": 50}


# -- infeasible


def test_infeasible_is_said_at_once_and_once() -> None:
    env = Env().node(cpu=4).cls("g", cpu=1, gpu=2)
    env.demand("g", 1)
    assert env.actions == [Infeasible(b"g", 1, {"GPU": 2.0}, {"CPU": 4.0})]
    assert env.demand("g", 1).tick(9).said == ""
    assert env.demand("g", 2).said == "infeasible g for 1"
    assert env.scheduler.status.explain(b"g", 1)["state"] == "infeasible"


def test_an_infeasible_demand_is_served_when_a_node_that_fits_joins() -> None:
    env = Env().node(cpu=4).cls("g", gpu=2).demand("g", 1)
    assert env.node("n2", cpu=1, gpu=4).said == "grant 1 of g to 1 on n2"


def test_infeasible_is_said_when_the_only_node_that_fits_leaves() -> None:
    env = Env().node("n1", cpu=1).node("n2", cpu=1, gpu=1).cls("g", gpu=1).demand("g", 1)
    assert env.step(NodeRemoved("n2")).said == "infeasible g for 1"


def test_an_empty_cluster_fits_nothing() -> None:
    env = Env().cls("f").demand("f", 1)
    assert env.actions == [Infeasible(b"f", 1, {"CPU": 1.0}, {})]


def test_an_infeasible_claim_revokes_nothing() -> None:
    env = Env().node(cpu=4).cls("f").cls("g", cpu=5).demand("f", 4).demand("g", 1)
    assert env.tick(9).said == ""


# -- lending


def test_a_waiting_worker_lends_its_cpu_and_takes_it_back() -> None:
    env = Env().node(cpu=1).cls("outer").cls("inner").demand("outer", 1)
    env.demand("inner", 1, client=2)
    assert env.blocked(1).said == "grant 2 of inner to 2 on n1"
    assert env.unblocked(1).said == ""
    assert env.scheduler.status.available() == {"CPU": 0.0}
    assert env.returned(2).said == ""
    assert env.demand("inner", 0, client=2).returned(1).said == "grant 3 of outer to 1 on n1"


def test_blocked_twice_lends_once() -> None:
    env = Env().node(cpu=2).cls("f").demand("f", 1).blocked(1).blocked(1)
    assert env.scheduler.status.available() == {"CPU": 2.0}
    assert env.unblocked(1).unblocked(1).scheduler.status.available() == {"CPU": 1.0}


def test_gpus_and_memory_are_not_lent() -> None:
    env = Env().node(cpu=1, gpu=1, memory=10).cls("f", gpu=1, memory=5).demand("f", 1).blocked(1)
    assert env.scheduler.status.available() == {"CPU": 1.0, "GPU": 0.0, "memory": 5.0}


def test_nesting_never_deadlocks() -> None:
    env = Env().node(cpu=2).cls("f").demand("f", 2)
    for depth in range(1, 30):  # every worker submits one more level and waits for it
        for parent in (2 * depth - 1, 2 * depth):
            env.demand("f", 1, client=1000 + parent).blocked(parent)
        assert 2 * depth + 2 in env.holders
    for lease in sorted(env.holders, reverse=True):
        env.unblocked(lease).demand("f", 0, client=env.holders[lease][1]).returned(lease)
    assert env.scheduler.status.available() == {"CPU": 2.0}


def test_children_go_before_more_parents() -> None:
    env = Env().node(cpu=2).cls("parent").cls("child").demand("parent", 100)
    env.demand("child", 9, client=2)
    assert env.blocked(1).said == "grant 3 of child to 2 on n1"


def test_a_node_with_too_many_awake_is_relieved_after_a_while() -> None:
    env = Env().node(cpu=1).cls("outer").cls("inner").demand("outer", 1).demand("inner", 5, client=2)
    env.blocked(1).unblocked(1)
    assert env.tick(0.05).said == ""  # it may be only for a moment
    assert env.tick(0.06).said == "revoke 1 from 1"
    assert env.returned(1).tick(0.01).said == ""


def test_waking_breaks_the_promise_that_it_uncovers() -> None:
    env = Env().node(cpu=2).cls("actor", pinned=True).demand("actor", 1).blocked(1)
    env.cls("f").demand("f", 1).cls("big", job=2, cpu=2).demand("big", 1, client=2)
    assert env.tick().said == "revoke 2 from 1"
    assert env.unblocked(1).said == ""
    assert env.returned(2).said == "grant 3 of f to 1 on n1"


# -- actors


def test_an_actors_lease_is_never_revoked() -> None:
    env = Env().node(cpu=2).cls("actor", job=1, pinned=True).demand("actor", 2).cls("f", job=2)
    env.demand("actor", 0)
    assert env.demand("f", 1, client=2).tick(9).said == ""
    assert env.returned(1).said == "grant 3 of f to 2 on n1"


def test_each_actor_is_owed_a_slot_even_from_tasks() -> None:
    env = Env().node(cpu=3).cls("f").cls("actor", pinned=True).demand("f", 9).demand("actor", 3)
    env.run(5)
    assert env.held() == {"actor": 3}


# -- who leaves


def test_a_client_that_goes_leaves_its_slots() -> None:
    env = Env().node(cpu=2).cls("f").demand("f", 2, client=1).demand("f", 2, client=2)
    assert env.step(ClientGone(1)).said == "grant 3 of f to 2 on n1; grant 4 of f to 2 on n1"
    assert {lease["client"] for lease in env.scheduler.status.leases()} == {2}


def test_a_job_that_ends_leaves_its_slots() -> None:
    env = Env().node(cpu=2).cls("a", job=1).cls("b", job=2).demand("a", 2).demand("b", 2, client=2)
    env.step(JobEnded(1))
    assert {lease["job"] for lease in env.scheduler.status.leases()} == {2}
    assert env.demand("a", 2).returned(1).said == ""  # late words of the dead


def test_a_node_that_goes_takes_its_leases_and_promises_with_it() -> None:
    env = Env().node("n1").node("n2").cls("a", job=1).cls("b", job=2).demand("a", 2).demand("b", 1, client=2)
    assert env.step(NodeRemoved("n1")).said == ""
    assert [lease["node"] for lease in env.scheduler.status.leases()] == ["n2"]
    assert env.tick().said == "revoke 2 from 1"


def test_a_node_that_started_anew_has_no_leases() -> None:
    env = Env().node("n1", cpu=1).cls("f").demand("f", 1)
    assert env.node("n1", cpu=2).said == "grant 2 of f to 1 on n1"


# -- status


def test_status_tells_what_there_is() -> None:
    env = Env().node(cpu=2, memory=8).cls("f", memory=3).demand("f", 9).demand("f", 1, client=2)
    status = env.scheduler.status
    assert status.nodes()["n1"] == {
        "total": {"CPU": 2.0, "memory": 8.0},
        "available": {"CPU": 0.0, "memory": 2.0},
        "labels": {},
        "leases": 2,
    }
    assert status.total() == {"CPU": 2.0, "memory": 8.0}
    assert status.available() == {"CPU": 0.0, "memory": 2.0}
    assert [lease["lease"] for lease in status.leases()] == [1, 2]
    waiting = {row["client"]: row for row in status.waiting()}
    assert waiting[1]["wanted"] == 9 and waiting[2]["promised"] == 1


def test_explain_says_who_is_ahead() -> None:
    env = Env().node(cpu=1).cls("f").cls("g").cls("h").demand("f", 1).demand("g", 1).demand("h", 1)
    explain = env.scheduler.status.explain
    assert explain(b"f", 1)["state"] == "served"
    why = explain(b"h", 1)
    assert why["state"] == "waiting" and why["missing"] == {"CPU": 1.0}
    assert why["ahead"] == 1 and why["first_ahead"][0]["class"] == "g"
    assert env.tick() and explain(b"g", 1)["state"] == "promised"
    assert explain(b"x", 1) == {"state": "unknown"}
