"""When a cluster with a name runs, when it is broken, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

import rustray.clusters.cluster as module
from rustray.clusters import registry
from rustray.clusters.cluster import Cluster
from rustray.clusters.connection_file import ConnectionFile, Process
from rustray.clusters.health import health
from rustray.pids import here

HEADS = [Process(n, 1.0, "head", f"head-{n}", f"/h{n}") for n in (1, 2, 3)]
NODES = [Process(n, 1.0, "node", f"node-{n}", f"/n{n}") for n in (11, 12)]
EMBEDDED = Process(7, 1.0, "embedded", "node-1", "/tmp/rr/e")
FILE = ConnectionFile("work", 1.0, here(), heads=("a:1", "a:3", "a:5"), processes=(*HEADS, *NODES))


@pytest.mark.parametrize(
    ("known", "alive", "heads", "told"),
    [
        ((*HEADS, *NODES), (*HEADS, *NODES), 3, ("running", "")),
        ((*HEADS, *NODES), (*HEADS[1:], *NODES), 3, ("running", "1 of 3 heads is down")),
        ((*HEADS, *NODES), (HEADS[0], *NODES), 3, ("broken", "2 of 3 heads are down")),
        (
            (*HEADS, *NODES),
            (*HEADS[1:], NODES[0]),
            3,
            ("running", "1 of 3 heads is down, 1 of 2 nodes is down"),
        ),
        ((*HEADS, *NODES), HEADS, 3, ("broken", "2 of 2 nodes are down")),
        ((HEADS[0], NODES[0]), (HEADS[0],), 1, ("broken", "its node is down")),
        ((HEADS[0], NODES[0]), (NODES[0],), 1, ("broken", "its head is down")),
        ((HEADS[0],), (HEADS[0],), 1, ("broken", "it has no node here")),
        ((HEADS[0], NODES[0]), (NODES[0],), 3, ("running", "1 of 3 heads is down")),  # others are elsewhere
        ((EMBEDDED,), (EMBEDDED,), 0, ("running", "")),
    ],
)
def test_health(
    known: tuple[Process, ...], alive: tuple[Process, ...], heads: int, told: tuple[str, str]
) -> None:
    assert health(known, alive, heads) == told


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """One of three heads and two nodes, of which the first head has ended."""
    monkeypatch.setattr(registry, "find", lambda _name: FILE)
    monkeypatch.setattr(module, "create_time", lambda pid: None if pid == 1 else 1.0)
    return Cluster(FILE)


def test_one_without_a_node_is_starting_while_somebody_is_busy_with_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(FILE, processes=tuple(HEADS), busy=Process(50, 1.0, "starter", "", ""))
    monkeypatch.setattr(registry, "find", lambda _name: bare)
    monkeypatch.setattr(module, "is_alive", lambda _process: True)
    assert (cluster.state, cluster.remark) == ("starting", "")
    monkeypatch.setattr(module, "is_alive", lambda _process: False)
    assert (cluster.state, cluster.remark) == ("broken", "1 of 3 heads is down, it has no node here")


def test_the_remark_is_in_the_row_and_beside_the_state(cluster: Cluster) -> None:
    assert (cluster.state, cluster.remark) == ("running", "1 of 3 heads is down")
    row = cluster.row()
    assert (row["state"], row["remark"], row["heads"]) == ("running", "1 of 3 heads is down", 2)
    assert dict(cluster.facts())["state"] == "running: 1 of 3 heads is down"


def test_that_of_a_notebook_has_neither_heads_nor_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    file = replace(FILE, heads=(), processes=(EMBEDDED,))
    monkeypatch.setattr(registry, "find", lambda _name: file)
    monkeypatch.setattr(module, "create_time", lambda _pid: 1.0)
    facts = dict(Cluster(file).facts())
    assert (facts["heads"], facts["nodes"], facts["address"]) == ("", "1", "notebook")
    assert Cluster(file).address == "/tmp/rr/e"  # rustray.init takes it
