"""What lets programs without RustRay, or without Python, have values and code on a cluster.

The gRPC service gets pickles, JSON and import paths, and must not load any of them: that would run a
client's code in the server. It wraps them in the classes here. Each pickles as a call which yields the real
thing, so the worker that unpickles it has the value, function or class itself, and runs it as any other.
"""

from __future__ import annotations

import importlib
import json
import pickle
from collections.abc import Sequence
from typing import Any

from rustray.driver.actor_class import ActorClass
from rustray.driver.remote_function import RemoteFunction
from rustray.model.options import ActorOptions

Reduced = tuple[Any, ...]


class PickledValue:
    """Becomes what `data` and its out-of-band `buffers` hold."""

    def __init__(self, data: bytes, buffers: Sequence[bytes] = ()) -> None:
        self.data = data
        self.buffers = buffers

    def __reduce__(self) -> Reduced:
        return load_pickle, (self.data, *map(pickle.PickleBuffer, self.buffers))


class JsonValue:
    """Becomes what the JSON `text` says."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> Reduced:
        return json.loads, (self.text,)


class PickledCode:
    """Becomes a pickled function or class."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> Reduced:
        return load_code, (self.data,)


class ImportedCode:
    """Becomes the function or class at `path`, "module:qualified.name"."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Reduced:
        return import_code, (self.path,)


def load_pickle(data: bytes, *buffers: Any) -> Any:
    """The pickled value."""
    return pickle.loads(data, buffers=buffers)


def load_code(data: bytes) -> Any:
    """The pickled function or class."""
    return _undecorated(pickle.loads(data))


def import_code(path: str) -> Any:
    """The function or class at `path`; ValueError if that is no path."""
    module, colon, qualname = path.partition(":")
    if not (module and colon and qualname):
        raise ValueError(f"{path!r} is not of the form 'module:qualified.name'.")
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return _undecorated(found)


def _undecorated(code: Any) -> Any:
    if isinstance(code, RemoteFunction):
        return code._function
    if isinstance(code, ActorClass):
        return code._cls
    return code


def read_json(text: bytes) -> Any:
    """As a task: the value that JSON says."""
    return json.loads(text)


def write_json(value: Any) -> pickle.PickleBuffer:
    """As a task: `value` as JSON, in a buffer of its own, where it is found without unpickling.

    Arrays and numbers of NumPy become lists and numbers. TypeError or ValueError for what JSON has not.
    """
    text = json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False)
    return pickle.PickleBuffer(text.encode())


def _plain(value: Any) -> Any:
    tolist = getattr(value, "tolist", None)  # NumPy's, without importing it
    if tolist is None:
        raise TypeError(f"A {type(value).__name__} cannot be told in JSON: ask for the result as a pickle.")
    return tolist()


def class_facts(cls: Any) -> pickle.PickleBuffer:
    """As a task: what callers must know of an actor class, as JSON of `ClassFacts`' fields."""
    if not isinstance(cls, type):
        raise TypeError(f"An actor is made of a class, not of a {type(cls).__name__}.")
    return pickle.PickleBuffer(json.dumps(ActorClass(cls, ActorOptions()).facts()).encode())
