"""The options of tasks, actors and actor methods: validated once, where the function is decorated.

Names, defaults and allowed values are Ray Core's. Names of Ray that mean nothing here are in `IGNORED`; names
of Ray that mean something we do not do yet are in `UNSUPPORTED`, and accepted only with their neutral value,
because a constraint that is silently dropped gives wrong results. Every other name is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from rustray.errors import OptionError
from rustray.model import option_checks as check
from rustray.model.strategies import PlacementGroupSchedulingStrategy, Strategy

NumReturns = int | Literal["streaming", "dynamic"] | None

IGNORED = frozenset(
    {
        "_labels",
        "_metadata",
        "_num_objects_per_yield",
        "allow_out_of_order_execution",
        "enable_task_events",
        "enable_tensor_transport",
        "object_store_memory",
        "placement_group_bundle_index",
        "placement_group_capture_child_tasks",
        "tensor_transport",
    }
)

UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "_actor_generator_backpressure_num_objects": (None, -1),
    "_generator_backpressure_num_objects": (None, -1),
    "fallback_strategy": (None, []),
    "max_calls": (None, 0),
    "placement_group": (None, "default"),
}

Check = Callable[[str, Any], Any]


class _Options:
    """What the three records share. `_checks` gives for each option the check of its value."""

    _kind = ""
    _checks: Mapping[str, Check] = {}

    @classmethod
    def build(cls, given: Mapping[str, Any]) -> Self:
        """The record with `given` options and defaults for the rest.

        Raises
        ------
        OptionError: an unknown name, or a value that is not allowed.
        """
        record = cls(**cls._checked(given))
        record._check_together()
        return record

    def updated(self, given: Mapping[str, Any]) -> Self:
        """This record with `given` options changed, for `.options(...)`.

        Raises
        ------
        OptionError: an unknown name, or a value that is not allowed.
        """
        record: Self = replace(self, **self._checked(given))  # type: ignore[type-var]
        record._check_together()
        return record

    @classmethod
    def _checked(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        checked = {}
        for name, value in given.items():
            known = cls._checks.get(name)
            if known is not None:
                checked[name] = known(name, value)
            elif name in UNSUPPORTED:
                if value not in UNSUPPORTED[name]:
                    raise OptionError(
                        f"Option {name}={value!r} of {cls._kind} is not supported. "
                        + (
                            "Leave it out: a worker is not replaced after a number of tasks."
                            if name == "max_calls"
                            else "Leave it out: a generator runs ahead of those who take from it."
                            if "backpressure" in name
                            else "Give scheduling_strategy=PlacementGroupSchedulingStrategy(group) instead."
                            if name == "placement_group"
                            else "Leave it out, or express the wish with resources={'name': amount}."
                        )
                    )
            elif name not in IGNORED:
                raise check.unknown_name(f"option of {cls._kind}", name, cls._checks)
        return checked

    def told(self) -> list[str]:
        """Those that are not as they usually are, as "num_cpus=2". A runtime_env may have secrets: not its values."""
        usual = type(self)()
        changed = {
            name: getattr(self, name) for name in self._checks if getattr(self, name) != getattr(usual, name)
        }
        return [
            f"{name}={{{', '.join(value)}}}" if name == "runtime_env" else f"{name}={value!r}"
            for name, value in changed.items()
        ]

    def _check_together(self) -> None:
        """Raise OptionError for options that exclude each other."""


@dataclass(frozen=True, slots=True)
class TaskOptions(_Options):
    """Options of a remote function.

    Parameters
    ----------
    num_cpus, num_gpus: amounts reserved while a task runs; fractions are allowed.
    resources: {custom resource: amount}.
    memory: bytes reserved.
    accelerator_type: a task runs only where there is one of it (resource "accelerator_type:NAME").
    num_returns: number of refs that a call gives; "streaming" for a generator of them; "dynamic" for one ref, whose
        value is all refs of a generator when it has ended; None decides by the function.
    max_retries: times a task is tried again when its worker died; -1 without end.
    retry_exceptions: whether the function's own exceptions count for that: all (True) or some (types).
    runtime_env: environment of its workers, see `rustray.runtime_env`.
    scheduling_strategy: where it runs: "SPREAD" for evenly over the nodes, one of `rustray.util.scheduling_strategies`,
        or "DEFAULT" for wherever there is room, also where the caller's placement group would have been taken.
    label_selector: {label of a node: "value", "!value", "in(a, b)" or "!in(a, b)"}, all of which must hold.
    priority: higher runs first, from -10 to 10; others that run are suspended for it.
    preemptible: whether it may be suspended itself for what is more urgent.
    """

    _kind = "a task"

    num_cpus: float = 1
    num_gpus: float = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    memory: int = 0
    accelerator_type: str | None = None
    num_returns: NumReturns = None
    max_retries: int = 3
    retry_exceptions: bool | tuple[type[BaseException], ...] = False
    name: str | None = None
    runtime_env: Mapping[str, Any] | None = None
    scheduling_strategy: Strategy = None
    label_selector: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    preemptible: bool = True

    def _check_together(self) -> None:
        _check_placing(self.scheduling_strategy, self.label_selector)

    def resource_request(self) -> dict[str, float]:
        """What one task holds while it runs, as {"CPU": 1, ...}; nothing that is 0."""
        return _request(self.num_cpus, self.num_gpus, self.memory, self.accelerator_type, self.resources)


@dataclass(frozen=True, slots=True)
class ActorOptions(_Options):
    """Options of an actor class.

    Parameters
    ----------
    num_cpus: reserved for the life of the actor; 0 if not given, so that actors that mostly wait are free.
    num_gpus, resources, memory, accelerator_type, runtime_env: as of tasks, for the life of the actor.
    max_restarts: times the actor is started anew when its process died; -1 without end.
    max_task_retries: times a call is tried again when the actor died under it; -1 without end.
    max_concurrency: calls that run at once; None: 1, or 1000 if the class has async methods.
    max_pending_calls: calls that one handle may have waiting; -1 any number.
    name, namespace: how `get_actor` finds it.
    lifetime: "detached" outlives its driver.
    get_if_exists: give the actor that has the name already.
    concurrency_groups: {group: calls of the group that run at once}.
    scheduling_strategy, label_selector: as of tasks.
    priority: as of tasks, for the slot that the actor takes when it is created; it is never suspended.
    """

    _kind = "an actor"

    num_cpus: float = 0
    num_gpus: float = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    memory: int = 0
    accelerator_type: str | None = None
    max_restarts: int = 0
    max_task_retries: int = 0
    max_concurrency: int | None = None
    max_pending_calls: int = -1
    name: str | None = None
    namespace: str | None = None
    lifetime: Literal["detached"] | None = None
    get_if_exists: bool = False
    concurrency_groups: Mapping[str, int] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] | None = None
    scheduling_strategy: Strategy = None
    label_selector: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0

    def resource_request(self) -> dict[str, float]:
        """What the actor holds while it lives, as {"GPU": 1, ...}; nothing that is 0."""
        return _request(self.num_cpus, self.num_gpus, self.memory, self.accelerator_type, self.resources)

    def _check_together(self) -> None:
        if self.get_if_exists and not self.name:
            raise OptionError("get_if_exists=True needs the actor's name: give name='...' too.")
        _check_placing(self.scheduling_strategy, self.label_selector)


@dataclass(frozen=True, slots=True)
class MethodOptions(_Options):
    """Options of one method of an actor, of `@rustray.method` and `actor.f.options`; None: as the actor's."""

    _kind = "an actor method"

    num_returns: NumReturns = None
    concurrency_group: str | None = None
    max_task_retries: int | None = None
    retry_exceptions: bool | tuple[type[BaseException], ...] = False
    name: str | None = None


def _check_placing(strategy: Strategy, selector: Mapping[str, str]) -> None:
    if selector and isinstance(strategy, PlacementGroupSchedulingStrategy):
        raise OptionError(
            "label_selector= does not go with a placement group, whose bundles have their nodes already: give "
            "placement_group(..., bundle_label_selector=[...]) instead."
        )


def _request(
    num_cpus: float, num_gpus: float, memory: float, accelerator_type: str | None, others: Mapping[str, float]
) -> dict[str, float]:
    request: dict[str, float] = {"CPU": num_cpus, "GPU": num_gpus, "memory": memory, **others}
    if accelerator_type:
        request[f"accelerator_type:{accelerator_type}"] = 0.001  # as Ray: present, never used up
    return {name: amount for name, amount in request.items() if amount}


_placing: dict[str, Check] = {
    "num_gpus": check.gpus,
    "resources": check.resources,
    "memory": check.byte_count,
    "accelerator_type": check.text_or_none,
    "name": check.text_or_none,
    "runtime_env": check.mapping_or_none,
    "scheduling_strategy": check.strategy,
    "label_selector": check.label_selector,
    "priority": check.priority,
}

TaskOptions._checks = {
    "num_cpus": check.quantity(none=1),
    **_placing,
    "num_returns": check.num_returns,
    "max_retries": check.count(least=-1, none=3),
    "retry_exceptions": check.exceptions,
    "preemptible": check.flag,
}

ActorOptions._checks = {
    "num_cpus": check.quantity(none=0),
    **_placing,
    "max_restarts": check.count(least=-1, none=0),
    "max_task_retries": check.count(least=-1, none=0),
    "max_concurrency": check.count(least=1, none=None),
    "max_pending_calls": check.count(least=-1, none=-1),
    "namespace": check.text_or_none,
    "lifetime": check.lifetime,
    "get_if_exists": check.flag,
    "concurrency_groups": check.concurrency_groups,
}

MethodOptions._checks = {
    "num_returns": check.num_returns,
    "concurrency_group": check.text_or_none,
    "max_task_retries": check.count(least=-1, none=None),
    "retry_exceptions": check.exceptions,
    "name": check.text_or_none,
}

for _record in (TaskOptions, ActorOptions, MethodOptions):
    assert set(_record._checks) == {one.name for one in fields(_record)}, _record
