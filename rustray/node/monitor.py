"""What the machine and its workers use, sampled for the dashboards, and a watch on memory."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import psutil

from rustray.node.gpu_usage import GpuUsage
from rustray.node.pool import resident
from rustray.node.throughput import Rates
from rustray.pids import here

if TYPE_CHECKING:
    from rustray.node.agent import NodeAgent
    from rustray.node.pool import WorkerProcess

log = logging.getLogger(__name__)

SAMPLE_S = 0.5
MACHINE_S = 1.0
"""How often the machine's disks and networks are read: that takes longer than all the rest."""
MEMORY_CHECK_S = 0.25
DEFAULT_THRESHOLD = 0.95
NOTABLE_MEMORY = 0.1
"""By how much of what was told the memory of a class's workers has to differ to be told again."""
WORTH_KILLING = 256 << 20
"""Bytes; a worker that uses less is not what the memory is full of (nor below 2 % of a small machine's)."""


class Monitor:
    """Samples of one node, sent to the head.

    A sample: "time" (seconds since the epoch), "machine" (its id: nodes may share one), "cpu" (percent of the machine),
    "cpus" (how many it has), "memory" and "memory_total" (bytes), "disk_read_per_s", "disk_write_per_s", "net_in_per_s"
    and "net_out_per_s" (bytes, loopback left out), "tasks_per_s" and "failed_per_s" (results that came to clients
    here), "ran_per_s" and "ran_failed_per_s" (runs that ended here), "workers", "busy" (workers with a lease; in
    all of these RustRay's own work, as notebooks' keepers, does not count),
    "suspended" (workers), "store", "store_capacity" and "spilled" (bytes), "spilled_per_s" and "restored_per_s" (bytes
    written to disk, and read back), "objects", "gpus" (see `gpu_usage`) and "links" (see `Neighbours.links`).

    When the machine's memory is used beyond $RUSTRAY_MEMORY_THRESHOLD (a fraction, 0.95 by default), the largest
    worker is killed, and its task fails or is retried with OutOfMemoryError: better one task than, by the kernel's
    choice, the notebook.
    """

    def __init__(self, node: NodeAgent) -> None:
        self._node = node
        self._stopped = False
        self._rates = Rates()
        self._machine = Rates()
        self._machine_at = float("-inf")
        self._id = here().machine
        self._gpus = GpuUsage()
        self._told_memory: dict[bytes, int] = {}
        self._threshold = float(os.environ.get("RUSTRAY_MEMORY_THRESHOLD", DEFAULT_THRESHOLD))
        psutil.cpu_percent()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sample from now on."""

        def sample() -> None:
            if self._stopped:
                return
            loop.call_later(SAMPLE_S, sample)
            self._sample()

        def watch() -> None:
            if self._stopped:
                return
            loop.call_later(MEMORY_CHECK_S, watch)
            self._watch_memory()

        self._gpus.start()
        sample()
        watch()

    def stop(self) -> None:
        """Sample no more."""
        self._stopped = True
        self._gpus.stop()

    def _sample(self) -> None:
        now = time.monotonic()
        node = self._node
        memory = psutil.virtual_memory()
        store = node.store.ledger.stats()
        workers = node.pool.workers.values()
        figures = node.figures
        counters = {
            "tasks": node.finished,
            "failed": node.failed,
            "ran": figures.ran,
            "ran_failed": figures.errors,
            "spilled": node.store.spilled,
            "restored": node.store.restored,
        }
        if now - self._machine_at >= MACHINE_S:
            self._machine_at = now
            self._machine.take(now, machine_counters())
        sample: dict[str, Any] = {
            "time": time.time(),
            "machine": self._id,
            "cpu": psutil.cpu_percent(),
            "cpus": os.cpu_count() or 1,
            "memory": memory.total - memory.available,
            "memory_total": memory.total,
            **self._machine.latest,
            **self._rates.take(now, counters),
            "workers": len(workers),
            "busy": sum(bool(worker.leases) and not (worker.suspended or worker.is_own) for worker in workers),
            "suspended": sum(1 for worker in workers if worker.suspended),
            "store": store["used"],
            "store_capacity": store["capacity"],
            "spilled": store["spilled_bytes"],
            "objects": store["objects"],
            "gpus": self._gpus.rows,
            "links": node.neighbours.links(),
        }
        node.head(("sample", sample))
        if not node.outage.lasts and (told := figures.take()) is not None:
            node.head(told)
        self._tell_memory()

    def _tell_memory(self) -> None:
        """What workers with a lease use, by the class of their tasks, where it has changed notably."""
        node = self._node
        peaks: dict[bytes, int] = {}
        for worker in node.pool.workers.values():
            if worker.leases and worker.actor is None and worker.pid:
                size = resident(worker.pid)
                for lease in worker.leases:
                    key = node.leases.here[lease].key
                    peaks[key] = max(size, peaks.get(key, 0))
        told = self._told_memory
        news = [
            (key, size)
            for key, size in peaks.items()
            if abs(size - told.get(key, 0)) > NOTABLE_MEMORY * told.get(key, 0)
        ]
        if news:
            node.head(("worker_memory", news))
            known = node.classes.known
            self._told_memory = {key: size for key, size in told.items() if key in known} | dict(news)

    def _watch_memory(self) -> None:
        memory = psutil.virtual_memory()
        used = 1.0 - memory.available / memory.total
        if used < self._threshold:
            return
        largest: tuple[int, WorkerProcess] | None = None
        for worker in self._node.pool.workers.values():
            if worker.doom is not None and worker.doom[0] == "oom":
                return  # its memory is still on its way back
            if not worker.pid or worker.doom is not None or not worker.leases:
                continue
            size = resident(worker.pid)
            if largest is None or size > largest[0]:
                largest = (size, worker)
        if largest is None or largest[0] < min(WORTH_KILLING, memory.total // 50):
            return  # somebody else fills the memory: killing a task would not help
        size, worker = largest
        text = (
            f"was killed because the machine's memory is full: {used:.0%} of {memory.total / 2**30:.1f} GiB used, the "
            f"limit is {self._threshold:.0%}. It used {size / 2**20:.0f} MiB, the most of all workers. Use less "
            "memory a task, fewer tasks at once (num_cpus=, memory=), or raise RUSTRAY_MEMORY_THRESHOLD"
        )
        log.warning("worker %s %s", worker.pid, text)
        self._node.pool.kill(worker, "oom", text)


def machine_counters() -> dict[str, float]:
    """Bytes that the machine's disks and networks, loopback left out, have moved so far; 0 where it does not say."""
    try:
        disk: Any = psutil.disk_io_counters()
    except (OSError, RuntimeError):
        disk = None  # a container may have no disks that it may see
    try:
        nics = psutil.net_io_counters(pernic=True)
    except OSError:
        nics = {}
    others = [counters for name, counters in nics.items() if not name.startswith("lo")]
    return {
        "disk_read": disk.read_bytes if disk is not None else 0,
        "disk_write": disk.write_bytes if disk is not None else 0,
        "net_in": sum(counters.bytes_recv for counters in others),
        "net_out": sum(counters.bytes_sent for counters in others),
    }
