"""What `ray.util` has and programs use: a pool of actors, results as they come, the names of actors, placement groups,
serializers of one's own classes; and the modules `queue`, `state` and `scheduling_strategies`."""

from __future__ import annotations

from typing import Any

from rustray.driver.current import current
from rustray.model.own_work import is_own_name
from rustray.serialization import deregister_serializer, register_serializer
from rustray.util.actor_pool import ActorPool
from rustray.util.completion import as_completed, map_unordered
from rustray.util.placement_group import (
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from rustray.wire.security import split_address

__all__ = [
    "ActorPool",
    "as_completed",
    "deregister_serializer",
    "get_current_placement_group",
    "get_node_ip_address",
    "get_placement_group",
    "list_named_actors",
    "map_unordered",
    "placement_group",
    "placement_group_table",
    "register_serializer",
    "remove_placement_group",
]


def get_node_ip_address() -> str:
    """The address of this process's node, at which others reach it; "127.0.0.1" where they cannot."""
    session = current()
    rows = session.requests.query("nodes", False, True)
    address = next((row.get("address") for row in rows if row["name"] == session.info["node"]), None)
    return split_address(address)[0] if address else "127.0.0.1"


def list_named_actors(all_namespaces: bool = False) -> list[Any]:
    """The names of the living named actors, sorted; without those of RustRay's own.

    Parameters
    ----------
    all_namespaces: give {"name": ..., "namespace": ...} for those of every namespace, not of this job's only.
    """
    session = current()
    asked = session.requests.query("actor_names", None if all_namespaces else session.info["namespace"])
    found = sorted((namespace, name) for namespace, name in asked if not is_own_name(name))
    if all_namespaces:
        return [{"name": name, "namespace": namespace} for namespace, name in found]
    return [name for _namespace, name in found]
