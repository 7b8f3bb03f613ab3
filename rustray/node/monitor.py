"""What the machine and its workers use, sampled for the dashboards, and a watch on memory."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from rustray.head.reactor import Head
    from rustray.node.agent import NodeAgent
    from rustray.node.pool import WorkerProcess

log = logging.getLogger(__name__)

SAMPLE_S = 0.5
MEMORY_CHECK_S = 0.25
KEEP = 600
"""Samples kept: five minutes."""
DEFAULT_THRESHOLD = 0.95
WORTH_KILLING = 256 << 20
"""Bytes; a worker that uses less is not what the memory is full of (nor below 2 % of a small machine's)."""


class Monitor:
    """Samples of one node.

    A sample: "time" (seconds since the epoch), "cpu" (percent of the machine), "memory" and "memory_total"
    (bytes), "tasks_per_s", "failed_per_s", "workers", "busy" (workers with a lease), "store" and
    "store_capacity" (bytes), "waiting" (leases asked for and not given).

    When the machine's memory is used beyond $RUSTRAY_MEMORY_THRESHOLD (a fraction, 0.95 by default), the largest
    worker is killed, and its task fails or is retried with OutOfMemoryError: better one task than, by the kernel's
    choice, the notebook.
    """

    def __init__(self, node: NodeAgent, head: Head) -> None:
        self._node = node
        self._head = head
        self._samples: deque[dict[str, Any]] = deque(maxlen=KEEP)
        self._last = (time.monotonic(), 0, 0)
        self._threshold = float(os.environ.get("RUSTRAY_MEMORY_THRESHOLD", DEFAULT_THRESHOLD))
        psutil.cpu_percent()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sample from now on."""

        def sample() -> None:
            self._sample()
            loop.call_later(SAMPLE_S, sample)

        def watch() -> None:
            self._watch_memory()
            loop.call_later(MEMORY_CHECK_S, watch)

        sample()
        watch()

    def samples(self, since: float) -> list[dict[str, Any]]:
        """Those of the last five minutes that are newer than `since` (seconds since the epoch), oldest first."""
        newer = itertools.takewhile(lambda sample: sample["time"] > since, reversed(self._samples))
        return list(newer)[::-1]

    def _sample(self) -> None:
        now = time.monotonic()
        node = self._node
        then, finished, failed = self._last
        passed = max(now - then, 1e-3)
        self._last = (now, node.finished, node.failed)
        memory = psutil.virtual_memory()
        store = node.store.ledger.stats()
        workers = node.pool.workers.values()
        self._samples.append(
            {
                "time": time.time(),
                "cpu": psutil.cpu_percent(),
                "memory": memory.total - memory.available,
                "memory_total": memory.total,
                "tasks_per_s": (node.finished - finished) / passed,
                "failed_per_s": (node.failed - failed) / passed,
                "workers": len(workers),
                "busy": max(0, sum(1 for w in workers if w.leases) - self._head.status.idle_leases()),
                "store": store["used"],
                "store_capacity": store["capacity"],
                "waiting": sum(row["wanted"] - row["held"] for row in self._head.status.waiting()),
            }
        )

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
            size = _resident(worker.pid)
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


def _resident(pid: int) -> int:
    """Bytes of memory that a process has for itself, 0 when it is gone."""
    try:
        used = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return int(used.rss - getattr(used, "shared", 0))
