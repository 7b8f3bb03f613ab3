"""Which objects lie in a store, for people."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from typing import Any

from rustray.model.ids import node_of

from .entries import RESTORING, SPILLED, Entry


def largest(entries: Iterable[Entry], count: int) -> list[dict[str, Any]]:
    """The `count` largest values in block or file: "id" (hexadecimal), "size" (bytes), "place" ("memory" or "disk"),
    "owner" (client), "owner_node" (its number), and "references": how many clients and nodes hold it, and values that
    exist contain it."""
    here = (entry for entry in entries if entry.block is not None or entry.path is not None)
    return [
        {
            "id": entry.oid.hex(),
            "size": entry.size,
            "place": "disk" if entry.state in (SPILLED, RESTORING) else "memory",
            "owner": entry.owner,
            "owner_node": node_of(entry.owner),
            "references": len(entry.holds) + entry.inside,
        }
        for entry in nlargest(count, here, key=lambda entry: entry.size)
    ]
