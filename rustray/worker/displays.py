"""Rich displays in a worker: what IPython and matplotlib show there becomes messages to the cell.

Neither is imported here. What is theirs is put in place right after the user's code has imported them, so a task
without them pays nothing.
"""

from __future__ import annotations

import base64
import builtins
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from rustray.driver.flood import Pace
from rustray.worker import figure_style

OF_THE_KERNEL = "application/vnd.jupyter.widget-view+json"
"""A widget's view: it is nothing without its model, which is in this process and not in the notebook's kernel."""
MAX_CHARS = 10 << 20
"""Of one display, as JSON; images are in base64 there."""
SENT = Pace(burst=64 << 20, per_second=4 << 20)
"""All displays of a process."""

Publish = Callable[..., None]
"""Called with the type of a Jupyter message and its content, "data", "metadata" and "transient"."""


BACKEND = "module://rustray.worker.plots"
INLINE = "matplotlib_inline.backend_inline"

publish: Publish
"""Set by `install`. matplotlib loads its backend by name, and gives it nothing."""


def install(to: Publish) -> None:
    """Have displays of this process published."""
    global publish
    publish = to
    builtins.display = display  # type: ignore[attr-defined]  # notebooks have it without an import

    def after_ipython() -> None:
        from rustray.worker.task_shell import TaskShell

        TaskShell.install(to)

    def after_matplotlib() -> None:
        import os

        import matplotlib

        # What the driver's kernel has set, its own, needs that kernel. Another one is the user's choice.
        if os.environ.get("MPLBACKEND", "").removeprefix("module://") in ("", "inline", INLINE):
            matplotlib.rcParams["backend"] = BACKEND
        figure_style.apply()

    hook = AfterImport({"IPython": after_ipython, "matplotlib": after_matplotlib})
    sys.meta_path.insert(0, hook)


def display(*objects: Any, **options: Any) -> Any:
    """As IPython's `display`; without IPython, prints them."""
    try:
        from IPython.display import display as show
    except ImportError:
        print(*objects)
        return None
    return show(*objects, **options)  # type: ignore[no-untyped-call]


class AfterImport:
    """A finder of modules that calls something when one of them has been imported for the first time.

    Parameters
    ----------
    calls: by the module's name.
    """

    def __init__(self, calls: dict[str, Callable[[], None]]) -> None:
        self._calls = calls

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that the next finders have, with a loader that makes the call."""
        call = self._calls.get(name)
        if call is None:
            return None
        finders = [finder for finder in sys.meta_path if finder is not self]
        spec = next((found for finder in finders if (found := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                if self._calls.pop(name, None) is not None:
                    call()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def packed(content: dict[str, Any]) -> str:
    """A message's content as JSON; what is too big or no JSON is left out, and a text says so.

    Widgets are their text.
    """
    data = content.get("data", {})
    if OF_THE_KERNEL in data:
        content = {**content, "data": {kind: value for kind, value in data.items() if kind != OF_THE_KERNEL}}
    try:
        text = json.dumps(content, default=_plain)
    except (TypeError, ValueError) as error:
        return without(content, f"it is no JSON: {error}")
    if len(text) > MAX_CHARS:
        return without(content, f"{len(text) / 1e6:.0f} MB, and at most {MAX_CHARS / 1e6:.0f} are shown")
    return text


def without(content: dict[str, Any], why: str) -> str:
    """The content with nothing but text, which tells what is missing."""
    data = content.get("data", {})
    plain = str(data.get("text/plain", ""))[:1000]
    told = (
        f"{plain} [{', '.join(kind for kind in data if kind != 'text/plain') or 'display'} not shown: {why}]"
    )
    left = {**content, "data": {"text/plain": told.lstrip()}, "metadata": {}} if data else content
    return json.dumps(left, default=repr)


def _plain(value: Any) -> Any:
    """What JSON has no word for: bytes, as Jupyter sends images, and scalars of NumPy."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if callable(item := getattr(value, "item", None)):
        return item()
    raise TypeError(f"{type(value).__name__} is not of its types")
