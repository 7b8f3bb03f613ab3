"""One log makes one state: random logs, replayed and through snapshots."""

from __future__ import annotations

import marshal
import random

import pytest

from rustray.cluster import commands
from rustray.cluster.commands import Command
from rustray.cluster.facts import ALIVE, CREATED, DEAD, REMOVED, RESCHEDULING, STRATEGIES, TRANSITIONS
from rustray.cluster.state import ClusterState
from tests.unit.cluster_commands import alive, cluster, failed, register, start


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
