"""Ray's names for the errors, so that code for `ray.exceptions` only changes its import."""

from __future__ import annotations

from rustray.errors import (
    ActorAlreadyExistsError,
    ActorDiedError,
    ActorError,
    ActorNotFoundError,
    ActorUnavailableError,
    AuthenticationError,
    ClusterStartError,
    DeserializationError,
    GetTimeoutError,
    InfeasibleError,
    ObjectLostError,
    ObjectReconstructionFailedError,
    ObjectStoreFullError,
    OptionError,
    OutOfMemoryError,
    OwnerDiedError,
    PendingCallsLimitExceeded,
    PlacementGroupNotFoundError,
    RuntimeEnvSetupError,
    RustRayError,
    SerializationError,
    SessionError,
    TaskCancelledError,
    TaskError,
    WorkerCrashedError,
    WorkerExitedError,
)

RayError = RustRayError
RayTaskError = TaskError
RayActorError = ActorError
RaySystemError = SessionError
LocalRayletDiedError = SessionError
ActorHandleNotFoundError = ActorNotFoundError
TaskUnschedulableError = InfeasibleError
ActorUnschedulableError = InfeasibleError
UnserializableException = DeserializationError

__all__ = [
    "ActorAlreadyExistsError",
    "ActorDiedError",
    "ActorError",
    "ActorHandleNotFoundError",
    "ActorNotFoundError",
    "ActorUnavailableError",
    "ActorUnschedulableError",
    "AuthenticationError",
    "ClusterStartError",
    "DeserializationError",
    "GetTimeoutError",
    "InfeasibleError",
    "LocalRayletDiedError",
    "ObjectLostError",
    "ObjectReconstructionFailedError",
    "ObjectStoreFullError",
    "OptionError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "PendingCallsLimitExceeded",
    "PlacementGroupNotFoundError",
    "RayActorError",
    "RayError",
    "RaySystemError",
    "RayTaskError",
    "RuntimeEnvSetupError",
    "RustRayError",
    "SerializationError",
    "SessionError",
    "TaskCancelledError",
    "TaskError",
    "TaskUnschedulableError",
    "UnserializableException",
    "WorkerCrashedError",
    "WorkerExitedError",
]
