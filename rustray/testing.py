"""A cluster for tests: real processes, gone when the test is over, even if it failed."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from rustray.driver import launch
from rustray.errors import ClusterStartError, OptionError

GONE_TIMEOUT_S = 10.0


class Cluster:
    """A cluster of its own, apart from any other, for the length of a ``with`` block.

        with rustray.testing.Cluster(num_cpus=2) as cluster:
            rustray.init(cluster.address)
            ...
            rustray.shutdown()

    Parameters
    ----------
    heads, nodes: how many of each; this release runs one head and one node, in one server process.
    num_cpus, num_gpus, resources: what each node offers.
    object_store_memory: bytes of each node's store, None for 30 % of the machine's memory.

    Raises
    ------
    ClusterStartError: it did not come up; its log is in the message.
    """

    def __init__(
        self,
        heads: int = 1,
        nodes: int = 1,
        num_cpus: float = 1,
        *,
        num_gpus: float = 0,
        resources: dict[str, float] | None = None,
        object_store_memory: int | None = None,
    ) -> None:
        if heads != 1 or nodes != 1:
            raise OptionError(
                f"Cluster(heads={heads}, nodes={nodes}): this release has one head and one node."
            )
        offered = launch.count_resources(num_cpus, num_gpus, resources)
        self._server = launch.start_server(
            launch.ServerSettings(offered, object_store_memory, embedded=False)
        )

    @property
    def folder(self) -> str:
        """The session folder, with the logs."""
        return self._server.settings.folder

    @property
    def address(self) -> str:
        """What `rustray.init` and gRPC clients connect to: "host:port"."""
        address = self._connection_file().get("address")
        if not address:
            raise ClusterStartError(f"The cluster in {self.folder} has not told its address.")
        return str(address)

    @property
    def token(self) -> str:
        """What gRPC clients show."""
        return str(self._connection_file()["token"])

    @property
    def pid(self) -> int:
        """The server process."""
        return self._server.process.pid

    def _connection_file(self) -> dict[str, Any]:
        with open(os.path.join(self.folder, "cluster.json")) as file:
            content: dict[str, Any] = json.load(file)
        return content

    def processes(self) -> set[int]:
        """The pids of the server and of all its descendants that are alive now."""
        children: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat") as file:
                        parent = int(file.read().rpartition(")")[2].split()[1])
                except OSError:
                    continue  # it has just ended
                children.setdefault(parent, []).append(int(name))
        found, new = set(), [self.pid]
        while new:
            pid = new.pop()
            if launch.is_alive(pid):
                found.add(pid)
            new += children.get(pid, ())
        return found

    def kill(self) -> None:
        """Kill the server as a crash would, and wait until all its processes are gone."""
        pids = self.processes()
        os.kill(self.pid, signal.SIGKILL)
        self._server.process.wait()
        deadline = time.monotonic() + GONE_TIMEOUT_S
        while left := [pid for pid in pids if launch.is_alive(pid)]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {left} outlived their killed server by {GONE_TIMEOUT_S} s")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the cluster. Harmless when it has ended."""
        self._server.stop()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
