"""Dask distributed: one process of one thread per worker, without its dashboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functions import noop


def run(call: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    function, arguments = call
    return function(*arguments)


def parent(children: int) -> int:
    from distributed import worker_client

    with worker_client() as client:
        return len(client.gather(client.map(run, [(noop, ())] * children, pure=False)))


class Dask:
    def start(self, workers: int) -> None:
        import logging

        from distributed import Client, LocalCluster

        self.cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
        )
        self.client = Client(self.cluster)

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()

    def submitter(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: self.client.submit(function, *arguments, pure=False)

    def submit_many(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        # map is a good deal quicker than so many calls of submit.
        futures: list[Any] = self.client.map(run, [(function, each) for each in arguments], pure=False)
        return futures

    def get(self, ref: Any) -> Any:
        return ref.result()

    def get_many(self, refs: Sequence[Any]) -> list[Any]:
        from distributed.actor import BaseActorFuture

        if isinstance(refs[0], BaseActorFuture):  # gather hands those back as they are
            return [ref.result() for ref in refs]
        values: list[Any] = self.client.gather(list(refs))
        return values

    def put(self, value: Any) -> Any:
        return self.client.scatter(value, hash=False)

    def actor_method(self, cls: type, method: str) -> Callable[[], Any]:
        actor = self.client.submit(cls, actor=True).result()
        submit: Callable[[], Any] = getattr(actor, method)
        return submit

    def nested(self, parents: int, children: int) -> list[int]:
        return self.get_many(self.client.map(parent, [children] * parents, pure=False))


def make() -> Dask:
    return Dask()
