"""The functions that a user calls: `remote`, `get`, `put`, `wait`, and what goes with them.

Names, defaults and semantics follow Ray Core, so that its users change one import.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from typing import Any, TypeVar, overload

from rustray.driver import stop_button
from rustray.driver.actor_class import ActorClass, check_actor_class
from rustray.driver.actor_handle import ActorHandle
from rustray.driver.current import auto_init, current
from rustray.driver.entry import VALUE
from rustray.driver.generator import ObjectRefGenerator
from rustray.driver.on_behalf import submitter_of
from rustray.driver.refs import ObjectRef
from rustray.driver.remote_function import RemoteFunction
from rustray.driver.session import Session
from rustray.driver.stopping import Stopped, stop_and_wait, unfinished
from rustray.driver.task import Task
from rustray.driver.task_logs import TaskLog
from rustray.errors import OptionError, RustRayError, SessionError
from rustray.model import ids
from rustray.model.option_checks import kind_of
from rustray.model.options import ActorOptions, TaskOptions
from rustray.wire.security import split_address

T = TypeVar("T")


@overload
def remote(__function: type[T]) -> ActorClass: ...
@overload
def remote(__function: Any) -> RemoteFunction: ...
@overload
def remote(**options: Any) -> Any: ...
def remote(*args: Any, **options: Any) -> Any:
    """Make a remote function or an actor class: ``@remote``, or ``@remote(num_cpus=2, ...)`` with options."""
    if len(args) == 1 and not options:
        return _make_remote(args[0], {})
    if args or not options:
        raise OptionError(
            "@rustray.remote is used bare on a function or class, or with keyword options: @rustray.remote(num_cpus=2)."
        )
    return lambda target: _make_remote(target, options)


def _make_remote(target: Any, options: dict[str, Any]) -> Any:
    if inspect.isclass(target):
        check_actor_class(target)
        return ActorClass(target, ActorOptions.build(options))
    if isinstance(target, RemoteFunction | ActorClass):
        raise OptionError(f"{target!r} is remote already; use .options(...) to change its options.")
    if inspect.iscoroutinefunction(target):
        raise OptionError(
            f"async def {target.__name__}() cannot be a task: call asyncio.run({target.__name__}()) in a plain "
            "function, or make it a method of an actor, which runs many of them at once."
        )
    if not callable(target):
        raise OptionError(f"@rustray.remote is for functions and classes, not for {kind_of(target)}.")
    return RemoteFunction(target, TaskOptions.build(options))


def get(refs: Any, *, timeout: float | None = None) -> Any:
    """The value of a ref, or the list of values of a list of refs; waits for them.

    Arrays in it that lie in shared memory are read-only views.

    Parameters
    ----------
    timeout: seconds to wait at most.

    Raises
    ------
    GetTimeoutError: when `timeout` has passed. TaskError: what the task raised, also an instance of that type.
    """
    session = current()
    if type(refs) is ObjectRef:
        entry = refs._entry
        if entry.state == VALUE and refs._table.session is session:
            return session.reader.value_of(entry)
        _check_refs((refs,), session, "get")
        return _values(session, (refs,), timeout)[0]
    if isinstance(refs, ObjectRefGenerator):
        return _values(session, list(refs), timeout)
    if not isinstance(refs, list | tuple):
        raise TypeError(f"get() takes an ObjectRef or a list of them, not {kind_of(refs)}: {_short(refs)}.")
    _check_refs(refs, session, "get")
    return _values(session, refs, timeout)


def _values(session: Session, refs: Sequence[ObjectRef], timeout: float | None) -> list[Any]:
    try:
        return session.reader.get(refs, timeout)
    except RustRayError as error:
        # Its text has the frames of the task. Ours, down to where it was taken out of its envelope, tell nothing.
        raise error.with_traceback(None) from error.__cause__


def _check_refs(refs: Sequence[Any], session: Session, call: str) -> None:
    for ref in refs:
        if type(ref) is not ObjectRef:
            raise TypeError(f"{call}() takes ObjectRefs; one of them is {kind_of(ref)}: {_short(ref)}.")
        if ref._table.session is not session:
            raise SessionError.shut_down(f"{call}()")


def _check_waitable(refs: Sequence[Any], session: Session) -> None:
    if any(isinstance(ref, ObjectRefGenerator) for ref in refs):
        for ref in refs:
            if isinstance(ref, ObjectRefGenerator) and ref.stream.session is not session:
                raise SessionError.shut_down("wait()")
        refs = [ref for ref in refs if not isinstance(ref, ObjectRefGenerator)]
    _check_refs(refs, session, "wait")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


def put(value: Any) -> ObjectRef:
    """Store a value in the cluster; big ones go to shared memory, from where tasks read them without a copy.

    Raises
    ------
    ObjectStoreFullError: there is no room, not on disk either, for all is being read or written; it says by whom. Who
        stores a value, `put` or a task, waits 3 s for others to make room.
    """
    if type(value) is ObjectRef:
        raise TypeError("put() takes a value, not an ObjectRef: the ref can be passed on as it is.")
    session = auto_init()
    session.check_open()
    return session.writer.put(value)


def wait(
    refs: list[Any], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
) -> tuple[list[Any], list[Any]]:
    """Wait until `num_returns` of `refs` are ready: (ready, not ready), each in the order given.

    Parameters
    ----------
    refs: also generators of refs, which are ready when the next ref, or the end, is there.
    timeout: seconds; then what is ready until now is returned, perhaps fewer. 0 looks without waiting.
    fetch_local: kept for Ray's sake: objects are fetched when they are read.
    """
    session = current()
    if isinstance(refs, ObjectRef) or not isinstance(refs, list | tuple):
        raise TypeError(f"wait() takes a list of ObjectRefs, not {kind_of(refs)}.")
    _check_waitable(refs, session)
    if len(set(refs)) != len(refs):
        raise ValueError("wait() was given the same ObjectRef twice.")
    if not isinstance(num_returns, int) or not 0 < num_returns:
        raise ValueError(f"wait(num_returns={num_returns!r}): give a whole number from 1 on.")
    if not refs:
        return [], []
    if num_returns > len(refs):
        raise ValueError(f"wait(num_returns={num_returns}): there are only {len(refs)} refs.")
    return session.reader.wait(refs, num_returns, timeout)


def cancel(ref: Any, *, force: bool = False, recursive: bool = True) -> None:
    """Cancel the task that makes `ref`: it is dropped if it waits, gets a KeyboardInterrupt if it runs.

    Its refs raise TaskCancelledError. A finished task is left alone.

    Parameters
    ----------
    ref: of a task that this process has submitted, or of a `%%remote -b` cell; or the id of such a task, as
        `ref.task_id()` gives it.
    force: kill the worker that runs it. Not for actors' methods (ValueError): kill the actor.
    recursive: also what the task has submitted itself.
    """
    session = current()
    if isinstance(ref, str):
        task = _task_with_id(session, ref)
    elif isinstance(ref, ObjectRefGenerator):
        task = ref.task
    else:
        _check_refs((ref,), session, "cancel")
        task = ref._entry.task
        if not ref._entry.owned:
            if (other := submitter_of(session, ref)) is not None:
                return other.cancel(ref, force, recursive)
            raise ValueError(
                "cancel() is for the process that submitted the task; this ref came from another one."
            )
    if task is not None and not isinstance(task, str):
        if force and hasattr(task.target, "on_channel"):
            raise ValueError("cancel(force=True) is not for methods of an actor: use kill(actor).")
        session.tasks.cancel(task, force, recursive)


def _task_with_id(session: Session, task_id: str) -> Task | None:
    """None if it has ended; ValueError if this process has submitted no such task."""
    try:
        oid = bytes.fromhex(task_id).ljust(ids.OBJECT_ID_BYTES, b"\0")
    except ValueError:
        oid = b""
    if len(oid) != ids.OBJECT_ID_BYTES or ids.owner_of(oid) != session.client:
        raise ValueError(
            f"cancel() is for the process that submitted the task; {task_id!r} is the id of none of this one."
        )
    return next((task for task in unfinished(session, 0) if task.number == ids.number_of(oid)), None)


def cancel_all() -> Stopped:
    """Cancel all tasks and calls that this process has submitted, within two seconds; what goes on then is killed.

    Calls that an actor runs are asked to end, and no more: `kill` ends an actor. Gives what became of them, which
    tells it as text too.
    """
    session = current()
    return stop_and_wait(
        session, [task for task in unfinished(session, 0) if not stop_button.is_spared(task.target)]
    )


def logs(ref: ObjectRef) -> TaskLog:
    """What the task that makes this object has printed and displayed so far: text, and in a notebook its displays too.

    The last million characters of a task are kept, and those of the latest tasks only, in the process that submitted
    them; OptionError if that was another one. Of a `%%remote -b` cell it is what the whole cell has shown.
    """
    session = current()
    _check_refs([ref], session, "logs")
    oid = ref.binary()
    if ids.owner_of(oid) != session.client:
        if (other := submitter_of(session, ref)) is not None:
            return other.log(ref)
        raise OptionError(
            "rustray.logs() tells what tasks have printed that this process has submitted, and this object is "
            "another's. Call it where its task was submitted."
        )
    return session.output.logs.of(ids.number_of(oid))


def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """End an actor at once; its running calls fail. With ``no_restart=False`` it restarts if it may."""
    if not isinstance(actor, ActorHandle):
        raise ValueError(f"kill() takes an actor's handle, not {kind_of(actor)}; cancel() is for tasks.")
    current().check_open()
    actor._channel.kill(no_restart)


def get_actor(name: str, namespace: str | None = None) -> ActorHandle:
    """The handle of a living actor by its name; ActorNotFoundError (a ValueError) when there is none."""
    session = current()
    if not name:
        raise ValueError("get_actor() needs a name.")
    actor, handle = session.requests.query("actor_named", name, namespace or session.info["namespace"])
    return ActorHandle.of(session, actor, handle)


def nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster, one dict each, with Ray's keys; then those that have left it or were lost of late.

    "NodeID" (its name), "Alive", "NodeManagerAddress" ("127.0.0.1" of a node that others cannot reach),
    "NodeManagerPort" (0 likewise), "NodeManagerHostname" and "NodeName" (both its host), "Resources" (memory in bytes;
    {} of one that is gone), "Labels", and "DeathReasonMessage": why it is gone, "" while it lives. What Ray's rows do
    not have is "Available": what of its resources is free.
    """
    return [_node(row) for row in current().requests.query("nodes", False, True)]


def _node(row: dict[str, Any]) -> dict[str, Any]:
    alive = row.get("alive", True)
    host, port = split_address(row["address"]) if row.get("address") else ("127.0.0.1", 0)
    return {
        "NodeID": row["name"],
        "Alive": alive,
        "NodeManagerAddress": host,
        "NodeManagerHostname": row.get("hostname", ""),
        "NodeManagerPort": port,
        "NodeName": row.get("hostname", ""),
        "Resources": row.get("resources", {}),
        "Labels": row["labels"],
        "Available": row.get("available", {}),
        "DeathReasonMessage": row.get("cause", ""),
        "alive": alive,
    }


def cluster_resources() -> dict[str, float]:
    """What the cluster offers in all: {"CPU": 2.0, ...}; memory in bytes."""
    total: dict[str, float] = current().requests.query("resources")[0]
    return total


def available_resources() -> dict[str, float]:
    """What of it is free now."""
    free: dict[str, float] = current().requests.query("resources")[1]
    return {name: amount for name, amount in free.items() if amount > 0}


def get_gpu_ids() -> list[int]:
    """The GPUs that this task or actor has."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [int(device) for device in visible.split(",") if device.strip().isdigit()]
