"""A task that tells where it runs, and settings of nodes."""

from __future__ import annotations

from typing import Any

import rustray
from rustray.driver import launch
from rustray.testing import Cluster
from tests.support import Gate


@rustray.remote
def where(gate: Gate | None = None) -> str:
    if gate is not None:
        gate.wait()
    return str(rustray.get_runtime_context().get_node_id())


def node_settings(cluster: Cluster, **others: Any) -> launch.NodeSettings:
    heads = cluster.address.split(",")
    return launch.NodeSettings(
        **{"heads": heads, "token": cluster.token, "resources": {"CPU": 1.0}, **others}
    )


def names(cluster: Cluster) -> set[str]:
    return {node.name for node in cluster.nodes}
