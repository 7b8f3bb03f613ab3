"""The standard library's ProcessPoolExecutor: tasks, and neither objects, actors nor nested tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any


class Pool:
    def start(self, workers: int) -> None:
        from concurrent.futures import ProcessPoolExecutor

        self.executor = ProcessPoolExecutor(workers)

    def stop(self) -> None:
        self.executor.shutdown()

    def submitter(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return partial(self.executor.submit, function)

    def submit_many(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [self.executor.submit(function, *each) for each in arguments]

    def get(self, ref: Any) -> Any:
        return ref.result()

    def get_many(self, refs: Sequence[Any]) -> list[Any]:
        return [ref.result() for ref in refs]

    def put(self, value: Any) -> Any:
        raise NotImplementedError

    def actor_method(self, cls: type, method: str) -> Callable[[], Any]:
        raise NotImplementedError

    def nested(self, parents: int, children: int) -> list[int]:
        raise NotImplementedError


def make() -> Pool:
    return Pool()
