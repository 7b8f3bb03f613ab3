"""What runs in placement groups, and a random history of them under load."""

from __future__ import annotations

import random

import pytest

from rustray.model.resources import Resources
from rustray.scheduler.events import (
    ClientGone,
    Demand,
    JobEnded,
    LeaseBlocked,
    LeaseUnblocked,
    NodeAdded,
)
from tests.unit.groups_env import Env


def test_a_class_of_a_group_runs_in_its_bundles_only() -> None:
    env = Env(n1=4, n2=4).group("g", [1, 1], "STRICT_SPREAD")
    assert env.ask("f", 5, "g") == {"n1": 1, "n2": 1}
    assert env.ask("other", 20).total() == 6


def test_a_bundle_is_chosen_by_its_index() -> None:
    env = Env(n1=4, n2=4).group("g", [1, 2], "STRICT_SPREAD")
    small, big = env.where("g") or ["", ""]
    assert env.ask("f", 5, "g", bundle=1) == {big: 2}
    assert env.ask("f", 5, "g", bundle=1) == {big: 2}
    assert env.ask("h", 5, "g", bundle=0) == {small: 1}


def test_what_waits_for_a_group_runs_when_it_is_placed() -> None:
    env = Env(n1=1)
    assert not env.ask("f", 1, "g"), "the group is not even known"
    env.group("g", [2])
    assert not env.nodes("f") and not env.infeasible
    env.step(NodeAdded("n2", Resources.of(cpu=2)))
    assert env.nodes("f") == {"n2": 1}


def test_what_is_too_big_for_every_bundle_is_told_so() -> None:
    env = Env(n1=4).group("g", [1, 1])
    env.ask("f", 1, "g", cpu=2)
    env.ask("h", 1, "g", bundle=7)
    assert env.infeasible["f"] == f"in placement group {b'g'.hex()}"
    assert env.infeasible["h"] == f"placement group {b'g'.hex()} has no bundle 7"


def test_tasks_that_ask_for_nothing_run_in_a_bundle_too() -> None:
    env = Env(n1=4).group("g", [1])
    assert env.ask("f", 9, "g", cpu=0) == {"n1": 4}


def test_a_worker_that_waits_lends_its_cpu_to_the_bundle() -> None:
    env = Env(n1=4).group("g", [1])
    env.ask("parent", 1, "g")
    (parent,) = env.at
    assert not env.ask("child", 1, "g")
    env.step(LeaseBlocked(parent))
    assert env.nodes("child") == {"n1": 1}
    env.step(Demand(b"child", 1, 0))
    assert env.free() == 3, "what lies idle in a bundle is not for everybody"
    env.back(*[lease for lease in env.at if lease != parent])
    env.step(LeaseUnblocked(parent))
    assert env.free() == 3


def test_classes_share_a_bundle_by_turns() -> None:
    env = Env(n1=4).group("g", [2])
    env.ask("f", 5, "g")
    env.ask("h", 5, "g")
    env.ticks(5)
    assert (env.nodes("f").total(), env.nodes("h").total()) == (1, 1)


def test_the_bundle_is_charged_to_its_job_and_not_what_runs_in_it_again() -> None:
    env = Env(n1=8).group("g", [2])
    env.ask("in", 2, "g")
    env.ask("more", 9, job=1)
    env.ask("others", 9, job=2)
    env.ticks()
    assert (env.nodes("more").total(), env.nodes("others").total()) == (2, 4)


# -- the end


@pytest.mark.parametrize("seed", range(25))
def test_all_invariants_hold_through_a_random_history(seed: int) -> None:
    chance = random.Random(seed)
    env = Env(n1=4, n2=4, n3=2)
    made, alive = 0, set[str]()
    for step in range(400):
        dice = chance.random()
        if dice < 0.15:
            made += 1
            strategy = chance.choice(["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"])
            bundles = [chance.choice([1, 1, 2, 0.5]) for _ in range(chance.randint(1, 3))]
            env.group(f"g{made}", bundles, strategy, job=chance.randrange(3))
            alive.add(f"g{made}")
        elif dice < 0.27 and alive:
            removed = chance.choice(sorted(alive))
            alive.discard(removed)
            env.remove(removed)
        elif dice < 0.6:
            group = chance.choice([*sorted(alive), ""]) if made else ""
            env.ask(
                f"c{step}" if chance.random() < 0.5 else f"shared{group}",
                chance.randint(0, 4),
                group,
                bundle=chance.choice([-1, -1, 0, 1]),
                cpu=chance.choice([0, 0.5, 1, 2]),
                job=chance.randrange(3),
                pinned=chance.random() < 0.1,
            )
        elif dice < 0.75 and env.at:
            env.back(chance.choice(sorted(env.at)))
        elif dice < 0.8 and env.at:
            env.step(chance.choice([LeaseBlocked, LeaseUnblocked])(chance.choice(sorted(env.at))))
        elif dice < 0.83:
            env.gone(f"n{chance.randint(1, 3)}")
        elif dice < 0.88:
            name = f"n{chance.randint(1, 3)}"
            env.gone(name).step(NodeAdded(name, Resources.of(cpu=chance.choice([2, 4]))))
        elif dice < 0.89:
            job = chance.randrange(3)
            env.step(JobEnded(job))
            held = {row["lease"] for row in env.scheduler.status.leases()}
            env.at = {lease: at for lease, at in env.at.items() if lease in held}
        else:
            env.ticks(2)
    for name in alive:
        env.remove(name)
    env.step(ClientGone(1))
    env.at.clear()
    env.ticks(2)
    rest = [row for row in env.scheduler.status.leases() if not row["class"].startswith("c")]
    assert not rest, "room that nobody has a use for is not given back"
