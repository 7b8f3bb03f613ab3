"""The same with three heads and two nodes; what a leader knew the next one knows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rustray
from rustray.cli import main
from rustray.head.history import HAND_EVERY_S
from rustray.metrics import prometheus
from rustray.testing import Cluster
from rustray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tests.integration.metrics import work
from tests.integration.metrics.work import query
from tests.support import eventually


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(heads=3, nodes=2, num_cpus=2) as cluster:
        rustray.init(cluster.address)
        yield cluster
        rustray.shutdown()


@pytest.fixture(scope="module")
def kept(cluster: Cluster) -> list[Any]:
    return work.run_all()


@rustray.remote
def size(array: Any) -> int:
    return int(array.size)


def on(node: str) -> Any:
    return size.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))


def test_functions_and_events(kept: list[Any]) -> None:
    work.check_functions(work.measured())
    nodes = set(query("node_metrics"))
    assert len(nodes) == 2 and {event[2] for event in work.events()} <= nodes


def test_every_node_has_samples(kept: list[Any]) -> None:
    eventually(lambda: all(len(samples) >= 2 for samples in query("node_metrics").values()))
    eventually(lambda: query("metrics")[-1]["leases"] >= 1)  # that of the actor
    assert len(query("metrics")[-1]["levels"]) == 4
    for samples in query("node_metrics").values():
        assert samples[-1]["workers"] >= 0 and samples[-1]["time"] > samples[0]["time"]


def test_heads_have_a_leader_and_two_that_follow(cluster: Cluster, kept: list[Any]) -> None:
    def rows() -> Any:
        found = query("heads")
        return found if sorted(row["state"] for row in found) == ["follows", "follows", "leads"] else None

    found = eventually(rows)
    assert {row["address"] for row in found} == {head.address for head in cluster.heads}
    (leader,) = (row for row in found if row["state"] == "leads")
    assert leader["address"] == query("office")["leader"] and leader["term"] >= 1 and leader["epoch"] >= 1
    eventually(lambda: all(row["lag"] == 0 and row["committed"] > 0 for row in query("heads")))


def test_round_trips_and_traffic(kept: list[Any]) -> None:
    nodes = sorted(query("node_metrics"))
    ref = rustray.put(np.ones(1 << 20))
    rustray.get([on(node).remote(ref) for node in nodes])
    leader = query("office")["leader"]

    def links() -> Any:
        rows = {(row["from"], row["to"]): row for row in query("network")}
        between = [pair for pair in rows if set(pair) <= set(nodes)]
        there = all((leader, node) in rows for node in nodes) and between
        return rows if there and any(row["bytes_per_s"] for row in rows.values()) else None

    rows = eventually(links)
    assert all(0 <= row["rtt_s"] < 5 for row in rows.values())
    assert sum(row["from"] == leader and ":" in row["to"] for row in rows.values()) == 2, "the other heads"


def test_objects_of_all_nodes(kept: list[Any]) -> None:
    rows = query("objects")
    assert {row["node"] for row in rows} == set(query("node_metrics"))
    ids = {at["id"] for row in rows for at in row["objects"]}
    assert kept[1].hex() in ids


def test_prometheus_has_every_node_and_head(cluster: Cluster, kept: list[Any]) -> None:
    text = prometheus.render(query)
    for node in query("node_metrics"):
        assert f'rustray_node_cpu_ratio{{node="{node}"}}' in text
    for head in cluster.heads:
        assert f'rustray_head_term{{head="{head.address}"}}' in text


def test_the_commands(
    cluster: Cluster, kept: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["metrics", "--address", cluster.address]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# HELP rustray_") and 'rustray_task_finished_total{function="quick"}' in text
    work.events()
    path = tmp_path / "trace.json"
    assert main(["timeline", str(path), "--address", cluster.address]) == 0
    assert "tasks written to" in capsys.readouterr().out
    assert "slow" in {event["name"] for event in json.loads(path.read_text())["traceEvents"]}
    assert main(["timeline", str(tmp_path / "no" / "file"), "--address", cluster.address]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_next_leader_goes_on_where_the_last_was(cluster: Cluster, kept: list[Any]) -> None:
    work.check_functions(work.measured())
    began = query("metrics")[0]["time"]
    known = time.time()
    eventually(lambda: query("metrics")[-1]["time"] > known + 2 * HAND_EVERY_S)  # all of it has been handed on
    cursor = query("task_events", 0)["next"]
    counts = ("finished", "failed", "retried")
    before = {row["name"]: [row[name] for name in counts] for row in query("function_metrics")}
    epoch = query("office")["epoch"]
    leader = query("office")["leader"]
    next(head for head in cluster.heads if head.address == leader).kill()
    eventually(lambda: query("office")["epoch"] > epoch)
    rustray.get([work.slow.remote() for _ in range(2)])

    def news() -> Any:
        answer = query("task_events", cursor)
        return [event for event in answer["events"] if event[4] == "slow"]

    assert len(eventually(lambda: len(found := news()) == 2 and found)) == 2
    assert len([event for event in query("task_events", 0)["events"] if event[4] == "slow"]) == work.SLOW + 2
    before["slow"][0] += 2
    eventually(lambda: work.functions()["slow"]["finished"] == before["slow"][0])
    assert {name: [row[count] for count in counts] for name, row in work.functions().items()} == before
    assert query("metrics")[0]["time"] == began
    assert all(samples[0]["time"] < known for samples in query("node_metrics").values())
    eventually(lambda: len(query("node_metrics")) == 2)
    eventually(lambda: {row["state"] for row in query("heads")} == {"leads", "follows", "does not answer"})
