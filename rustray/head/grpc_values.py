"""Messages of rustray.proto to what the gateway takes, and back."""

from __future__ import annotations

import hashlib
from typing import Any

from rustray.error_packing import ErrorSummary
from rustray.errors import OptionError
from rustray.head.gateway import Gateway, Parts
from rustray.wire import rustray_pb2 as pb
from rustray.worker import plain_call

CHUNK_BYTES = 1 << 20
INLINE_BYTES = 1 << 20
"""A bigger value is not in a `TaskResult`, but streamed by GetObject."""


def code_of(code: pb.Code, what: str) -> Any:
    """The function or class a client names."""
    if code.WhichOneof("kind") == "pickle":
        return plain_call.PickledCode(code.pickle)
    if code.WhichOneof("kind") == "path":
        return plain_call.ImportedCode(code.path)
    raise OptionError(f"The {what} is missing: give its pickle, or its path 'module:qualified.name'.")


def digest_of(*messages: Any) -> bytes:
    """What tells functions and their options apart."""
    digest = hashlib.blake2b(digest_size=16)
    for message in messages:
        data = message.SerializeToString(deterministic=True)
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


def arguments_of(gateway: Gateway, arguments: pb.Arguments) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments, as `Gateway.submit` takes them."""
    positional = [_argument(gateway, value) for value in arguments.positional]
    return positional, {name: _argument(gateway, value) for name, value in arguments.keyword.items()}


def _argument(gateway: Gateway, value: pb.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "pickle":
        return plain_call.PickledValue(value.pickle.data, value.pickle.buffers)
    if kind == "json":
        return plain_call.JsonValue(value.json)
    if kind == "ref":
        return gateway.ref(value.ref)
    raise OptionError("An argument has no value: give a pickle, JSON, or the id of an object.")


def options_of(message: Any) -> dict[str, Any]:
    """The options that a client has set, by their names in Python."""
    options: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == "runtime_env":
            options["runtime_env"] = env_of(value)
        elif field.name == "resources":
            options["resources"] = dict(value)
        elif field.name == "detached":
            options["lifetime"] = "detached"
        else:
            options[field.name] = value
    return options


def env_of(message: pb.RuntimeEnv) -> dict[str, Any]:
    """A runtime environment as a user of `init` gives it."""
    return {
        "env_vars": dict(message.env_vars),
        "working_dir": message.working_dir,
        "py_modules": list(message.py_modules),
    }


def error_message(error: ErrorSummary) -> pb.TaskError:
    """What is told of a failed task."""
    return pb.TaskError(
        type=error.type_name,
        message=error.message,
        function=error.function_name,
        traceback=error.traceback,
    )


def size_of(parts: Parts) -> int:
    """Bytes of a value."""
    return sum(part_sizes(parts))


def part_sizes(parts: Parts) -> list[int]:
    """Bytes of the pickle and of each buffer."""
    return [len(parts[0]), *(memoryview(buffer).nbytes for buffer in parts[1])]


def value_message(parts: Parts) -> pb.Value:
    """A value in one message."""
    buffers = [bytes(buffer) for buffer in parts[1]]
    return pb.Value(pickle=pb.Pickle(data=bytes(parts[0]), buffers=buffers))


def split(data: memoryview, sizes: list[int]) -> Parts:
    """The pickle and buffers in the data of a put. OptionError."""
    if not sizes:
        return bytes(data), ()
    if sum(sizes) != len(data):
        raise OptionError(f"part_sizes add up to {sum(sizes)} bytes, but {len(data)} came.")
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return bytes(parts[0]), parts[1:]
