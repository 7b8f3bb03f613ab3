"""Where tasks go: a scheduling class, or an actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from rustray.driver.figures import Figures

if TYPE_CHECKING:
    from rustray.driver.task import Task


class Target(Protocol):
    """Where tasks of one kind go. What RustRay itself runs (`model.own_work`) is not counted."""

    name: str
    is_own: bool

    def enqueue(self, task: Task) -> None: ...
    def interrupt(self, task: Task, force: bool, recursive: bool) -> None: ...
    def find(self, number: int) -> Task | None: ...
    def describe(self, task: Task) -> dict[str, Any]: ...
    def figures_of(self, task: Task) -> Figures: ...


class KeepsOrder:
    """Marks a target that runs tasks in the order of their submission (an actor)."""

    def enqueue(self, task: Task) -> None:
        raise NotImplementedError

    def pump(self) -> None:
        raise NotImplementedError
