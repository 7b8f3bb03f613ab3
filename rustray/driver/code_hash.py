"""A hash of what a function does, the same in every process and wherever its source lies.

The pickle of a function tells the file and the line too, and a kernel gives each cell a file of another name. For
estimates that are kept across runs that would be another function every time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

HASH_BYTES = 16


def code_hash(function: Callable[..., Any]) -> bytes | None:
    """The hash of a function's name and code, and of those that it wraps; None for what is not written in Python."""
    digest = hashlib.sha1(usedforsecurity=False)
    seen: set[int] = set()
    one: Any = function
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        code = getattr(one, "__code__", None)
        if not isinstance(code, CodeType):
            break
        named = f"{getattr(one, '__module__', '')}.{getattr(one, '__qualname__', '')}"
        digest.update(named.encode(errors="surrogateescape"))
        for part in _parts(code):
            digest.update(part)
        one = getattr(one, "__wrapped__", None)
    return digest.digest()[:HASH_BYTES] if one is not function else None


def _parts(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars)).encode(errors="surrogateescape")
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _parts(value)
        elif isinstance(value, frozenset):  # its order is another in each process
            yield repr(sorted(map(repr, value))).encode(errors="surrogateescape")
        else:
            yield repr(value).encode(errors="surrogateescape")
