"""What the head makes of what nodes tell it, and what it asks them."""

from __future__ import annotations

from typing import Any

from rustray.driver import failures
from rustray.errors import OptionError
from rustray.head.gathering import NODES_ANSWER_S
from rustray.head.metrics import OF_A_NODE, Metrics
from tests.unit.head_bench import DRIVER, GIB, Bench
from tests.unit.metrics.test_functions import owned, ran


def sample(time: float, **more: Any) -> dict[str, Any]:
    zero: dict[str, Any] = dict.fromkeys((*OF_A_NODE, "ran_per_s", "ran_failed_per_s"), 0.0)
    own: dict[str, Any] = {"machine": "m", "gpus": [], "links": []}
    return {**zero, "memory_total": GIB, "cpus": 2, "time": time, **own, **more}


SCHEDULED = {"waiting": 3, "levels": [1, 2, 0, 0], "suspended": 1, "leases": 4, "idle": 1}


def two_nodes() -> Bench:
    bench = Bench()
    told = bench._said["n2"] = []
    bench.head.members.on_node_up("n2", {"CPU": 2.0, "memory": GIB}, {}, {}, told.append)
    return bench


def ask(bench: Bench, what: str, *args: Any) -> Any:
    """The answer to a driver's question."""
    bench.said()
    bench.say("query", DRIVER, 9, what, args)
    ((_op, _client, _request, ok, value),) = (message for message in bench.said() if message[0] == "answer")
    assert ok, failures.text(value)
    return value


# -- samples


def test_the_cluster_has_one_sample_for_each_of_its_oldest_node() -> None:
    metrics = Metrics()
    metrics.add("a", sample(1.0, cpu=100.0, cpus=1, busy=2, tasks_per_s=5), lambda: SCHEDULED)
    metrics.add("b", sample(1.1, machine="other", cpu=0.0, cpus=3, busy=1, tasks_per_s=7), lambda: SCHEDULED)
    metrics.add("a", sample(1.5, cpu=100.0, cpus=1, busy=2, tasks_per_s=5), lambda: SCHEDULED)
    first, second = metrics.since(0.0)
    assert (first["tasks_per_s"], second["tasks_per_s"]) == (5, 12)
    assert second["cpu"] == 25.0 and second["busy"] == 2, "one of the leases is idle"
    assert second["levels"] == [1, 2, 0, 0] and second["waiting"] == 3 and "idle" not in second
    assert metrics.since(1.0) == [second]
    metrics.forget("a")
    metrics.add("b", sample(2.0), lambda: SCHEDULED)
    assert [at["time"] for at in metrics.since(1.5)] == [2.0]


def test_what_is_the_machines_counts_once_for_all_its_nodes() -> None:
    metrics = Metrics()
    flow = dict.fromkeys(("disk_read_per_s", "disk_write_per_s", "net_in_per_s", "net_out_per_s"), 10.0)
    for node, machine, memory in (("b", "m", 5), ("c", "other", 7), ("a", "m", 6)):
        own = {"workers": 2, "store": 3, "cpu": 50.0, "cpus": 4, "memory": memory, "memory_total": 8}
        metrics.add(node, sample(1.0, machine=machine, **own, **flow), lambda: SCHEDULED)
    metrics.add(
        "b", sample(1.5, machine="m", cpu=100.0, cpus=4, memory=6, memory_total=8, **flow), lambda: SCHEDULED
    )
    _first, whole = metrics.since(0.0)
    assert (whole["memory"], whole["memory_total"], whole["cpus"]) == (6 + 7, 16, 8)
    assert whole["cpu"] == 75.0 and all(whole[name] == 20.0 for name in flow)
    assert (whole["workers"], whole["store"]) == (4, 6)


def test_of_a_gateway_only_the_tasks_count_that_its_program_has_submitted() -> None:
    metrics = Metrics()
    own = {
        "workers": 2,
        "store": 3,
        "store_capacity": 7,
        "cpus": 4,
        "memory": 5,
        "memory_total": 8,
        "tasks_per_s": 1,
    }
    metrics.add("asks", sample(0.5, **own), lambda: SCHEDULED, gateway=True)
    metrics.add("a", sample(1.0, **own), lambda: SCHEDULED)
    metrics.add("asks", sample(1.1, machine="other", **own), lambda: SCHEDULED, gateway=True)
    metrics.forget("a")
    metrics.add("asks", sample(2.0, **own), lambda: SCHEDULED, gateway=True)
    bare, whole, left = metrics.since(0.0)
    assert whole["store_capacity"] == 7 and whole["memory_total"] == 8 and whole["workers"] == 2
    assert whole["tasks_per_s"] == 2
    assert bare["time"] == 0.5 and left["time"] == 2.0, "it sets the pace where there is no node"
    assert {one["store_capacity"] for one in (bare, left)} == {0} and left["cpu"] == 0.0


def test_a_node_counts_tasks_where_they_ran() -> None:
    metrics = Metrics()
    gpus = [{"index": 0, "utilisation": 5.0, "memory": 1, "memory_total": 2}]
    metrics.add(
        "a", sample(1.0, tasks_per_s=5, ran_per_s=8, ran_failed_per_s=1, gpus=gpus), lambda: SCHEDULED
    )
    metrics.add("a", sample(1.5), lambda: SCHEDULED)
    metrics.add("gateway", sample(1.5), lambda: SCHEDULED, gateway=True)
    ((first, second),) = metrics.of_nodes(0.0).values()
    assert (first["tasks_per_s"], first["failed_per_s"], first["gpus"]) == (8, 1, gpus)
    assert second["gpus"] == [] and metrics.of_nodes(1.0) == {"a": [second]}
    metrics.forget("a")
    assert metrics.of_nodes(0.0) == {}


# -- questions


def test_what_nodes_tell_can_be_asked_for() -> None:
    bench = two_nodes()
    bench.say("sample", sample(5.0, links=[(2, 0.001, 500.0)]))
    bench.head.measured.head_rtt["n2"] = 0.004
    event = (4.0, 0.5, 77, "f", "ok", "aa")
    bench.say("figures", [ran()], [owned(waiting=2, running=[(1, 1)])], [event], 3, [(6.0, 78, "g", "bb")])
    bench.say("figures", [], [owned(running=[(2, 2)])], [], 0, [(7.0, 5, "h", "cc")], node="n2")
    assert [row["time"] for row in ask(bench, "metrics")] == [5.0] and ask(bench, "metrics", 5.0) == []
    assert list(ask(bench, "node_metrics")) == ["n1"]
    (row,) = ask(bench, "function_metrics")
    assert (row["name"], row["finished"], row["running"], row["waiting"]) == ("f", 1, 3, 2)
    told = ask(bench, "task_events", 0)
    assert told["events"] == [(4.0, 0.5, "n1", 77, "f", "ok", "aa")] and told["skipped"] == 3
    assert told["running"] == [(6.0, "n1", 78, "g", "bb"), (7.0, "n2", 5, "h", "cc")]
    assert ask(bench, "task_events", told["next"])["events"] == []
    assert {(row["state"], row["node"], row["count"]) for row in ask(bench, "tasks")} == {
        ("running", "n1", 1),
        ("running", "n2", 2),
        ("waiting", "", 2),
    }
    assert [row["quantum_s"] for row in ask(bench, "levels")] == [0.02, 0.2, 2.0, None]
    (head,) = ask(bench, "heads")
    assert (head["state"], head["lag"]) == ("leads", 0)
    assert ask(bench, "network") == [
        {"from": "head", "to": "n2", "rtt_s": 0.004, "bytes_per_s": None},
        {"from": "n1", "to": "n2", "rtt_s": 0.001, "bytes_per_s": 500.0},
    ]
    bench.head.members.on_node_lost("n2", "test")
    assert [row[1] for row in ask(bench, "task_events", 0)["running"]] == ["n1"]
    assert all(row["node"] != "n2" for row in ask(bench, "tasks")) and len(ask(bench, "network")) == 1


def test_what_is_no_question_is_refused() -> None:
    bench = Bench()
    for what, *args in (
        ("_measured",),
        ("on_sample",),
        ("nonsense",),
        ("objects", "many"),
        ("metrics", 1.0, 2.0),
    ):
        bench.said()
        bench.say("query", DRIVER, 9, what, tuple(args))
        ((_op, _client, _request, ok, value),) = bench.said()
        assert not ok and isinstance(failures.unpack(value), OptionError)


# -- asking the nodes


def test_objects_are_asked_of_all_nodes_and_late_ones_left_out() -> None:
    bench = two_nodes()
    for node in ("n1", "n2"):
        bench.said(node)
    bench.say("query", DRIVER, 9, "objects", (7,))
    asked = {node: bench.said(node) for node in ("n1", "n2")}
    assert asked["n1"] == asked["n2"] == [("gather", 1, "objects", (7,))]
    bench.say("gathered", 1, {"used": 5, "objects": []}, node="n2")
    assert bench.said() == []
    bench.say("gathered", 1, {"used": 4, "objects": []})
    rows = [{"node": "n1", "used": 4, "objects": []}, {"node": "n2", "used": 5, "objects": []}]
    assert bench.said() == [("answer", DRIVER, 9, True, rows)]
    bench.say("query", DRIVER, 10, "objects", ())
    bench.said()
    bench.say("gathered", 2, {"used": 5, "objects": []}, node="n2")
    bench.now += NODES_ANSWER_S
    bench.head.tick()
    ((_op, _client, _request, ok, value),) = (m for m in bench.said() if m[0] == "answer")
    assert ok and [row["node"] for row in value] == ["n2"]
    bench.say("gathered", 2, {"used": 4, "objects": []})
    assert bench.said() == [], "too late"
