"""`get_runtime_context()`: where the calling code runs."""

from __future__ import annotations

import os
from typing import Any

from rustray.driver.actor_handle import ActorHandle
from rustray.driver.current import current
from rustray.model import ids


class RuntimeContext:
    """Ids of the job, node, worker, task and actor around the caller, in hexadecimal; None where there is none."""

    def __init__(self) -> None:
        self._session = current()

    def get_job_id(self) -> str:
        """The job."""
        return f"{self._session.info['job']:08x}"

    def get_node_id(self) -> str:
        """The node."""
        node: str = self._session.info["node"]
        return node

    def get_worker_id(self) -> str:
        """This process, as a client of its node."""
        return self._session.id_prefix.hex()

    def get_task_id(self) -> str | None:
        """The task that the caller runs in."""
        task = self._session.running()
        if task is None:
            return None
        return ids.task_of(ids.make_object_id(task.channel.client, task.number, 0)).hex()

    def get_task_name(self) -> str | None:
        """Its name: that of its function or method ("Class.method") unless `options(name=...)` gave it another."""
        task = self._session.running()
        return None if task is None else task.name

    def is_canceled(self) -> bool:
        """Whether `cancel` was called for the method that runs. (Plain tasks are interrupted, coroutines cancelled.)"""
        task = self._session.running()
        return task is not None and (task.channel.client, task.number) in self._session.cancelled_calls

    def get_placement_group_id(self) -> str | None:
        """The placement group that the caller runs in."""
        around = self._session.around
        return None if around is None else around[0].hex()

    def get_actor_id(self) -> str | None:
        """The actor that this process hosts."""
        actor = self._session.hosted_actor
        return None if actor is None else actor[0].hex()

    def get_actor_name(self) -> str | None:
        """The name it is registered under, "" if none."""
        actor = self._session.hosted_actor
        return None if actor is None else actor[1]["registered"]

    @property
    def current_actor(self) -> ActorHandle:
        """A handle to the actor that this process hosts."""
        actor = self._session.hosted_actor
        if actor is None:
            raise RuntimeError("current_actor: this code does not run in an actor.")
        return ActorHandle.of(self._session, actor[0], actor[1]["handle"])

    @property
    def namespace(self) -> str:
        """Where this job's named actors are found."""
        found: str = self._session.info["namespace"]
        return found

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """Whether the actor of this process has been restarted."""
        actor = self._session.hosted_actor
        return actor is not None and actor[1].get("incarnation", 0) > 0

    def get_assigned_resources(self) -> dict[str, float]:
        """What the running task or actor was given; {} in a driver."""
        if self._session.hosted_actor is not None:
            return dict(self._session.hosted_actor[1]["resources"])
        task = self._session.running()
        return {} if task is None else dict(task.channel.resources)

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        """The GPUs of this task or actor, as {"GPU": ["0", ...]}."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return {"GPU": [device for device in visible.split(",") if device.strip()]}

    def get(self) -> dict[str, Any]:
        """All of it in a dict."""
        return {
            "job_id": self.get_job_id(),
            "node_id": self.get_node_id(),
            "worker_id": self.get_worker_id(),
            "task_id": self.get_task_id(),
            "actor_id": self.get_actor_id(),
            "namespace": self.namespace,
        }


def get_runtime_context() -> RuntimeContext:
    """What surrounds the calling code; SessionError without a cluster."""
    return RuntimeContext()
