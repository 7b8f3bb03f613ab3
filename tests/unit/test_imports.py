"""Imports run downward only, and what every client imports stays small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rustray

PACKAGE = Path(__file__).resolve().parents[2] / "rustray"

# From low to high. A module may import its own entry and lower layers, never a neighbour or a layer above.
# An entry stands for the module or package of that name and all inside it, except what has its own entry.
# "rustray" is rustray/__init__.py: the public names.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("rustray.exception_state", "rustray.traceback_text"),
    ("rustray.task_error",),
    ("rustray.errors",),
    ("rustray.exceptions",),
    ("rustray.model", "rustray.metrics"),
    ("rustray.snapshots",),
    ("rustray.runtime_env",),
    ("rustray.serialization",),
    ("rustray.error_packing",),
    ("rustray.private_files",),
    ("rustray.wire",),
    ("rustray.store", "rustray.scheduler", "rustray.cluster"),
    ("rustray.pids", "rustray.file_lock"),
    ("rustray.clusters.connection_file",),
    ("rustray.clusters.folder", "rustray.clusters.processes"),
    ("rustray.clusters.registry",),
    ("rustray.driver",),
    ("rustray.actor", "rustray.kv", "rustray.runtime_context", "rustray.status", "rustray.timeline", "rustray.util"),
    ("rustray.clusters",),
    ("rustray.explanation", "rustray.progress"),
    ("rustray.util.tqdm",),
    ("rustray",),
    ("rustray.worker",),
    ("rustray.daemon",),
    ("rustray.head",),
    ("rustray.node",),
    ("rustray.server",),
    ("rustray.testing",),
    ("rustray.dashboard",),
    ("rustray.jupyter",),
    ("rustray.cli",),
    ("rustray.__main__",),
)

# The only imports that run upward, and why.
UPWARD = {
    ("rustray.task_error", "rustray.error_packing"): "pickle asks the error itself how it is to be packed",
    ("rustray", "rustray.jupyter.loading"): "%load_ext rustray looks for its entry in the package itself",
}

# The cores that are plain state machines: they know values and errors, and neither sockets nor files.
PURE = ("rustray.store", "rustray.scheduler", "rustray.cluster", "rustray.metrics")
PURE_MAY_IMPORT = ("rustray.model", "rustray.task_error", "rustray.errors")

# What a driver or a worker must not load before the user's own code does: gRPC's threads do not survive a
# fork, and the rest is start-up time and memory, paid once a process.
HEAVY = (
    *("grpc", "google.protobuf", "numpy", "psutil", "IPython", "bokeh", "asyncio"),
    *("rustray.clusters", "jupyter_core"),
)


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name, the generated ones left out."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "_pb2" not in path.name:
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_by(module: str, path: Path) -> Iterator[tuple[str, int]]:
    """Every module of ours that `module` imports, at its top or inside a function, with the line."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parents = package.split(".")[: package.count(".") + 2 - node.level]
                source = ".".join([*parents, *filter(None, [source])])
            # `from rustray.model import ids` may name a module or a value: a value belongs to its module.
            names = [name if (name := f"{source}.{alias.name}") in ALL else source for alias in node.names]
        else:
            continue
        yield from ((name, node.lineno) for name in names if is_inside(name, "rustray"))


def is_inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def entry_of(module: str) -> tuple[int, str]:
    """The layer of a module, and the entry that stands for it there: the longest that matches."""
    matches = [
        (len(entry), height, entry)
        for height, layer in enumerate(LAYERS)
        for entry in layer
        if (module == entry if entry == "rustray" else is_inside(module, entry))
    ]
    assert matches, f"{module} has no place in LAYERS of {__file__}: say where it belongs"
    _, height, entry = max(matches)
    return height, entry


ALL = modules()


def test_imports_run_downward() -> None:
    upward = []
    for module, path in ALL.items():
        height, entry = entry_of(module)
        for name, line in imported_by(module, path):
            other_height, other = entry_of(name)
            if other != entry and other_height >= height and (module, name) not in UPWARD:
                upward.append(f"{path.relative_to(PACKAGE.parent)}:{line}: {module} imports {name}")
    assert not upward, "\n".join(upward)


def test_pure_cores_import_only_values_and_errors() -> None:
    outside = []
    for module, path in ALL.items():
        _, entry = entry_of(module)
        if entry in PURE:
            for name, line in imported_by(module, path):
                if entry_of(name)[1] not in (entry, *PURE_MAY_IMPORT):
                    outside.append(f"{path.relative_to(PACKAGE.parent)}:{line}: {module} imports {name}")
    assert not outside, "\n".join(outside)


def test_pysyncobj_stays_behind_one_file() -> None:
    users = {
        module
        for module, path in ALL.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom) and "pysyncobj" in ast.unparse(node)
    }
    assert users == {"rustray.head.raft_library"}


def test_clients_load_nothing_heavy() -> None:
    clients = [name for name in ALL if is_inside(name, "rustray.driver") or is_inside(name, "rustray.worker")]
    # What runs actors with async methods is imported by them, what is for IPython and matplotlib after these.
    after = {f"rustray.worker.{name}" for name in ("coroutines", "task_shell", "plots")}
    clients = [name for name in clients if name not in after]
    program = (
        "import importlib, sys\n"
        f"for name in ['rustray', *{clients!r}]: importlib.import_module(name)\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []


def test_what_only_ray_has_is_said_not_to_be_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'data': that part of Ray is not there.* README"):
        _ = rustray.data
    with pytest.raises(AttributeError, match="no attribute 'dta'$"):
        _ = rustray.dta
