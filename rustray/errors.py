"""Everything that RustRay raises, in one hierarchy under `RustRayError`.

    RustRayError
    ├── TaskError                     the user's function raised; also an instance of what it raised
    ├── TaskCancelledError
    ├── WorkerCrashedError            the process under a task ended
    │   └── WorkerExitedError         ... because the task called sys.exit()
    ├── OutOfMemoryError
    ├── ActorError
    │   ├── ActorDiedError            for good
    │   ├── ActorUnavailableError     for now: it is restarting
    │   ├── ActorAlreadyExistsError   (ValueError)
    │   └── ActorNotFoundError        (ValueError)
    ├── PlacementGroupNotFoundError   (ValueError)
    ├── PendingCallsLimitExceeded
    ├── ObjectStoreFullError
    ├── ObjectLostError
    │   ├── OwnerDiedError
    │   └── ObjectReconstructionFailedError
    ├── GetTimeoutError               (TimeoutError)
    ├── InfeasibleError
    ├── RuntimeEnvSetupError
    ├── SerializationError            (TypeError)
    │   └── DeserializationError
    ├── OptionError                   (ValueError, TypeError)
    ├── SessionError                  (RuntimeError)
    ├── AuthenticationError
    ├── NotCommittedError
    └── ClusterStartError
        ├── ClusterStateError         what a head had written to disk is damaged
        └── VersionMismatchError      this Python or RustRay is not the cluster's

Rule 1. A message says what happened, where, and what to do about it.
Rule 2. `type(error)(message)` is a valid call and all else is instance attributes, so that the stock
        `__reduce__` of exceptions carries every one of them between processes.
"""

from __future__ import annotations

from collections.abc import Mapping

from rustray.task_error import RustRayError, TaskError

__all__ = [
    "ActorAlreadyExistsError",
    "ActorDiedError",
    "ActorError",
    "ActorNotFoundError",
    "ActorUnavailableError",
    "AuthenticationError",
    "ClusterStartError",
    "ClusterStateError",
    "DeserializationError",
    "GetTimeoutError",
    "InfeasibleError",
    "NotCommittedError",
    "ObjectLostError",
    "ObjectReconstructionFailedError",
    "ObjectStoreFullError",
    "OptionError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "PendingCallsLimitExceeded",
    "PlacementGroupNotFoundError",
    "RuntimeEnvSetupError",
    "RustRayError",
    "SerializationError",
    "SessionError",
    "TaskCancelledError",
    "TaskError",
    "VersionMismatchError",
    "WorkerCrashedError",
    "WorkerExitedError",
]


class TaskCancelledError(RustRayError):
    """The task was cancelled, by `rustray.cancel` or by interrupting the cell that submitted it."""

    def __init__(self, message: str = "The task was cancelled.", *, task_id: bytes | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id

    @classmethod
    def of(cls, function_name: str, task_id: bytes | None = None) -> TaskCancelledError:
        """The error of the cancelled task `function_name`."""
        named = f" (task {task_id.hex()})" if task_id else ""
        message = f"{function_name}(){named} was cancelled. Submit it again if you need its value."
        return cls(message, task_id=task_id)


class WorkerCrashedError(RustRayError):
    """The worker process ended while it ran the task.

    Parameters
    ----------
    message: what happened, where, what to do.
    exit_code: as `subprocess` gives it: the exit status, or minus the signal's number. None: not known.
    """

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class WorkerExitedError(WorkerCrashedError):
    """The task ended its own process, with `sys.exit()` or `os._exit()`."""


class OutOfMemoryError(RustRayError):
    """The node ended the task's worker before the machine ran out of memory."""


class ActorError(RustRayError):
    """An actor could not answer a call."""

    def __init__(self, message: str, *, actor_id: bytes | None = None) -> None:
        super().__init__(message)
        self.actor_id = actor_id


class ActorDiedError(ActorError):
    """The actor is gone for good: it was killed, its `__init__` failed, or its restarts are used up."""


class ActorUnavailableError(ActorError):
    """The actor cannot be reached now, for example while it restarts. The call may have run or not."""


class ActorAlreadyExistsError(ActorError, ValueError):
    """The name is taken in its namespace. `get_if_exists=True` gives the actor that has it."""


class ActorNotFoundError(ActorError, ValueError):
    """No living actor has this name in this namespace, or the handle is of another session."""


class PlacementGroupNotFoundError(RustRayError, ValueError):
    """No placement group has this name in this namespace, or it was removed long ago."""


class PendingCallsLimitExceeded(RustRayError):
    """The actor has `max_pending_calls` calls waiting. Wait for some of them, or raise the limit."""


class ObjectStoreFullError(RustRayError):
    """The object does not fit into the shared memory of the node."""

    @classmethod
    def of(cls, size: int, used: int, capacity: int) -> ObjectStoreFullError:
        """The error of an object of `size` bytes, with `used` of `capacity` bytes taken."""
        mib = 2**20
        return cls(
            f"An object of {size / mib:.1f} MiB does not fit into the object store: {used / mib:.1f} of "
            f"{capacity / mib:.1f} MiB are in use. Drop references (del ref, and arrays made from them) that "
            "you no longer need, or start with init(object_store_memory=BYTES)."
        )


class ObjectLostError(RustRayError):
    """The object's value is gone and cannot be had again."""

    def __init__(self, message: str, *, object_id: bytes | None = None) -> None:
        super().__init__(message)
        self.object_id = object_id


class OwnerDiedError(ObjectLostError):
    """The process that made the reference (called `.remote()` or `put`) ended, and the value with it."""


class ObjectReconstructionFailedError(ObjectLostError):
    """The object was lost, and running its task again did not bring it back."""


class GetTimeoutError(RustRayError, TimeoutError):
    """`get` waited as long as `timeout` allowed."""

    @classmethod
    def of(cls, pending: int, count: int, timeout: float) -> GetTimeoutError:
        """The error of a `get` of `count` refs, `pending` of them without a value after `timeout` seconds."""
        return cls(
            f"get() waited {timeout:g} s, and {pending} of {count} object(s) are not ready yet. "
            "Their tasks go on: call get() again, use wait() to take what is ready, or cancel() them."
        )


class InfeasibleError(RustRayError):
    """No node of the cluster could ever meet the request.

    Parameters
    ----------
    message: what happened, where, what to do.
    missing: what is asked for and not there, as {resource: amount asked for}.
    available: what the cluster has in all, as {resource: amount}.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: Mapping[str, float] | None = None,
        available: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(message)
        self.missing = dict(missing or {})
        self.available = dict(available or {})

    @classmethod
    def of(cls, what: str, request: Mapping[str, float], available: Mapping[str, float]) -> InfeasibleError:
        """The error of `what` (as "f()") that asks for `request`, where `available` is all there is."""
        missing = {name: amount for name, amount in request.items() if amount > available.get(name, 0)}
        asked = ", ".join(f"{amount:g} {name}" for name, amount in missing.items())
        has = ", ".join(f"{amount:g} {name}" for name, amount in sorted(available.items())) or "nothing"
        return cls(
            f"{what} can never run: it asks for {asked or 'more than any one node has'}. "
            f"The cluster has {has}. "
            "Ask for less, or start the cluster with more (init(num_cpus=, num_gpus=, resources=)).",
            missing=missing,
            available=available,
        )


class RuntimeEnvSetupError(RustRayError):
    """The runtime environment of a job, task or actor could not be prepared."""


class SerializationError(RustRayError, TypeError):
    """A value cannot travel between processes.

    Parameters
    ----------
    message: what happened, where, what to do.
    path: the way from the value to the member that cannot be pickled, as "['db'].conn"; "" for itself.
    reason: what pickle said of that member.
    """

    def __init__(self, message: str, *, path: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason


class DeserializationError(SerializationError):
    """A value that arrived cannot be rebuilt in this process, for example because a module is missing."""


class OptionError(RustRayError, ValueError, TypeError):
    """An option that does not exist, or has a value that is not allowed."""


class SessionError(RustRayError, RuntimeError):
    """The call needs a session in another state: none yet, already one, shut down, lost, or forked."""

    @classmethod
    def not_initialised(cls, call: str) -> SessionError:
        """`call` (as "get()") was made without a session."""
        return cls(f"{call} needs a cluster, and this process has none. Call rustray.init() first.")

    @classmethod
    def already_initialised(cls) -> SessionError:
        """`init` was called in a session."""
        return cls(
            "init() was called, but this process is already connected to a cluster. "
            "Call rustray.shutdown() first, or init(ignore_reinit_error=True) to keep the present one."
        )

    @classmethod
    def already_a_worker(cls) -> SessionError:
        """`init` was called in a worker."""
        return cls(
            "init() was called in a task or an actor, whose process is connected to its cluster already: leave the "
            "call out there, or call init(ignore_reinit_error=True)."
        )

    @classmethod
    def shutdown_in_worker(cls) -> SessionError:
        """`shutdown` was called in a worker."""
        return cls(
            "shutdown() was called in a task or an actor, whose process belongs to the cluster and cannot leave it: "
            "leave the call out there. The program that has called init() calls shutdown(); a task ends when it "
            "returns, an actor by rustray.actor.exit_actor()."
        )

    @classmethod
    def shut_down(cls, call: str) -> SessionError:
        """`call` was made with a ref or handle of a session that has ended."""
        return cls(
            f"{call} uses something from a session that was shut down. Its tasks, actors and objects ended "
            "with it: call rustray.init() and submit the work again."
        )

    @classmethod
    def forked(cls, call: str, parent: int) -> SessionError:
        """`call` was made in a child that process `parent` forked after `init`."""
        return cls(
            f"{call} was called in a fork of the driver (process {parent}), whose connections cannot be "
            "shared. Use rustray in the parent only, start the child by 'spawn', or call init() in it."
        )

    @classmethod
    def lost(cls, call: str, cause: str) -> SessionError:
        """`call` was under way when the connection to the cluster ended because of `cause`."""
        return cls(
            f"{call} could not finish: the connection to the cluster was lost ({cause}). "
            "Call rustray.shutdown() and rustray.init() to start again."
        )


class AuthenticationError(RustRayError):
    """The cluster's token is missing or wrong, or others can read what proves that one belongs to the cluster."""


class ClusterStartError(RustRayError):
    """The cluster's processes did not start."""


class ClusterStateError(ClusterStartError):
    """What a head has written to disk is damaged, or is not of this cluster; the head does not start with it."""

    @classmethod
    def damaged(cls, place: str, what: str) -> ClusterStateError:
        """The error of a journal or snapshot at `place`, of which `what` is wrong."""
        return cls(
            f"The head's memory in {place} is damaged: {what}. Look for a failing disk, or for whoever changed the "
            "files. While the other heads are well, move the folder away and start this head with an empty one: it "
            "receives all from them. A single head needs the folder from a backup."
        )


class VersionMismatchError(ClusterStartError):
    """A program or node has another minor version of Python, or another RustRay, than the cluster it is to join."""


class NotCommittedError(RustRayError):
    """The heads have refused a change of the cluster's facts, or could not agree on it in time."""


def exit_text(exit_code: int) -> str:
    """How a process ended, as "was killed by signal 11 (SIGSEGV)" or "exited with status 3"."""
    import signal

    if exit_code >= 0:
        return f"exited with status {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:  # a real-time signal has no name
        return f"was killed by signal {-exit_code}"
    return f"was killed by signal {-exit_code} ({name})"


def exit_advice(exit_code: int) -> str:
    """What to do about a process of the user's code that ended so."""
    import signal

    if exit_code >= 0:
        return "Return, or raise an exception, instead of ending the process."
    if exit_code == -signal.SIGKILL:
        return (
            "Something outside killed it: often the kernel, because memory ran out (see dmesg). "
            "Use less memory in a task, or run fewer at once (num_cpus=, memory=)."
        )
    if exit_code in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE, -signal.SIGABRT):
        return (
            "Compiled code crashed, or a recursion was too deep for the stack: run the function in your own "
            "process with faulthandler.enable() to see where."
        )
    return "The log may say why; max_retries= (of an actor max_restarts=) sets how often it is tried again."
