"""What goes on while links are cut, and remembers what was acknowledged.

Hosts 0, 1 and 2 are the heads', the others the nodes'.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import rustray
from rustray.testing import Cluster, Head, Node
from rustray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tests.support import eventually, start_program

BOUND_S = 10.0
"""For what is to be over within a few seconds, on a machine that has other work."""


class Writer(threading.Thread):
    """Puts one key after the other, none twice, and remembers when each was acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []
        self.acknowledged: list[float] = []
        self.twice: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            number = len(self.acknowledged)
            self.asked.append(time.monotonic())
            if not rustray.kv.put(
                f"w-{number:06}", str(number).encode(), namespace="history", overwrite=False
            ):
                self.twice.append(number)
            self.acknowledged.append(time.monotonic())

    def __enter__(self) -> Writer:
        self.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.over.set()
        self.join(30)

    def wait_for_more(self, count: int = 10, timeout: float = 20.0) -> None:
        seen = len(self.acknowledged)
        eventually(lambda: len(self.acknowledged) >= seen + count, timeout)

    def asked_and_acknowledged_between(self, begin: float, end: float) -> list[float]:
        """One that was asked for before may have been acknowledged in time, and its thread have slept since."""
        return [at for asked, at in zip(self.asked, self.acknowledged, strict=False) if begin < asked and at < end]

    def gap_after(self, since: float) -> float:
        """Seconds from then, a time of the monotonic clock, until the next put that was asked for after it."""
        later = [at for at in self.acknowledged if at > since]
        return max(b - a for a, b in zip([since, *later], later, strict=False))

    def check(self) -> None:
        assert not self.twice
        assert not self.is_alive()
        keys = [f"w-{number:06}" for number in range(len(self.acknowledged))]
        assert rustray.kv.keys("w-", namespace="history") == keys
        assert int(rustray.kv.get(keys[-1], b"", namespace="history")) == len(keys) - 1


class OtherDriver:
    """A driver of its own at a node, which puts one key after the other, under its own name."""

    PROGRAM = """
        import itertools, sys, time, rustray
        rustray.init(sys.argv[1])
        for number in itertools.count():
            asked = time.monotonic()
            first = rustray.kv.put(f"o-{number:06}", b"x", namespace="history", overwrite=False)
            print(number, int(first), asked, time.monotonic(), flush=True)
            if rustray.kv.exists("stop", namespace="history"):
                break
        rustray.shutdown()
        """

    def __init__(self, node: Node, folder: Path) -> None:
        self.process = start_program(self.PROGRAM, node.folder, folder=folder)
        self.lines: list[tuple[int, bool, float, float]] = []
        """number, whether it was the first put of it, when it was asked for and when it was acknowledged"""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        eventually(lambda: len(self.lines) > 5)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.split()
            if len(words) == 4 and words[0].isdigit():
                self.lines.append((int(words[0]), words[1] == "1", float(words[2]), float(words[3])))

    def acknowledged_after(self, begin: float) -> list[float]:
        return [at for *_other, at in list(self.lines) if at > begin]

    def asked_and_acknowledged_between(self, begin: float, end: float = float("inf")) -> list[float]:
        """One that was asked for before may have been acknowledged in time, and its driver have slept since."""
        return [at for *_other, asked, at in list(self.lines) if begin < asked and at < end]

    def finish(self) -> None:
        rustray.kv.put("stop", b"", namespace="history")
        assert self.process.wait(20) == 0
        self._reader.join()

    def check(self) -> None:
        assert all(first for _number, first, *_when in self.lines)
        kept = set(rustray.kv.keys("o-", namespace="history"))
        assert kept == {f"o-{number:06}" for number, *_rest in self.lines}


def on(node: Node, soft: bool = False) -> dict[str, object]:
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.name, soft)}


def alive() -> dict[str, dict[str, object]]:
    return {str(row["NodeID"]): row for row in rustray.nodes() if row["Alive"]}


def index(cluster: Cluster, head: Head) -> int:
    """The host of a head."""
    return cluster.heads.index(head)


@rustray.remote(max_retries=0)
def once(i: int) -> tuple[int, bool]:
    """Whether this is the first time that it runs."""
    return i, rustray.kv.put(f"ran-{i:06}", b"", namespace="history", overwrite=False)


@rustray.remote
class Counter:
    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> int:
        self.value += 1
        return self.value

    def where(self) -> str:
        return rustray.get_runtime_context().get_node_id()
