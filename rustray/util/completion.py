"""Results as they come, whatever their order: `as_completed` and `map_unordered`, as in `ray.util`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rustray.driver.api import get, wait
from rustray.driver.refs import ObjectRef
from rustray.driver.remote_function import RemoteFunction

CHUNK = 10
UNDER_WAY = 100


def as_completed(
    refs: Sequence[ObjectRef], *, chunk_size: int = CHUNK, yield_obj_refs: bool = False, **waiting: Any
) -> Iterator[Any]:
    """The values of `refs`, those that are ready first.

    Parameters
    ----------
    chunk_size: how many are waited for at a time; these come in their order. 1 gives each as soon as it is there.
    yield_obj_refs: give the refs, not their values.
    waiting: more for `wait`, as `timeout` (seconds).

    Raises
    ------
    ValueError: `chunk_size` is below 1, or `num_returns` is given. What a task raised, in the place of its value.
    """
    _check(chunk_size, waiting)
    left = list(refs)
    while left:
        ready, left = wait(left, num_returns=min(chunk_size, len(left)), **waiting)
        yield from ready if yield_obj_refs else get(ready)


def map_unordered(
    fn: RemoteFunction,
    items: Iterable[Any],
    *,
    backpressure_size: int | None = UNDER_WAY,
    chunk_size: int = CHUNK,
    yield_obj_refs: bool = False,
    **waiting: Any,
) -> Iterator[Any]:
    """The values of ``fn.remote(item)`` for each of `items`, those that are ready first.

    Parameters
    ----------
    backpressure_size: how many tasks may be under way; the next items are taken when some have ended. None for all.
    chunk_size, yield_obj_refs, waiting: see `as_completed`.

    Raises
    ------
    ValueError: as `as_completed`, or `backpressure_size` is not above 0.
    """
    _check(chunk_size, waiting)
    if backpressure_size is not None and backpressure_size <= 0:
        raise ValueError(f"backpressure_size={backpressure_size!r}: give a number from 1 on, or None.")
    most = math.inf if backpressure_size is None else backpressure_size
    under_way: list[ObjectRef] = []
    for item in items:
        under_way.append(fn.remote(item))
        while len(under_way) >= most:
            ready, under_way = wait(under_way, num_returns=min(chunk_size, len(under_way)), **waiting)
            yield from ready if yield_obj_refs else get(ready)
    yield from as_completed(under_way, chunk_size=chunk_size, yield_obj_refs=yield_obj_refs, **waiting)


def _check(chunk_size: int, waiting: dict[str, Any]) -> None:
    if chunk_size < 1:
        raise ValueError(f"chunk_size={chunk_size!r}: give a number from 1 on.")
    if "num_returns" in waiting:
        raise ValueError("Give chunk_size= in place of num_returns=.")
