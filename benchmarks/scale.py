"""How many leases a second the scheduler decides on, as the cluster grows.

The real scheduler core, with drivers and nodes simulated on a virtual clock: every class has a client with a
queue of tasks; a lease runs tasks one after another until it is asked back or none are left; a stopped worker
stops. Only the time inside `Scheduler.step` is counted. A decision is an order: a grant, a revocation, a
suspension, a resumption or a requeue.

    python benchmarks/scale.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rustray.model.resources import Resources
from rustray.scheduler import events
from rustray.scheduler.actions import Action, Grant, Requeue, Resume, Revoke, Suspend
from rustray.scheduler.core import Scheduler

SLOTS = 16
JOBS = 100
LATENCY_S = 0.001
"""Virtual seconds from an order to what comes of it."""
TICK_S = 0.1
MAX_DEMAND = 4096


@dataclass(slots=True)
class Driver:
    """The client of one class: its queue, and what it last said it could use."""

    key: bytes
    client: int
    run_s: float
    queued: int
    running: int = 0
    asked: int = 0
    held: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Worker:
    """A lease at work: when its task is over, and what is left of it while it is stopped."""

    driver: Driver
    node: str
    busy: bool = False
    revoked: bool = False
    ends: float = 0.0
    left: float = -1.0  # >= 0: stopped


class Cluster:
    """Nodes, drivers and their clock."""

    def __init__(self, nodes: int, classes: int, tasks: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.scheduler = Scheduler()
        self.now = 0.0
        self.spent = 0.0
        self.decisions: Counter[str] = Counter()
        self.events = 0
        self.done = 0
        self.tasks = tasks
        self.workers: dict[int, Worker] = {}
        self.drivers: dict[int, Driver] = {}
        self._agenda: list[tuple[float, int, str, int]] = []
        self._numbered = 0
        for node in range(nodes):
            self.step(events.NodeAdded(f"n{node}", Resources.of(cpu=SLOTS)))
        shapes = [Resources.of(cpu=1)] * 8 + [Resources.of(cpu=2), Resources.of(cpu=0.5)]
        for n in range(classes):
            key = b"c%d" % n
            request = self.random.choice(shapes)
            self.step(events.ClassAdded(key, n % JOBS, key.decode(), request))
            run_s = min(2.0, self.random.lognormvariate(-3.0, 1.2))
            self.drivers[n] = Driver(key, n, run_s, tasks // classes)
            self.at(self.random.random() * 2.0, "submit", n)
        self.at(TICK_S, "tick", 0)

    def at(self, when: float, what: str, which: int) -> None:
        self._numbered += 1
        heappush(self._agenda, (when, self._numbered, what, which))

    def run(self, progress: Progress, label: str) -> None:
        bar = progress.add_task(label, total=self.tasks)
        shown = 0
        while self.done < self.tasks:
            self.now, _, what, which = heappop(self._agenda)
            getattr(self, "_on_" + what)(which)
            if self.done - shown > self.tasks // 100:
                shown = self.done
                progress.update(bar, completed=shown)
        progress.update(bar, completed=self.tasks)

    def step(self, event: events.Event) -> None:
        start = time.thread_time()
        actions = self.scheduler.step(event, self.now)
        self.spent += time.thread_time() - start
        self.events += 1
        for action in actions:
            self._obey(action)

    def _obey(self, action: Action) -> None:
        self.decisions[type(action).__name__] += 1
        if isinstance(action, Grant):
            driver = self.drivers[action.client]
            self.workers[action.lease] = Worker(driver, action.node)
            driver.held.add(action.lease)
            self.at(self.now + LATENCY_S, "granted", action.lease)
        elif isinstance(action, Revoke):
            self.at(self.now + LATENCY_S, "asked_back", action.lease)
        elif isinstance(action, Suspend):
            self.at(self.now + LATENCY_S, "stop", action.lease)
        elif isinstance(action, Resume):
            self.at(self.now + LATENCY_S, "go_on", action.lease)
        elif isinstance(action, Requeue):
            self.at(self.now + LATENCY_S, "kill", action.lease)

    def _on_tick(self, _which: int) -> None:
        self.step(events.Tick())
        self.at(self.now + TICK_S, "tick", 0)

    def _on_submit(self, client: int) -> None:
        self._ask(self.drivers[client])

    def _ask(self, driver: Driver) -> None:
        """As real drivers do: upwards in powers of two, downwards what is in use."""
        wanted = driver.queued + driver.running
        if driver.queued and wanted > driver.asked:
            driver.asked = min(1 << (wanted - 1).bit_length(), MAX_DEMAND)
        elif not driver.queued and driver.asked > driver.running:
            driver.asked = driver.running
        else:
            return
        self.step(events.Demand(driver.key, driver.client, driver.asked))

    def _on_granted(self, lease: int) -> None:
        self._next_task(lease, self.workers[lease])

    def _next_task(self, lease: int, worker: Worker) -> None:
        driver = worker.driver
        if worker.revoked or not driver.queued:
            if worker.revoked:
                self._return(lease, worker)
            self._ask(driver)
            return
        driver.queued -= 1
        driver.running += 1
        worker.busy = True
        worker.ends = self.now + driver.run_s * self.random.uniform(0.8, 1.2)
        self.at(worker.ends, "task_over", lease)

    def _on_task_over(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is None or not worker.busy or worker.left >= 0 or self.now < worker.ends:
            return
        worker.busy = False
        worker.driver.running -= 1
        self.done += 1
        self._next_task(lease, worker)

    def _on_asked_back(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is not None:
            worker.revoked = True
            if not worker.busy:
                self._return(lease, worker)

    def _return(self, lease: int, worker: Worker) -> None:
        del self.workers[lease]
        worker.driver.held.discard(lease)
        self.step(events.LeaseReturned(lease))

    def _on_stop(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is not None and worker.busy:
            worker.left = max(0.0, worker.ends - self.now)
            self.step(events.LeaseSuspended(lease))

    def _on_go_on(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is not None and worker.left >= 0:
            worker.ends = self.now + worker.left
            worker.left = -1.0
            self.at(worker.ends, "task_over", lease)
            self.step(events.LeaseResumed(lease))

    def _on_kill(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is not None:
            if worker.busy:
                worker.driver.running -= 1
                worker.driver.queued += 1
            self._return(lease, worker)
            self._ask(worker.driver)


def measure(nodes: int, classes: int, tasks: int, progress: Progress) -> dict[str, float]:
    cluster = Cluster(nodes, classes, tasks)
    cluster.run(progress, f"{nodes} nodes")
    decisions = sum(cluster.decisions.values())
    return {
        "nodes": nodes,
        "decisions": decisions,
        "preempted": cluster.decisions["Suspend"],
        "events": cluster.events,
        "spent": cluster.spent,
        "virtual": cluster.now,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_own_process(nodes: int, classes: int, tasks: int) -> dict[str, float]:
    """A size alone in a process, so that its memory is its own; its progress is shown meanwhile."""
    command = [sys.executable, __file__, "--only", str(nodes), str(classes), str(tasks)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the classes and tasks")
    parser.add_argument(
        "--only", nargs=3, type=int, metavar=("NODES", "CLASSES", "TASKS"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.only:
        nodes, classes, tasks = options.only
        with Progress(console=Console(stderr=True)) as progress:
            print(json.dumps(measure(nodes, classes, tasks, progress)))
        return
    classes, tasks = (1_000, 100_000) if options.quick else (10_000, 1_000_000)
    table = Table(title=f"{classes:,} classes, {tasks:,} tasks, nodes of {SLOTS} slots")
    for column in ("nodes", "decisions", "decisions/s", "us a decision", "suspended", "peak MiB"):
        table.add_column(column, justify="right")
    for nodes in (10, 100, 1_000):
        got = in_own_process(nodes, classes, tasks)
        table.add_row(
            f"{nodes:,}",
            f"{got['decisions']:,.0f}",
            f"{got['decisions'] / got['spent']:,.0f}",
            f"{got['spent'] / got['decisions'] * 1e6:.1f}",
            f"{got['preempted']:,.0f}",
            f"{got['rss']:,.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
