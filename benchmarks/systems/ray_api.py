"""Any library with the API of Ray Core."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from functions import noop


class RayApi:
    def __init__(self, library: str, **options: Any) -> None:
        self.library = library
        self.options = options
        self.api: ModuleType

    def start(self, workers: int) -> None:
        self.api = importlib.import_module(self.library)
        self.api.init(num_cpus=workers, **self.options)

    def stop(self) -> None:
        self.api.shutdown()

    def submitter(self, function: Callable[..., Any]) -> Callable[..., Any]:
        submit: Callable[..., Any] = self.api.remote(function).remote
        return submit

    def submit_many(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        submit = self.submitter(function)
        return [submit(*each) for each in arguments]

    def get(self, ref: Any) -> Any:
        return self.api.get(ref)

    def get_many(self, refs: Sequence[Any]) -> list[Any]:
        values: list[Any] = self.api.get(list(refs))
        return values

    def put(self, value: Any) -> Any:
        return self.api.put(value)

    def actor_method(self, cls: type, method: str) -> Callable[[], Any]:
        actor = self.api.remote(cls).remote()
        submit: Callable[[], Any] = getattr(actor, method).remote
        return submit

    def nested(self, parents: int, children: int) -> list[int]:
        api, child = self.api, self.api.remote(noop)

        @api.remote  # type: ignore[untyped-decorator]
        def parent() -> int:
            return len(api.get([child.remote() for _ in range(children)]))

        counts: list[int] = api.get([parent.remote() for _ in range(parents)])
        return counts
