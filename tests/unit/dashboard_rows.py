"""What a cluster answers, made by hand, for tests of panels."""

from __future__ import annotations

from typing import Any

from rustray.cluster.commands import NODE_LEFT

GIB = 2**30
NOW = 1_000.5


def sample(**changes: Any) -> dict[str, Any]:
    """One of "metrics"; with `of_node` one of "node_metrics"."""
    made = {
        "time": NOW,
        "cpu": 62.5,
        "cpus": 16,
        "memory": 2 * GIB,
        "memory_total": 8 * GIB,
        "tasks_per_s": 12_345.6,
        "failed_per_s": 0.0,
        "workers": 3,
        "busy": 2,
        "store": 5 * 2**20,
        "store_capacity": GIB,
        "spilled": 0,
        "spilled_per_s": 0.0,
        "restored_per_s": 0.0,
        "net_in_per_s": 2048.0,
        "net_out_per_s": 0.0,
        "disk_read_per_s": 0.0,
        "disk_write_per_s": 0.0,
        "waiting": 0,
        "levels": [4, 3, 2, 1],
        "suspended": 1,
        "leases": 2,
    }
    return {**made, **changes}


def of_node(**changes: Any) -> dict[str, Any]:
    """One of "node_metrics"."""
    return sample(**{"cpus": 8, "gpus": [], **changes})


def function(name: str, **changes: Any) -> dict[str, Any]:
    """A row of "function_metrics"."""
    made = {
        "finished": 0,
        "failed": 0,
        "cancelled": 0,
        "retried": 0,
        "running": 0,
        "waiting": 0,
        "ahead": 0,
        "last": NOW,
        "mean_s": None,
    }
    return {"name": name, **made, **changes}


EVENTS = {
    "next": 17,
    "events": [
        (NOW - 9.0, 4.0, "node-1", 11, "slow", "ok", "aa"),
        (NOW - 4.9, 1.0, "node-1", 11, "slow", "failed", "ab"),
        *((NOW - 3.0 + at / 100, 0.01, "node-2", 12, "quick", "ok", f"b{at}") for at in range(50)),
    ],
    "skipped": 7,
    "running": [(NOW - 100.0, "node-3", 13, "long", "cc"), (NOW - 2.0, "node-1", 11, "slow", "ad")],
}

ANSWERS: dict[str, Any] = {
    "metrics": [sample(time=NOW - 1.0), sample()],
    "node_metrics": {"node-1": [of_node()], "node-2": [of_node(memory=7.9 * GIB, busy=0, cpu=1.0)]},
    "task_events": EVENTS,
    "tasks": [
        {"function": "slow", "state": "running", "node": "node-1", "count": 2},
        {"function": "slow", "state": "waiting", "node": "", "count": 30},
    ],
    "function_metrics": [
        function("slow", finished=6, failed=1, cancelled=2, running=2, waiting=3, mean_s=4.0),
        function("quick", finished=50, mean_s=0.01),
    ],
    "levels": [
        {"level": at, "waiting": 4 - at, "running": at, "suspended": at // 3, "quantum_s": quantum}
        for at, quantum in enumerate((0.02, 0.2, 2.0, None))
    ],
    "nodes": [
        {"name": "node-1", "resources": {"CPU": 8.0}},
        {"name": "node-2", "resources": {"CPU": 8.0}},
        {"name": "gateway", "resources": {}},
    ],
    "gone_nodes": [
        {"name": "node-0", "removed": NOW - 5.0, "cause": "it was lost"},
        {"name": "node-y", "removed": NOW - 15.0, "cause": NODE_LEFT},
        {"name": "node-x", "removed": NOW - 5000.0, "cause": "it was lost"},
    ],
    "objects": [
        {
            "node": "node-1",
            "used": 300,
            "capacity": 1000,
            "spilled": 100,
            "count": 2,
            "objects": [
                {"id": "ab" * 14, "size": 100, "place": "disk", "owner": 7, "references": 1},
                {"id": "cd" * 14, "size": 300, "place": "memory", "owner": 7, "references": 2},
            ],
        }
    ],
    "heads": [
        {"address": "h:1", "state": "leads", "term": 3, "committed": 1204, "lag": 0, "epoch": 2},
        {"address": "h:2", "state": "follows", "term": 3, "committed": 1203, "lag": 1, "epoch": 2},
        {
            "address": "h:3",
            "state": "does not answer",
            "term": None,
            "committed": None,
            "lag": None,
            "epoch": 2,
        },
    ],
    "network": [
        {"from": "h:1", "to": "node-1", "rtt_s": 0.0003, "bytes_per_s": None},
        {"from": "node-1", "to": "node-2", "rtt_s": 0.02, "bytes_per_s": 3e6},
    ],
}
"""By question."""
