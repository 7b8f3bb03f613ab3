"""The answers of the node and the head about themselves, as one `ClusterStatusReply`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rustray.wire import rustray_pb2 as pb


def cluster_status(query: Callable[[str], Any]) -> pb.ClusterStatusReply:
    """What the cluster is and does now; `query` as `Requests.query`."""
    total, available = query("resources")
    return pb.ClusterStatusReply(
        total=total,
        available=available,
        nodes=[_node(row) for row in query("nodes")],
        jobs=[_job(row) for row in query("jobs")],
        actors=[_actor(row) for row in query("actors")],
        workers=[_worker(row) for row in query("workers")],
        store=query("store"),
        waiting=[_waiting(row) for row in query("waiting")],
    )


def _node(row: dict[str, Any]) -> pb.Node:
    return pb.Node(
        name=row["name"],
        hostname=row["hostname"],
        alive=row["alive"],
        total=row["resources"],
        available=row["available"],
    )


def _job(row: dict[str, Any]) -> pb.Job:
    return pb.Job(
        id=row["id"], name=row["name"], namespace=row["namespace"], start=row["start"], end=row["end"]
    )


def _actor(row: dict[str, Any]) -> pb.Actor:
    return pb.Actor(
        id=bytes.fromhex(row["id"]),
        job=row["job"],
        name=row["name"],
        namespace=row["namespace"],
        class_name=row["class_name"],
        state=row["state"],
        restarts=row["restarts"],
        node=row["node"],
        cause=row["cause"],
    )


def _worker(row: dict[str, Any]) -> pb.Worker:
    actor = bytes.fromhex(row["actor"]) if row["actor"] else b""
    return pb.Worker(pid=row["pid"], job=row["job"], leases=row["leases"], actor=actor)


def _waiting(row: dict[str, Any]) -> pb.Waiting:
    return pb.Waiting(
        job=row["job"],
        name=row["class"],
        wanted=row["wanted"],
        held=row["held"],
        infeasible=row["infeasible"],
    )
