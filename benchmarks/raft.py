"""How long raft's heads take: to elect a leader, to commit a command, to go on after the leader was killed.

    python benchmarks/raft.py

Every head is a process of its own on this machine, with its memory on the disk of the temporary folder. Commits are
timed in the leading head, from `submit` to the result in its event loop, one command after another.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rustray.cluster.commands import kv_put
from rustray.cluster.state import ClusterState
from rustray.head.raft import Replica

COMMITS = 2_000
BURST = 5_000
KILLS = 10


async def serve(address: str, others: list[str], folder: str) -> None:
    """A head; it tells what happens in lines of JSON, and measures when it reads "measure"."""
    loop = asyncio.get_running_loop()

    def tell(event: str, **values: Any) -> None:
        print(json.dumps({"event": event, "time": time.monotonic(), **values}), flush=True)

    async def commit(number: int) -> float:
        done: asyncio.Future[dict[str, Any]] = loop.create_future()
        op, payload = kv_put("benchmark", b"%d" % number, b"value")
        begun = time.perf_counter()
        replica.submit(op, payload, done.set_result)
        result = await done
        assert "added" in result, result
        return time.perf_counter() - begun

    async def measure() -> None:
        for number in range(100):
            await commit(number)
        times = sorted([await commit(number) for number in range(COMMITS)])
        begun = time.perf_counter()
        await asyncio.gather(*(commit(number) for number in range(BURST)))
        burst = BURST / (time.perf_counter() - begun)
        before = sum(os.times()[:2])
        await asyncio.sleep(2)
        idle = (sum(os.times()[:2]) - before) / 2
        tell("measured", p50=times[COMMITS // 2], p99=times[COMMITS * 99 // 100], burst=burst, idle=idle)

    tasks = []

    def on_input() -> None:
        if not sys.stdin.readline():
            loop.stop()
        else:
            tasks.append(loop.create_task(measure()))

    begun = time.monotonic()
    replica = Replica(
        address,
        others,
        folder,
        "a token for the benchmark",
        ClusterState(),
        loop,
        on_leader=lambda: tell("leads", begun=begun),
        on_follower=lambda: tell("follows"),
    )
    loop.add_reader(0, on_input)
    await loop.create_future()


class Heads:
    def __init__(self, count: int, folder: Path) -> None:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        self.addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
        for s in sockets:
            s.close()
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, address: str) -> None:
        others = [other for other in self.addresses if other != address]
        folder = self.folder / address
        self.processes[address] = subprocess.Popen(
            [sys.executable, __file__, address, json.dumps(others), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        output = self.processes[address].stdout
        assert output is not None
        os.set_blocking(output.fileno(), False)

    def wait(self, event: str, timeout: float = 60.0) -> tuple[str, dict[str, Any]]:
        """Who was the first to tell of this event, and what."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for address, process in self.processes.items():
                assert process.stdout is not None
                while line := process.stdout.readline():
                    if (told := json.loads(line))["event"] == event:
                        return address, told
            time.sleep(0.001)
        raise TimeoutError(event)

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


def measure(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        heads = Heads(count, Path(folder))
        try:
            for address in heads.addresses:
                heads.start(address)
            leader, told = heads.wait("leads")
            print(
                f"{count} head(s)",
                f"  first election {1e3 * (told['time'] - told['begun']):8.1f} ms",
                sep="\n",
            )
            process = heads.processes[leader]
            assert process.stdin is not None
            process.stdin.write("measure\n")
            process.stdin.flush()
            told = heads.wait("measured")[1]
            print(f"  commit p50     {1e3 * told['p50']:8.2f} ms   p99 {1e3 * told['p99']:.2f} ms")
            print(f"  in a burst     {told['burst']:8.0f} commits/s")
            print(f"  idle           {100 * told['idle']:8.2f} % of a processor (the leader)")
            pauses = []
            for _ in range(KILLS):
                begun = time.monotonic()
                heads.processes[leader].kill()
                heads.processes[leader].wait()
                if count == 1:
                    heads.start(leader)
                killed, (leader, told) = leader, heads.wait("leads")
                pauses.append(told["time"] - begun)
                if count > 1:
                    heads.start(killed)
                    time.sleep(1.5)  # it has to be back before the next one goes
            what = "killed and started again" if count == 1 else "leader killed"
            print(
                f"  {what}: the next leads after {statistics.median(pauses):.2f} s (median of {KILLS}), "
                f"{max(pauses):.2f} s at most"
            )
        finally:
            heads.end()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(serve(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]))
    else:
        for heads_count in (1, 3):
            measure(heads_count)
