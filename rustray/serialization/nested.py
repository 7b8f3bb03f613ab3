"""Which references lie inside a value that is being pickled.

A reference reports itself, from its `__reduce__`, to the collector of its thread. With no collector somebody
pickles it by himself (`pickle.dumps(ref)`): that is for the hook of the session, because such a reference
may be unpickled at any time, by anybody, and its object must live until then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any


class _Thread(threading.local):
    collector: list[Any] | None = None


_thread = _Thread()
_outside: Callable[[Any], None] | None = None


def note_ref(ref: Any) -> None:
    """Report `ref` as pickled. To be called by `__reduce__` of refs and of actor handles."""
    collector = _thread.collector
    if collector is not None:
        collector.append(ref)
    elif _outside is not None:
        _outside(ref)


def current_collector() -> list[Any] | None:
    """The list that takes the references pickled in this thread now; None outside `collecting`."""
    return _thread.collector


def on_ref_pickled_outside(hook: Callable[[Any], None] | None) -> None:
    """Have `hook(ref)` called for each reference that is pickled outside `collecting`. None: nothing is."""
    global _outside
    _outside = hook


class collecting:
    """`with collecting() as refs:` gathers the references pickled in this thread. May be nested."""

    __slots__ = ("_before", "refs")

    def __init__(self) -> None:
        self.refs: list[Any] = []

    def __enter__(self) -> list[Any]:
        self._before = _thread.collector
        _thread.collector = self.refs
        return self.refs

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _thread.collector = self._before
