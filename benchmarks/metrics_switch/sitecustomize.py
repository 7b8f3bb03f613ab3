"""Makes what a process of RustRay measures depend on a byte of a file: see metrics_cost.py, which puts this folder on
PYTHONPATH, so that Python imports this module first in every process.

The methods that collect are replaced as soon as their module is imported. Forked workers share the page.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib.machinery import PathFinder
from typing import Any

COLLECTING: dict[str, dict[str, tuple[str, ...]]] = {
    "rustray.worker.figures": {"WorkerFigures": ("begin", "end", "tick")},
    "rustray.driver.figures": {"Figures": ("answered",), "Telling": ("tick",)},
    "rustray.driver.tasks": {"Tasks": ("count",)},
    "rustray.node.monitor": {"Monitor": ("_sample",)},
    "rustray.node.neighbours": {"Neighbours": ("measure",)},
}
"""By module and class."""


def switched(method: Callable[..., Any], page: mmap.mmap) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **more: Any) -> Any:
        return method(*args, **more) if page[0] else None

    return call


class Finder(PathFinder):
    """Replaces the methods right after their module has run."""

    page: mmap.mmap

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in COLLECTING:
            return None
        spec = super().find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_replace(module: Any) -> None:
            run(module)
            for kind, methods in COLLECTING[name].items():
                for method in methods:
                    of = getattr(module, kind)
                    setattr(of, method, switched(getattr(of, method), cls.page))

        spec.loader.exec_module = run_and_replace  # type: ignore[method-assign]
        return spec


if path := os.environ.get("RUSTRAY_METRICS_SWITCH"):
    with open(path, "r+b") as file:
        Finder.page = mmap.mmap(file.fileno(), 1)
    sys.meta_path.insert(0, Finder)
