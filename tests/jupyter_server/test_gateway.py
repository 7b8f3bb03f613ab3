"""A cluster that has no node here: looking at it starts no process without need, and none that lasts or is noticed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rustray import clusters
from rustray.clusters import Cluster
from rustray.driver import registry

from .conftest import Fetch

API = ("rustray", "api", "clusters")


@pytest.fixture
def bare(runtime_folder: Path) -> Iterator[Cluster]:
    cluster = clusters.start("bare", num_cpus=1, nodes=0)
    yield cluster
    cluster.stop()


def gateways() -> list[dict[str, Any]]:
    return [process for process in registry.clusters() if process.get("gateway")]


async def test_only_what_must_be_asked_starts_a_gateway_which_is_no_node_and_ends(
    jp_fetch: Fetch, jp_serverapp: Any, bare: Cluster
) -> None:
    extension = jp_serverapp.extension_manager.extension_points["rustray_jupyter"].app

    row = json.loads((await jp_fetch(*API, "bare")).body)
    assert (row["state"], row["nodes"], row["metrics"]) == ("broken", 0, None)
    assert row["remark"] == "it has no node here"
    await jp_fetch(*API, "bare", "logs")
    scaled = await jp_fetch(*API, "bare", "scale", method="POST", body='{"nodes": 0}')
    assert json.loads(scaled.body)["nodes"] == 0
    await extension.note_activity()
    assert gateways() == [] and "bare" not in extension.contacts.open

    nodes, heads = await asyncio.gather(jp_fetch(*API, "bare", "nodes"), jp_fetch(*API, "bare", "heads"))
    assert json.loads(nodes.body) == [] and len(json.loads(heads.body)) == 1
    assert len(gateways()) == 1, "one for all that is asked"
    assert json.loads((await jp_fetch(*API, "bare")).body)["nodes"] == 0
    assert json.loads((await jp_fetch(*API)).body)[-1]["nodes"] == 0
    assert bare.nodes == 0

    await extension.contacts.close()
    assert gateways() == []
