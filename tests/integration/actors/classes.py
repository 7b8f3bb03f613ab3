"""Actors that several tests use, and tasks that call them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rustray
from tests.support import Gate, tick


@rustray.remote
class Counter:
    """Counts."""

    step = 1

    def __init__(self, start: int = 0) -> None:
        self.n = start

    def add(self, k: int = 1) -> int:
        self.n += k
        return self.n

    def get(self) -> int:
        return self.n

    def pid(self) -> int:
        return os.getpid()

    def hold(self, gate: Gate) -> int:
        gate.wait()
        return self.add()

    @rustray.method(num_returns=2)
    def two(self) -> tuple[int, int]:
        return self.n, -self.n

    def items(self, n: int) -> Iterator[int]:
        yield from range(n)

    @property
    def size(self) -> int:
        return self.n

    @staticmethod
    def twice(x: int) -> int:
        return 2 * x

    @classmethod
    def label(cls) -> str:
        return cls.__name__

    def __call__(self, x: int) -> int:
        return x + self.n

    def __len__(self) -> int:
        return self.n

    def fail(self) -> None:
        raise KeyError("lost")


@rustray.remote
def add_ten(counter: Any) -> list[int]:
    return rustray.get([counter.add.remote() for _ in range(10)])


@rustray.remote
class Keeper:
    """Keeps what it is given."""

    def __init__(self, *kept: Any, **named: Any) -> None:
        self.kept = list(kept)
        self.named = named

    def keep(self, thing: Any) -> None:
        self.kept.append(thing)

    def call(self, index: int) -> Any:
        return rustray.get(self.kept[index].add.remote())

    def give(self, index: int) -> Any:
        return self.kept[index]

    def look(self) -> Any:
        return self.kept, self.named

    def drop(self) -> None:
        self.kept.clear()
        self.named.clear()


@rustray.remote
class Async:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.event: Any = None

    async def nap(self, seconds: float, value: Any = None, begun: Path | None = None) -> Any:
        if begun is not None:
            tick(begun)
        try:
            await asyncio.sleep(seconds)  # as a call that waits for something else
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return value

    async def rely(self, refs: list[Any]) -> Any:
        return [await refs[0], await asyncio.gather(*refs)]

    async def count(self, n: int) -> Any:
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    def plain(self) -> list[str]:
        return self.log

    async def fail(self) -> None:
        raise KeyError("async")

    async def big(self, array: Any) -> Any:
        return array * 2


@rustray.remote(num_cpus=0)
def behind(gate: Gate, value: Any) -> Any:
    gate.wait()
    return value
