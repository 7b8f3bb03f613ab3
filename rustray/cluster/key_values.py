"""Operations on key-value pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustray.cluster.operation import Operation, Payload, Result

if TYPE_CHECKING:
    from rustray.cluster.state import ClusterState


def _put(state: ClusterState, p: Payload) -> Result:
    pairs = state.kv.setdefault(p["namespace"], {})
    added = p["key"] not in pairs
    if added or p["overwrite"]:
        pairs[p["key"]] = p["value"]
    return {"added": added}


def _delete(state: ClusterState, p: Payload) -> Result:
    pairs = state.kv.get(p["namespace"], {})
    deleted = pairs.pop(p["key"], None) is not None
    if deleted and not pairs:
        del state.kv[p["namespace"]]
    return {"deleted": deleted}


def _get(state: ClusterState, p: Payload) -> Result:
    return {"value": state.kv.get(p["namespace"], {}).get(p["key"])}


def _exists(state: ClusterState, p: Payload) -> Result:
    return {"exists": p["key"] in state.kv.get(p["namespace"], {})}


def _keys(state: ClusterState, p: Payload) -> Result:
    return {"keys": sorted(key for key in state.kv.get(p["namespace"], {}) if key.startswith(p["prefix"]))}


OPERATIONS: dict[str, Operation] = {
    "kv_put": (_put, ("namespace", "key", "value", "overwrite")),
    "kv_delete": (_delete, ("namespace", "key")),
    "kv_get": (_get, ("namespace", "key")),
    "kv_exists": (_exists, ("namespace", "key")),
    "kv_keys": (_keys, ("namespace", "prefix")),
}

READS = frozenset(("kv_get", "kv_exists", "kv_keys"))
"""They change nothing, so asked again they may answer anew: results as big as the values need not be kept."""
