"""Placement groups, strategies, labels and the terms of jobs, as a program uses them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rustray
from rustray import exceptions
from rustray.testing import Cluster
from rustray.util import (
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from rustray.util.placement_group import PlacementGroup
from rustray.util.scheduling_strategies import (
    Exists,
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    NotIn,
    PlacementGroupSchedulingStrategy,
)
from tests.support import Gate, eventually

IN = PlacementGroupSchedulingStrategy


@rustray.remote
def group_around() -> str | None:
    return rustray.get_runtime_context().get_placement_group_id()


@rustray.remote
def node() -> str:
    time.sleep(0.05)  # so that one worker does not run all
    return rustray.get_runtime_context().get_node_id()


@rustray.remote
def nested(**options: Any) -> tuple[str | None, str | None]:
    """The group around this task, and that around one that it submits."""
    return rustray.get_runtime_context().get_placement_group_id(), rustray.get(
        group_around.options(num_cpus=0, **options).remote()
    )


@rustray.remote
def sleep(seconds: float) -> float:
    time.sleep(seconds)  # as work that holds its CPU
    return seconds


@rustray.remote
def hold(gate: Gate) -> None:
    gate.wait()


@rustray.remote
class Maker:
    """An actor that makes placement groups and children."""

    def pid(self) -> int:
        return os.getpid()

    def node(self) -> str:
        return rustray.get_runtime_context().get_node_id()

    def around(self) -> PlacementGroup | None:
        return get_current_placement_group()

    def child(self) -> str | None:
        return rustray.get(group_around.options(num_cpus=0).remote())

    def make(self, **options: Any) -> PlacementGroup:
        made = placement_group([{"CPU": 1}], **options)
        rustray.get(made.ready())
        return made


def free_cpus() -> float:
    return rustray.available_resources().get("CPU", 0.0)


class TestOnOneNode:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def session(cls) -> Iterator[None]:
        rustray.init(num_cpus=4, labels={"zone": "a"})
        yield
        rustray.shutdown()

    @pytest.fixture(autouse=True)
    def nothing_reserved(self) -> Iterator[None]:
        yield
        for row in placement_group_table().values():
            remove_placement_group(PlacementGroup(bytes.fromhex(row["placement_group_id"])))
        eventually(lambda: free_cpus() == 4)

    # -- groups

    def test_a_group_reserves_its_bundles(self) -> None:
        group = placement_group([{"CPU": 1}, {"CPU": 2}], name="mine")
        assert rustray.get(group.ready()) == group
        assert (group.bundle_count, group.bundle_specs) == (2, [{"CPU": 1.0}, {"CPU": 2.0}])
        assert free_cpus() == 1
        row = placement_group_table(group)
        assert (row["name"], row["state"], row["strategy"]) == ("mine", "CREATED", "PACK")
        here = rustray.nodes()[0]["NodeID"]
        assert row["bundles_to_node_id"] == {0: here, 1: here} and row["bundles"][1] == {"CPU": 2.0}
        assert get_placement_group("mine") == group and get_placement_group("mine").bundle_count == 2

    def test_tasks_run_in_a_bundle_that_has_room(self) -> None:
        group = placement_group([{"CPU": 1}, {"CPU": 2}])
        assert (
            rustray.get(group_around.options(num_cpus=2, scheduling_strategy=IN(group)).remote())
            == group.id.hex()
        )
        assert rustray.get(group_around.remote()) is None and get_current_placement_group() is None
        with pytest.raises(
            exceptions.InfeasibleError, match="in placement group .* the closest bundle has 2 CPU"
        ):
            rustray.get(group_around.options(num_cpus=3, scheduling_strategy=IN(group)).remote())
        with pytest.raises(exceptions.InfeasibleError, match="bundle 0"):
            rustray.get(group_around.options(num_cpus=2, scheduling_strategy=IN(group, 0)).remote())

    def test_tasks_of_a_group_do_not_wait_for_others(self, tmp_path: Path) -> None:
        never = Gate(tmp_path / "never")
        group = placement_group([{"CPU": 1}])
        rustray.get(group.ready())
        others = [hold.remote(never) for _ in range(9)]
        rustray.get(group_around.options(scheduling_strategy=IN(group)).remote(), timeout=30)
        for other in others:
            rustray.cancel(other, force=True)

    def test_an_actor_in_a_group(self) -> None:
        group = placement_group([{"CPU": 2}])
        actor = Maker.options(num_cpus=1, scheduling_strategy=IN(group)).remote()
        assert rustray.get(actor.around.remote()) == group
        assert rustray.get(actor.child.remote()) is None, "children are not captured unasked"
        assert free_cpus() == 2

    def test_children_are_captured_where_that_is_asked_for(self) -> None:
        group = placement_group([{"CPU": 2}])
        captured = IN(group, placement_group_capture_child_tasks=True)
        own, child = rustray.get(nested.options(scheduling_strategy=captured).remote())
        assert own == child == group.id.hex()
        own, child = rustray.get(
            nested.options(scheduling_strategy=captured).remote(scheduling_strategy="DEFAULT")
        )
        assert (own, child) == (group.id.hex(), None)
        own, child = rustray.get(
            nested.options(scheduling_strategy=captured).remote(scheduling_strategy=IN(None))
        )
        assert (own, child) == (group.id.hex(), None)
        assert rustray.get(nested.remote()) == (None, None), "a worker that was in a group is not always"
        actor = Maker.options(num_cpus=1, scheduling_strategy=captured).remote()
        assert rustray.get(actor.child.remote()) == group.id.hex()

    def test_removal_kills_what_runs_in_the_group(self, tmp_path: Path) -> None:
        never = Gate(tmp_path / "never")
        group = placement_group([{"CPU": 2}])
        actor = Maker.options(num_cpus=1, max_restarts=-1, scheduling_strategy=IN(group)).remote()
        rustray.get(actor.pid.remote())
        task = hold.options(scheduling_strategy=IN(group)).remote(never)
        never.wait_for_waiters()
        remove_placement_group(group)
        with pytest.raises(exceptions.RustRayError, match="placement group .* removed"):
            rustray.get(task, timeout=60)
        with pytest.raises(exceptions.ActorDiedError, match="cannot be started again: placement group .* removed"):
            rustray.get(actor.pid.remote(), timeout=60)
        eventually(lambda: free_cpus() == 4)
        with pytest.raises(exceptions.InfeasibleError, match="has been removed"):
            rustray.get(group_around.options(scheduling_strategy=IN(group)).remote())
        assert placement_group_table(group)["state"] == "REMOVED"
        remove_placement_group(group)  # once more does no harm

    def test_a_group_waits_for_room(self) -> None:
        first = placement_group([{"CPU": 3}])
        rustray.get(first.ready())
        second = placement_group([{"CPU": 2}])
        assert not second.wait(0.2)
        assert placement_group_table(second)["state"] == "PENDING"
        waiting = group_around.options(scheduling_strategy=IN(second)).remote()
        remove_placement_group(first)
        assert second.wait(30) and rustray.get(waiting) == second.id.hex()

    def test_a_group_gets_room_from_tasks_that_run(self) -> None:
        tasks = [sleep.remote(0.05) for _ in range(2000)]  # 25 s of work
        group = placement_group([{"CPU": 4}], "STRICT_PACK")
        assert group.wait(20)
        remove_placement_group(group)
        for task in tasks:
            rustray.cancel(task)

    def test_what_never_fits_says_why(self) -> None:
        apart = placement_group([{"CPU": 1}, {"CPU": 1}], "STRICT_SPREAD")
        labelled = placement_group([{"CPU": 1}], bundle_label_selector=[{"zone": "b"}])
        assert not apart.wait(0.2)
        assert "needs 2 nodes" in placement_group_table(apart)["reason"]
        assert placement_group_table(labelled)["reason"] == "no node has label zone=b"

    def test_a_group_that_is_removed_is_never_ready(self) -> None:
        group = placement_group([{"CPU": 99}])
        ready = group.ready()
        remove_placement_group(group)
        with pytest.raises(exceptions.InfeasibleError, match="has been removed"):
            rustray.get(ready, timeout=60)
        assert not group.wait(1)

    def test_a_group_ends_with_the_actor_that_made_it_unless_detached(self) -> None:
        actor = Maker.options(num_cpus=0).remote()
        own, kept = rustray.get([actor.make.remote(), actor.make.remote(lifetime="detached", name="kept")])
        rustray.kill(actor)
        eventually(lambda: placement_group_table(own)["state"] == "REMOVED")
        assert placement_group_table(kept)["state"] == "CREATED" and get_placement_group("kept") == kept

    def test_names(self) -> None:
        placement_group([{"CPU": 1}], name="taken")
        with pytest.raises(exceptions.OptionError, match="taken"):
            placement_group([{"CPU": 1}], name="taken")
        with pytest.raises(ValueError, match="No placement group named 'other'"):
            get_placement_group("other")
        remove_placement_group(get_placement_group("taken"))
        placement_group([{"CPU": 1}], name="taken")

    @pytest.mark.parametrize(
        "given",
        [
            {"bundles": []},
            {"bundles": {"CPU": 1}},
            {"bundles": [{}]},
            {"bundles": [{"CPU": 0}]},
            {"bundles": [{"CPU": -1}]},
            {"bundles": [{"CPU": "1"}]},
            {"bundles": [{"CPU": 1}], "strategy": "STRICT"},
            {"bundles": [{"CPU": 1}], "lifetime": "for ever"},
            {"bundles": [{"CPU": 1}], "name": 3},
            {"bundles": [{"CPU": 1}], "bundle_label_selector": []},
            {"bundles": [{"CPU": 1}], "bundle_label_selector": [{"zone": "in("}]},
        ],
    )
    def test_groups_that_are_refused(self, given: dict[str, Any]) -> None:
        with pytest.raises(exceptions.OptionError):
            placement_group(**given)

    # -- strategies

    def test_nodes_tell_their_labels(self) -> None:
        assert rustray.nodes()[0]["Labels"] == {"zone": "a"}

    @pytest.mark.parametrize(
        "options",
        [
            {"label_selector": {"zone": "a"}},
            {"label_selector": {"zone": "in(a, b)", "disk": "!ssd"}},
            {"scheduling_strategy": NodeLabelSchedulingStrategy({"zone": In("a")}, soft={"disk": Exists()})},
            {"scheduling_strategy": NodeLabelSchedulingStrategy(soft={"zone": NotIn("a")})},
            {"scheduling_strategy": NodeAffinitySchedulingStrategy("elsewhere", soft=True)},
            {"scheduling_strategy": "SPREAD", "priority": 1, "preemptible": False},
        ],
    )
    def test_places_that_are_there(self, options: dict[str, Any]) -> None:
        assert rustray.get(node.options(**options).remote()) == rustray.nodes()[0]["NodeID"]
        options.pop("preemptible", None)
        actor = Maker.options(**options).remote()
        assert rustray.get(actor.around.remote()) is None

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"label_selector": {"zone": "b"}}, "no node has label zone=b"),
            (
                {"scheduling_strategy": NodeLabelSchedulingStrategy({"disk": Exists()})},
                "no node has label disk",
            ),
            (
                {"scheduling_strategy": NodeAffinitySchedulingStrategy("elsewhere", soft=False)},
                "no node elsewhere",
            ),
        ],
    )
    def test_places_that_are_not_there(self, options: dict[str, Any], told: str) -> None:
        with pytest.raises(exceptions.InfeasibleError, match=told):
            rustray.get(node.options(**options).remote())
        with pytest.raises(exceptions.InfeasibleError, match=told):
            rustray.get(Maker.options(**options).remote().pid.remote())


class TestJobs:
    def test_a_job_with_terms(self) -> None:
        with rustray.init(num_cpus=2, qos="interactive", weight=3, priority=2, min_cpus=1, max_cpus=1):
            assert rustray.get([sleep.remote(0.01) for _ in range(4)]) == [0.01] * 4
            start = time.monotonic()
            rustray.get([sleep.remote(0.2) for _ in range(2)])
            assert time.monotonic() - start >= 0.4, "more CPUs than its cap"

    def test_terms_that_are_refused(self) -> None:
        for terms in ({"qos": "fast"}, {"weight": 0}, {"min_cpus": 3, "max_cpus": 1}, {"labels": {"-": "a"}}):
            with pytest.raises(exceptions.OptionError):
                rustray.init(num_cpus=1, **terms)  # type: ignore[arg-type]


class TestOnManyNodes:
    @pytest.fixture
    def cluster(self) -> Iterator[Cluster]:
        with Cluster(nodes=0) as cluster:
            for zone in ("a", "b", "b"):
                cluster.add_node(num_cpus=2, labels={"zone": zone})
            rustray.init(cluster.address)
            cluster.wait_for_nodes(3)
            yield cluster
            rustray.shutdown()

    def test_strategies_and_the_loss_of_a_node(self, cluster: Cluster) -> None:
        names = {one.name for one in cluster.nodes}
        actors = [Maker.options(num_cpus=1, scheduling_strategy="SPREAD").remote() for _ in range(3)]
        assert set(rustray.get([actor.node.remote() for actor in actors])) == names
        del actors
        first = cluster.nodes[0].name
        there = NodeAffinitySchedulingStrategy(first, soft=False)
        assert set(rustray.get([node.options(scheduling_strategy=there).remote() for _ in range(3)])) == {
            first
        }
        in_b = {one.name for one in cluster.nodes[1:]}
        assert (
            set(rustray.get([node.options(label_selector={"zone": "b"}).remote() for _ in range(8)])) <= in_b
        )

        together = placement_group([{"CPU": 1}, {"CPU": 1}], "STRICT_PACK")
        apart = placement_group([{"CPU": 1}, {"CPU": 1}], "STRICT_SPREAD")
        assert together.wait(10) and apart.wait(10)
        assert len(set(placement_group_table(together)["bundles_to_node_id"].values())) == 1
        places = placement_group_table(apart)["bundles_to_node_id"]
        assert len(set(places.values())) == 2
        for index, name in places.items():
            assert rustray.get(node.options(scheduling_strategy=IN(apart, index)).remote()) == name
        kept = [
            Maker.options(num_cpus=1, max_restarts=restarts, scheduling_strategy=IN(together)).remote()
            for restarts in (0, -1)
        ]
        rustray.get([actor.pid.remote() for actor in kept])
        remove_placement_group(together)
        for actor, why in zip(kept, ("was removed$", "cannot be started again: placement group"), strict=True):
            with pytest.raises(exceptions.ActorDiedError, match=why):
                while True:  # those that are under way are answered until it ends
                    rustray.get(actor.pid.remote(), timeout=20)
        on_lost = NodeAffinitySchedulingStrategy(places[1], soft=False)
        bound = Maker.options(num_cpus=0, max_restarts=-1, scheduling_strategy=on_lost).remote()
        rustray.get(bound.pid.remote())

        lost = next(one for one in cluster.nodes if one.name == places[1])
        cluster.kill_node(lost)
        moved = eventually(
            lambda: (
                (row := placement_group_table(apart))["state"] == "CREATED"
                and row["bundles_to_node_id"] != places
                and row["bundles_to_node_id"]
            )
        )
        assert moved[0] == places[0] and moved[1] not in (places[0], places[1])
        assert rustray.get(node.options(scheduling_strategy=IN(apart, 1)).remote(), timeout=20) == moved[1]
        with pytest.raises(exceptions.ActorDiedError, match="cannot be started again: there is no node"):
            rustray.get(bound.pid.remote(), timeout=20)
