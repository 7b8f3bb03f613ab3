"""One run: a cluster is made from a seed, lives through faults, and must come to rest when they are over."""

from __future__ import annotations

import logging
import traceback
import warnings
from asyncio import events as asyncio_events
from types import SimpleNamespace
from typing import Any
from unittest import mock

from rustray.head.metrics import OF_A_NODE
from tests.simulation.checks import Checks
from tests.simulation.clock import START, Clock, VirtualLoop
from tests.simulation.drivers import SimulatedDriver
from tests.simulation.faults import Faults
from tests.simulation.heads import SimulatedHead
from tests.simulation.machine import Kernel, installed
from tests.simulation.network import Channel, Network
from tests.simulation.nodes import SimulatedNode, VirtualHost
from tests.simulation.raft import Disk, Replica

LOOK_S = 0.25
REST_S = 90.0
"""Seconds after the last fault within which the cluster must have come to rest."""


class Failed(AssertionError):
    """Something that must be true was not."""


class Cluster:
    """Parameters: strict: check the scheduler's whole book after each of its steps. trace: keep what happens."""

    def __init__(self, seed: int, strict: bool = False, trace: Any = None) -> None:
        self.seed = seed
        self.strict = strict
        self._trace = trace
        self.clock = clock = Clock(seed)
        self.network = Network(clock, self.trace)
        self.kernel = Kernel(clock)
        self.loop = VirtualLoop(clock, "world")
        self.checks = Checks(self)
        self.failure = ""
        random = clock.random
        self.head_addresses = [f"10.0.0.{n}:7000" for n in range(1, random.choice((1, 3, 3, 3, 5)) + 1)]
        self.machines = {
            f"10.0.1.{n}": {"CPU": float(random.choice((1, 2, 2, 4)))}
            for n in range(random.choice((1, 2, 2, 3, 4)))
        }
        next(iter(self.machines.values())).update(CPU=2.0, gold=1.0)
        self.disks = {address: Disk() for address in self.head_addresses}
        self._replicas: dict[str, Replica] = {}
        self.heads: dict[str, SimulatedHead] = {}
        self.nodes: list[SimulatedNode] = []
        self.drivers: list[SimulatedDriver] = []
        self._lives = 0
        self.busy_s = random.uniform(3.0, 12.0)
        self.fault_mean_s = random.choice((0.3, 1.0, 1.0, 3.0, 0.0))
        self.calm = not self.fault_mean_s

    # -- the parts

    def start_head(self, address: str) -> None:
        """Start a head that does not run."""
        if address not in self.heads:
            self.trace("head", address, "starts")
            peers = self._replicas
            head = SimulatedHead(self, address, self.disks[address], peers)
            head.loop.host = head
            head.loop.on_error = self.on_loop_error
            self.heads[address] = head

    def start_node(self, machine: str) -> None:
        """Start a node on a machine that has none."""
        if not any(node.name == machine for node in self.nodes):
            self._lives += 1
            node = SimulatedNode(self, machine, f"node-{self._lives}", self.machines[machine])
            self.trace("node", node._name, f"starts on {machine}")
            self.nodes.append(node)

    def remove_node(self, node: SimulatedNode) -> None:
        """The node's process has ended, or is about to."""
        if node in self.nodes:
            self.nodes.remove(node)

    def on_node_left(self, node: SimulatedNode) -> None:
        """It has left in order; another comes in its place."""
        self.remove_node(node)
        self.loop.call_later(self.clock.random.uniform(0.1, 4.0), self.start_node, node.name)

    def start_driver(self) -> None:
        """Start a driver on some node."""
        random = self.clock.random
        if not self.nodes:
            self.loop.call_later(0.5, self.start_driver)
            return
        until = self.clock.now + random.expovariate(0.2) if random.random() < 0.3 else 0.0
        name = f"driver-{len(self.drivers) + 1}"
        end = START + self.busy_s
        self.drivers.append(SimulatedDriver(self, random.choice(self.nodes), name, end, until))

    def names(self) -> list[str]:
        """Of all that the network may part."""
        return [*(address.partition(":")[0] for address in self.head_addresses), *self.machines]

    def drivers_idle(self) -> bool:
        return all(driver.idle for driver in self.drivers if driver.alive)

    # -- the run

    def run(self) -> None:
        """Raises `Failed` if anything is wrong."""
        with installed(self.kernel, self._dial), _LogTold(self):
            try:
                self._run()
            except Failed:
                raise
            except Exception:
                raise Failed(
                    f"seed {self.seed}, at {self.clock.now - START:.3f}: {traceback.format_exc()}"
                ) from None

    def _run(self) -> None:
        random = self.clock.random
        for address in self.head_addresses:
            self.start_head(address)
        for machine in self.machines:
            self.loop.call_later(random.uniform(0.0, 1.0), self.start_node, machine)
        for _ in range(random.randint(1, 4)):
            self.loop.call_later(random.uniform(0.5, self.busy_s / 2), self.start_driver)
        faults = Faults(self, self.fault_mean_s) if self.fault_mean_s else None
        self._pass(self.busy_s)
        if faults is not None:
            self.trace("fault", "no more of them")
            faults.end()
        for driver in self.drivers:
            if driver.alive:
                driver.free_slots()
        self._rest("after the last fault")
        for driver in list(self.drivers):
            driver.leave()
        self._rest("after the last driver has left")

    def _pass(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + seconds, lambda: bool(self.failure))
        self._check()

    def _rest(self, when: str) -> None:
        end = self.clock.now + REST_S
        problems: list[str] = ["it has not begun"]
        while problems:
            self._pass(LOOK_S)
            problems = list(self.checks.problems())
            if self.clock.now > end:
                text = "\n  ".join(problems)
                self.fail(f"no rest within {REST_S:g} s {when}:\n  {text}")
            self._check()
        self.trace("world", f"rest {when}")

    def fail(self, text: str) -> None:
        """The run is over: this is wrong."""
        self.trace("FAILED", text)
        self.failure = self.failure or f"seed {self.seed}, at {self.clock.now - START:.3f}: {text}"

    def _check(self) -> None:
        if self.failure:
            raise Failed(self.failure)

    # -- what the parts use

    def trace(self, kind: str, *fields: Any) -> None:
        if self._trace is not None:
            self._trace(self.clock.now - START, kind, *fields)

    def on_loop_error(self, context: dict[str, Any]) -> None:
        if "was destroyed" in str(context.get("message")):
            return  # its process was killed
        error = context.get("exception")
        told = "".join(traceback.format_exception(error)) if error is not None else str(context)
        self.fail(f"{context.get('message')}: {told}")

    async def _dial(
        self, address: str, hello: Any, _security: Any, timeout: float, bulk: bool = False
    ) -> Channel:
        host = asyncio_events.get_running_loop().host  # type: ignore[attr-defined]
        return await self.network.dial(host, address, hello, timeout)


class _Monitor:
    """In place of `node.monitor.Monitor`: the machines have memory enough."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._stopped = False

    def start(self, loop: Any) -> None:
        if not self._stopped:
            sample = {
                **dict.fromkeys((*OF_A_NODE, "ran_per_s", "ran_failed_per_s"), 0),
                "gpus": [],
                "links": [],
            }
            sample |= {
                "time": loop.time(),
                "machine": loop.host.name,
                "cpu": 0.0,
                "cpus": 1,
                "memory": 0,
                "memory_total": 1 << 34,
            }
            self._node.head(("sample", sample))
            loop.call_later(1.0, self.start, loop)

    def stop(self) -> None:
        self._stopped = True


class _LogTold(logging.Handler):
    """Errors that the code has logged with a traceback are failures of the run."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(logging.ERROR)
        self._cluster = cluster
        self._stack: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._cluster.fail(
                f"{record.getMessage()}\n{''.join(traceback.format_exception(*record.exc_info))}"
            )

    def __enter__(self) -> None:
        from rustray.driver.scheduling_class import SchedulingClass
        from rustray.head import prediction_file
        from rustray.head import process as head_process
        from rustray.node import host, monitor
        from rustray.node import process as node_process
        from rustray.wire import channels

        clock = self._cluster.clock
        time = SimpleNamespace(monotonic=lambda: clock.now, time=clock.wall)
        nothing = mock.Mock()
        self._patches = [
            mock.patch.object(head_process, "time", time),
            mock.patch.object(node_process, "os", SimpleNamespace(getpid=lambda: 1, urandom=bytes)),
            mock.patch.object(monitor, "Monitor", _Monitor),
            mock.patch.object(host, "NodeHost", VirtualHost),
            mock.patch.object(prediction_file, "PredictionFile", nothing),
            mock.patch.object(channels, "dial", self._cluster._dial),
            # Sets of these would be in the order of their addresses.
            mock.patch.object(SchedulingClass, "__hash__", lambda self: hash(self.key)),
        ]
        for patch in self._patches:
            patch.start()
        # Processes that are killed never await what they have begun.
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore", RuntimeWarning)
        log = logging.getLogger("rustray")
        self._level, self._propagate = log.level, log.propagate
        log.addHandler(self)
        log.setLevel(logging.ERROR)
        log.propagate = False

    def __exit__(self, *_error: Any) -> None:
        self._warnings.__exit__(None, None, None)
        for patch in self._patches:
            patch.stop()
        log = logging.getLogger("rustray")
        log.removeHandler(self)
        log.setLevel(self._level)
        log.propagate = self._propagate


def run(seed: int, strict: bool = False, trace: Any = None) -> Cluster:
    """Run one seed to its end. Raises `Failed`."""
    cluster = Cluster(seed, strict, trace)
    cluster.run()
    return cluster
