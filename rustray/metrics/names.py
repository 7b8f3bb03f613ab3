"""The names under which Prometheus knows what is measured: one row each, in its base units (seconds, bytes, ratios)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

NODE, LEVEL, FUNCTION = {"node": "node"}, {"level": "level"}, {"function": "name"}
HEAD, LINK, GPU = {"head": "address"}, {"source": "from", "target": "to"}, {"node": "node", "gpu": "index"}


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    kind: "gauge", "counter" or "histogram".
    source: the query whose rows have it ("gpus": those of "node_metrics").
    value: of a row; None leaves it out.
    labels: label name -> key of the row.
    """

    name: str
    kind: str
    help: str
    source: str
    value: Callable[[Row], Any]
    labels: Mapping[str, str] = field(default_factory=dict)


def _of(key: str, per: float = 1.0) -> Callable[[Row], Any]:
    if per == 1.0:
        return lambda row: row[key]
    return lambda row: row[key] / per


def _gauge(
    name: str, text: str, source: str, key: str, labels: Mapping[str, str] = {}, per: float = 1.0
) -> Metric:
    return Metric(f"rustray_{name}", "gauge", text, source, _of(key, per), labels)


def _counter(name: str, text: str, key: str) -> Metric:
    return Metric(f"rustray_task_{name}_total", "counter", text, "function_metrics", _of(key), FUNCTION)


def _histogram(name: str, text: str, key: str) -> Metric:
    return Metric(f"rustray_task_{name}", "histogram", text, "function_metrics", _of(key), FUNCTION)


def _success(row: Row) -> float | None:
    ended = row["tasks_per_s"] + row["failed_per_s"]
    return row["tasks_per_s"] / ended if ended else None


def _is(state: str) -> Callable[[Row], Any]:
    return lambda row: int(row["state"] == state)


METRICS = (
    # -- the cluster
    _gauge("cluster_cpu_ratio", "CPU in use, of all nodes' machines.", "metrics", "cpu", per=100.0),
    _gauge("cluster_tasks_per_second", "Tasks that got their result.", "metrics", "tasks_per_s"),
    _gauge("cluster_failed_tasks_per_second", "Tasks that failed for good.", "metrics", "failed_per_s"),
    Metric(
        "rustray_cluster_success_ratio",
        "gauge",
        "Of the tasks that ended, those with a result.",
        "metrics",
        _success,
    ),
    _gauge("cluster_leases", "Leases given to clients.", "metrics", "leases"),
    _gauge("cluster_waiting_leases", "Slots asked for and not given; not tasks.", "metrics", "waiting"),
    _gauge("cluster_suspended_workers", "Workers suspended for what is more urgent.", "metrics", "suspended"),
    # -- levels of the multi-level feedback queue
    _gauge(
        "level_waiting_leases",
        "Slots asked for and not given, by level; not tasks.",
        "levels",
        "waiting",
        LEVEL,
    ),
    _gauge("level_running_leases", "Leases in use, by level.", "levels", "running", LEVEL),
    _gauge(
        "level_suspended_leases", "Leases whose worker is suspended, by level.", "levels", "suspended", LEVEL
    ),
    # -- nodes
    _gauge("node_cpu_ratio", "CPU in use.", "node_metrics", "cpu", NODE, per=100.0),
    _gauge("node_cpus", "Processors.", "node_metrics", "cpus", NODE),
    _gauge("node_memory_used_bytes", "Memory in use.", "node_metrics", "memory", NODE),
    _gauge("node_memory_total_bytes", "Memory.", "node_metrics", "memory_total", NODE),
    _gauge("node_disk_read_bytes_per_second", "Read from disks.", "node_metrics", "disk_read_per_s", NODE),
    _gauge(
        "node_disk_written_bytes_per_second", "Written to disks.", "node_metrics", "disk_write_per_s", NODE
    ),
    _gauge("node_network_received_bytes_per_second", "Received.", "node_metrics", "net_in_per_s", NODE),
    _gauge("node_network_sent_bytes_per_second", "Sent.", "node_metrics", "net_out_per_s", NODE),
    _gauge(
        "node_tasks_per_second",
        "Runs of tasks that ended and were not cancelled.",
        "node_metrics",
        "tasks_per_s",
        NODE,
    ),
    _gauge(
        "node_failed_tasks_per_second", "Of them those that raised.", "node_metrics", "failed_per_s", NODE
    ),
    _gauge("node_workers", "Worker processes.", "node_metrics", "workers", NODE),
    _gauge(
        "node_busy_workers", "Workers that have a lease and are not suspended.", "node_metrics", "busy", NODE
    ),
    _gauge("node_suspended_workers", "Suspended workers.", "node_metrics", "suspended", NODE),
    _gauge("node_gpu_ratio", "GPU in use.", "gpus", "utilisation", GPU, per=100.0),
    _gauge("node_gpu_memory_used_bytes", "GPU memory in use.", "gpus", "memory", GPU),
    _gauge("node_gpu_memory_total_bytes", "GPU memory.", "gpus", "memory_total", GPU),
    # -- object stores
    _gauge("store_used_bytes", "Shared memory in use by objects.", "objects", "used", NODE),
    _gauge("store_capacity_bytes", "Shared memory that objects may use.", "objects", "capacity", NODE),
    _gauge("store_spilled_bytes", "Objects on disk.", "objects", "spilled", NODE),
    _gauge(
        "store_spilled_bytes_per_second",
        "Objects written to disk for want of memory.",
        "node_metrics",
        "spilled_per_s",
        NODE,
    ),
    _gauge(
        "store_restored_bytes_per_second",
        "Objects read back into memory.",
        "node_metrics",
        "restored_per_s",
        NODE,
    ),
    _gauge("store_objects", "Objects known.", "objects", "count", NODE),
    # -- functions
    _counter("finished", "Runs that gave a result.", "finished"),
    _counter("failed", "Tasks that failed for good.", "failed"),
    _counter("cancelled", "Tasks that were cancelled.", "cancelled"),
    _counter("retried", "Runs that were in vain, and repeated.", "retried"),
    _counter("cpu_seconds", "Processor time of the workers that ran it.", "cpu_s"),
    _gauge("tasks_running", "Tasks that run.", "function_metrics", "running", FUNCTION),
    _gauge(
        "tasks_waiting",
        "Tasks that no worker has begun, as who submitted them tells.",
        "function_metrics",
        "waiting",
        FUNCTION,
    ),
    _gauge(
        "task_peak_memory_bytes", "Most memory of such a worker.", "function_metrics", "peak_memory", FUNCTION
    ),
    _histogram("run_seconds", "How long runs took that were not cancelled.", "run_histogram"),
    _histogram("wait_seconds", "From submission to start.", "wait_histogram"),
    _histogram(
        "worker_memory_bytes", "Memory of workers that ran it, looked at twice a second.", "memory_histogram"
    ),
    # -- heads
    Metric("rustray_head_leads", "gauge", "1 of the head that leads.", "heads", _is("leads"), HEAD),
    Metric("rustray_head_follows", "gauge", "1 of a head that follows.", "heads", _is("follows"), HEAD),
    _gauge("head_term", "Raft term.", "heads", "term", HEAD),
    _gauge(
        "head_committed_entries", "Entries of the log that are committed there.", "heads", "committed", HEAD
    ),
    _gauge("head_lag_entries", "Entries of the leader's log that it has not taken in.", "heads", "lag", HEAD),
    _gauge("head_epoch", "Leaders that have taken office so far.", "heads", "epoch", HEAD),
    # -- the network
    _gauge("network_round_trip_seconds", "From one process to another and back.", "network", "rtt_s", LINK),
    _gauge("network_bytes_per_second", "Sent by nodes to nodes.", "network", "bytes_per_s", LINK),
)
