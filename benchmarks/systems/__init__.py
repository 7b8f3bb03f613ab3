"""The systems that are compared, behind one small interface."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

Ref = Any
NAMES = ("rustray", "ray", "dask", "pool")


class System(Protocol):
    """One system, used the way its documentation recommends for many small tasks.

    A system without a notion (actors, say) raises NotImplementedError there, and its cell stays empty.
    """

    def start(self, workers: int) -> None:
        """Import the library, and start it with so many worker processes of one thread each."""

    def stop(self) -> None: ...

    def submitter(self, function: Callable[..., Any]) -> Callable[..., Ref]:
        """What submits one call of the function with the arguments that it is given."""

    def submit_many(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Ref]:
        """Submit one call of the function for each tuple, as separate tasks."""

    def get(self, ref: Ref) -> Any: ...

    def get_many(self, refs: Sequence[Ref]) -> list[Any]: ...

    def put(self, value: Any) -> Ref: ...

    def actor_method(self, cls: type, method: str) -> Callable[[], Ref]:
        """Start an actor, and return what submits one call of its method."""

    def nested(self, parents: int, children: int) -> list[int]:
        """Run `parents` tasks, each of which submits `children` no-op tasks, gets and counts their values."""


def system(name: str) -> System:
    """The system of that name. Its library is imported by its `start`, and not before."""
    made: System = importlib.import_module(f"systems.{name}_system").make()
    return made
