"""The errors that an owner gives to objects which will never have a value, packed as they carry them."""

from __future__ import annotations

from rustray.error_packing import error_text, pack_system_error, unpack_error
from rustray.errors import ObjectLostError, OwnerDiedError
from rustray.task_error import TaskError, plain

typed = pack_system_error
unpack = unpack_error
text = error_text


def cause_of(payload: bytes) -> BaseException | None:
    """The exception that the user's code raised, None when it was not his code that failed."""
    error = unpack_error(payload)
    return plain(error).cause if isinstance(error, TaskError) else None


def object_lost(oid: bytes) -> bytes:
    """For an object of which no copy is left and which nobody can make again."""
    return typed(
        ObjectLostError(
            f"Object {oid.hex()} is lost: no copy of its value is left and it cannot be made again (it came "
            "from put(), from an actor, or from a task with max_retries=0). Run what made it once more.",
            object_id=oid,
        )
    )


def owner_died(oid: bytes) -> bytes:
    """For an object whose owner has ended; its id does not say whether it came from a task or from `put`."""
    return typed(
        OwnerDiedError(
            f"Object {oid.hex()} is lost: the process that owned it (it called put() or submitted the task) has ended. "
            "Keep that driver, task or actor alive until the value is taken, or return values, not refs.",
            object_id=oid,
        )
    )
