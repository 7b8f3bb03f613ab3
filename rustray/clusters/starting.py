"""Starting the processes of a cluster with a name: all of them, or none."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rustray.clusters import registry
from rustray.clusters.connection_file import ConnectionFile, Process
from rustray.driver import launch
from rustray.driver import registry as sessions
from rustray.driver.ports import free_ports
from rustray.errors import ClusterStartError, OptionError
from rustray.model import labels as label_rules
from rustray.pids import create_time

MAX_NODES = 100
"""On one machine: more are a slip of the finger."""
PARALLEL_STARTS = 4


def node_settings(
    num_cpus: float | None,
    num_gpus: float | None,
    resources: dict[str, float] | None,
    object_store_memory: int | None,
    labels: dict[str, str] | None,
) -> dict[str, Any]:
    """What each node of a cluster is started with: keywords of `launch.NodeSettings`. OptionError."""
    try:
        label_rules.check_labels(labels or {})
    except (AttributeError, ValueError) as error:
        raise OptionError(f"labels={labels!r} is not allowed: {error}.") from None
    return {
        "resources": launch.count_resources(num_cpus, num_gpus, resources),
        "object_store_memory": object_store_memory,
        "labels": dict(labels or {}),
    }


def check_counts(heads: int = 1, nodes: int = 1) -> None:
    """OptionError where a cluster cannot have so many."""
    if type(heads) is not int or heads not in (1, 3):
        raise OptionError(f"heads={heads!r}: a cluster on one machine has 1 or 3 heads.")
    if isinstance(nodes, bool) or not isinstance(nodes, int) or not 0 <= nodes <= MAX_NODES:
        raise OptionError(f"nodes={nodes!r}: give a number from 0 to {MAX_NODES}.")


class Started:
    """Processes that are started for one cluster, from several threads. `up` has those that have come up."""

    def __init__(self) -> None:
        self.up: list[launch.StartedProcess] = []
        self._given_up = False
        self._lock = threading.Lock()

    def start(self, settings: launch.Settings) -> None:
        """Start one and wait until it is up; it ends again where all have been given up meanwhile."""
        process = launch.start(settings)
        with self._lock:
            if not self._given_up:
                self.up.append(process)
                return
        process.stop()

    def give_up(self) -> None:
        """End all of them. An interrupt may leave a thread of which the pool that started it does not know: what that
        one still brings up ends by itself."""
        with self._lock:
            self._given_up = True
        for process in reversed(self.up):
            process.stop()


def start(name: str, node: dict[str, Any], heads: int, nodes: int) -> None:
    """Start a cluster and enter it into the registry; what was started is ended again if not all of it comes up."""
    check_counts(heads, nodes)
    registry.claim(name)
    try:
        with _undone_on_failure() as started:
            storage = os.path.join(sessions.runtime_folder(), "heads", f"{name}-{secrets.token_hex(4)}")
            os.makedirs(storage, mode=0o700)
            # At once, so that it is swept if this process is killed.
            file = registry.change(name, lambda file: replace(file, storage=storage, node=node))
            assert file is not None
            token = secrets.token_hex(32)
            addresses = _start_heads(storage, token, heads, started)
            token_file = sessions.keep_token(storage, token)
            file = replace(file, heads=addresses, token=token, token_file=token_file, busy=None)
            _start_nodes(file, nodes, started)
            file = replace(file, processes=processes_of(started.up))
            registry.change(name, lambda _file: file)
    except BaseException:
        registry.remove(name)
        raise


def add_nodes(file: ConnectionFile, count: int) -> None:
    """Start more nodes of a cluster, all or none, and enter them. The caller is `registry.alone` with it."""
    with _undone_on_failure() as started:
        _start_nodes(file, count, started)
        more = processes_of(started.up)
        registry.change(file.name, lambda now: replace(now, processes=now.processes + more))


def _start_heads(storage: str, token: str, count: int, started: Started) -> tuple[str, ...]:
    """Their addresses."""
    ports = free_ports(count) if count > 1 else [0]  # several must know each other beforehand
    addresses = [f"127.0.0.1:{port}" for port in ports] if count > 1 else []
    _launch_all(
        [
            launch.HeadSettings(
                port=port, heads=addresses, token=token, storage=os.path.join(storage, f"head-{number}")
            )
            for number, port in enumerate(ports, 1)
        ],
        started,
    )
    return tuple(sessions.read_connection_file(started.up[0].settings.folder)["heads"])


def _start_nodes(file: ConnectionFile, count: int, started: Started) -> None:
    _launch_all(
        [
            launch.NodeSettings(list(file.heads), file.token, tls_folder=file.tls_dir, **file.node)
            for _node in range(count)
        ],
        started,
    )


def _launch_all(settings: Sequence[launch.Settings], started: Started) -> None:
    """Start these beside each other; those that are up are in `started`, also where others have failed."""
    interrupt: KeyboardInterrupt | None = None
    with ThreadPoolExecutor(PARALLEL_STARTS) as pool:
        starting = [pool.submit(started.start, one) for one in settings]
        while not all(future.done() for future in starting):
            try:
                wait(starting)
            except KeyboardInterrupt as error:
                # What is under way comes up nevertheless, and must be in the list to be ended; each has a time limit.
                interrupt = error
                for future in starting:
                    future.cancel()
    if interrupt is not None:
        raise interrupt
    for future in starting:
        future.result()


@contextmanager
def _undone_on_failure() -> Iterator[Started]:
    """For processes that are to go on; where the block fails all of them end again."""
    started = Started()
    try:
        yield started
    except BaseException:
        started.give_up()
        raise
    for process in started.up:
        _let_go(process)


def _let_go(started: launch.StartedProcess) -> None:
    """It outlives this process; while that lives, it is told of the end, so that no zombie stays."""
    if started.process.stdout is not None:
        started.process.stdout.close()
    threading.Thread(target=started.process.wait, name="rustray-reaper", daemon=True).start()


def processes_of(started: Sequence[launch.StartedProcess]) -> tuple[Process, ...]:
    """How the registry knows them. ClusterStartError: one has ended already."""
    found = []
    for one in started:
        folder, pid = one.settings.folder, one.process.pid
        began = create_time(pid)
        if began is None:
            raise ClusterStartError(
                f"A {one.settings.role} has ended right after its start; see {folder}/logs"
            )
        facts = sessions.read_connection_file(folder)
        found.append(Process(pid, began, one.settings.role, _name(facts), folder))
    return tuple(found)


def _name(facts: dict[str, Any]) -> str:
    """Of a process, by its connection file: heads are numbered as the cluster lists them, on all machines alike."""
    if facts["role"] == "head":
        return f"head-{facts['heads'].index(facts['address']) + 1}"
    return str(facts.get("name") or facts["role"])
