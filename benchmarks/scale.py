"""How many leases a second the scheduler decides on, as the cluster grows.

The real scheduler core, with drivers and nodes simulated on a virtual clock; only the time inside it is counted, in CPU
seconds. Loads of clusters of 100, 1,000 and 4,000 nodes with 16 slots, with 10 classes a node of 100 jobs:

turnover: every slot is taken and thousands of classes wait; a lease comes back and its slot is given to who is next.
storm: classes arrive, run 10 tasks each (100 in the last run, of a million), and are gone within seconds. Leases are
    asked back and given out all the time, for levels, shares and turns; workers are suspended and resumed.

A decision is what changes for somebody, or is denied to somebody who asked. That is each order, for it was weighed
against others: a grant, a revocation (who is to lose a lease), a suspension, a resumption, a task run anew. And it is
each denied bid: one that waits was looked at, with all that it may take from others, and got nothing this time. Not
counted are events that change sums only, and promises, each of which ends in a grant, a resumption, or nothing.

    python benchmarks/scale.py [--quick]

"us each" is CPU time a decision, "peak RSS" the most memory that the process had so far, in MiB.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from heapq import heappop, heappush

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rustray.daemon import COLLECT_AFTER
from rustray.model.resources import Resources
from rustray.scheduler import events
from rustray.scheduler.actions import Action, Grant, Requeue, Resume, Revoke, Suspend
from rustray.scheduler.core import Scheduler

SLOTS = 16
CLASSES_A_NODE = 10
TASKS_A_CLASS = 100
TASKS_OF_GROWTH = 10
TURNOVERS = 100_000
SIZES = (100, 1000, 4000)
FULL = 1000
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


def storm(nodes: int, tasks: int, progress: Progress) -> dict[str, float]:
    """Run all tasks of the cluster's classes."""
    cluster = Cluster(nodes, nodes * CLASSES_A_NODE, tasks)
    cluster.run(progress, f"storm, {nodes:,} nodes")
    return {
        "nodes": nodes,
        "tasks": tasks,
        "decisions": sum(cluster.decisions.values()) + cluster.scheduler.status.denied(),
        "denied": cluster.scheduler.status.denied(),
        "suspensions": cluster.decisions["Suspend"],
        "spent": cluster.spent,
    }


def turnover(nodes: int, rounds: int, progress: Progress) -> dict[str, float]:
    """Fill the cluster, then take back the oldest lease again and again."""
    scheduler = Scheduler()
    leases: deque[int] = deque()
    classes = nodes * CLASSES_A_NODE
    bar = progress.add_task(f"turnover, {nodes:,} nodes", total=rounds)
    for node in range(nodes):
        scheduler.step(events.NodeAdded(f"n{node}", Resources.of(cpu=SLOTS)), 0.0)
    for n in range(classes):
        key = b"c%d" % n
        scheduler.step(
            events.ClassAdded(key, n % JOBS, key.decode(), Resources.of(cpu=1), predicted=60.0), 0.0
        )
        for action in scheduler.step(events.Demand(key, n, TASKS_A_CLASS), 0.0):
            if isinstance(action, Grant):
                leases.append(action.lease)
    spent, granted, now = 0.0, 0, 0.0
    for begun in range(0, rounds, 1000):
        start = time.thread_time()
        for _ in range(min(1000, rounds - begun)):
            now += 1e-5
            for action in scheduler.step(events.LeaseReturned(leases.popleft()), now):
                if isinstance(action, Grant):
                    leases.append(action.lease)
                    granted += 1
        spent += time.thread_time() - start
        progress.update(bar, advance=1000)
    return {"nodes": nodes, "tasks": classes * TASKS_A_CLASS, "decisions": granted, "spent": spent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    quick = parser.parse_args().quick
    gc.set_threshold(*COLLECT_AFTER)  # as in a head
    console = Console()
    if not console.is_terminal:
        console.width = 140  # in a file nothing is cut
    table = Table(title="Lease decisions of one scheduler, 16 slots a node, 10 classes a node, 100 jobs")
    for name in (
        "load",
        "nodes",
        "classes",
        "tasks",
        "decisions",
        "denied",
        "suspended",
        "us each",
        "decisions/s",
        "peak RSS",
    ):
        table.add_column(name, justify="left" if name == "load" else "right")
    share = 10 if quick else 1
    with Progress(console=console) as progress:
        for nodes in SIZES:
            row(table, "turnover", turnover(nodes, TURNOVERS // share, progress))
        for nodes, tasks in [*((nodes, TASKS_OF_GROWTH) for nodes in SIZES), (FULL, TASKS_A_CLASS)]:
            row(table, "storm", storm(nodes, nodes * CLASSES_A_NODE * max(1, tasks // share), progress))
    console.print(table)


def row(table: Table, load: str, found: dict[str, float]) -> None:
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table.add_row(
        load,
        f"{found['nodes']:,}",
        f"{found['nodes'] * CLASSES_A_NODE:,}",
        f"{found['tasks']:,}",
        f"{found['decisions']:,}",
        f"{found.get('denied', 0):,}",
        f"{found.get('suspensions', 0):,}",
        f"{1e6 * found['spent'] / found['decisions']:.1f}",
        f"{found['decisions'] / found['spent']:,.0f}",
        f"{rss:,.0f}",
    )


if __name__ == "__main__":
    main()
