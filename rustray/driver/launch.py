"""Starting a server process, and finding those that run.

Each cluster of this user has a session folder (0700) under `runtime_folder()` with its socket, logs, spilled
objects and ``cluster.json`` (0600): the registry of clusters is the set of these files.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from rustray.errors import ClusterStartError, OptionError

START_TIMEOUT_S = 60.0
_MAX_SOCKET_PATH = 100
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_RUN_SERVER = f"""
import importlib.util, runpy, sys
sys.path += (path for path in sys.argv[1:] if path not in sys.path)
spec = importlib.util.spec_from_file_location("rustray", {os.path.join(_PACKAGE, "__init__.py")!r})
sys.modules["rustray"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["rustray"])
runpy.run_module("rustray.server", run_name="__main__")
"""
"""Runs this very package, wherever it lies. The driver's folders come last: a file beside the user's script may have
the name of a standard module, which the server needs itself."""


@dataclass(slots=True)
class ServerSettings:
    """What a server is told at its start.

    Parameters
    ----------
    resources: {"CPU": 2.0, ...}; what is not given is counted (`count_resources`).
    object_store_memory: bytes, None for 30 % of the machine's memory.
    embedded: whether it ends with its last driver.
    grpc_port: of the gRPC service on the loopback interface, 0 for any free one.
    """

    resources: dict[str, float]
    object_store_memory: int | None
    embedded: bool
    folder: str = ""
    socket: str = ""
    token: str = ""
    grpc_port: int = 0
    labels: dict[str, str] = field(default_factory=dict)


def runtime_folder() -> str:
    """Where session folders are: $RUSTRAY_RUNTIME_DIR, else a folder of this user under the temporary one."""
    chosen = os.environ.get("RUSTRAY_RUNTIME_DIR")
    if chosen:
        folder = chosen
    else:
        folder = os.path.join(tempfile.gettempdir(), f"rustray-{os.getuid()}")
    with contextlib.suppress(FileExistsError):  # which the check below describes
        os.makedirs(folder, mode=0o700, exist_ok=True)
    status = os.lstat(folder)  # not where a link leads, which its owner could change afterwards
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ClusterStartError(
            f"{folder} must be a folder, not a link to one, and belong to you alone (mode 0700), for it holds the "
            "sockets and tokens of your clusters. "
            "Correct its owner and mode, or set RUSTRAY_RUNTIME_DIR to another folder."
        )
    return folder


def count_resources(
    num_cpus: float | None, num_gpus: float | None, resources: dict[str, float] | None
) -> dict[str, float]:
    """What this machine offers, as the user says or as counted."""
    if num_cpus is None:
        num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_gpus is None:
        num_gpus = _count_gpus()
    for name, amount in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < float("inf"):
            raise OptionError(
                f"{name}={amount!r}: give a number from 0 on, or leave it out to have it counted."
            )
    for name, amount in (resources or {}).items():
        if name in ("CPU", "GPU") or not isinstance(amount, int | float) or not 0 <= amount < float("inf"):
            raise OptionError(
                f"resources={{{name!r}: {amount!r}}}: custom names with numbers from 0 on; CPU and GPU have num_cpus= "
                "and num_gpus=."
            )
    found = {"CPU": float(num_cpus), **(resources or {})}
    if num_gpus:
        found["GPU"] = float(num_gpus)
    found.setdefault("memory", float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 7 // 10))
    return found


def _count_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    try:
        return len([name for name in os.listdir("/proc/driver/nvidia/gpus") if not name.startswith(".")])
    except OSError:
        return 0


class ServerProcess:
    """A server that this process has started."""

    def __init__(self, process: subprocess.Popen[bytes], settings: ServerSettings) -> None:
        self.process = process
        self.settings = settings

    def stop(self, timeout: float = 10.0) -> None:
        """End it, and with it its workers and its memory."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        remove_folder(self.settings.folder)


def start_server(settings: ServerSettings) -> ServerProcess:
    """Start a server and wait until drivers may connect; ClusterStartError with its log when it does not come up."""
    sweep()
    settings.folder = tempfile.mkdtemp(prefix=f"{time.strftime('%Y%m%d-%H%M%S')}-", dir=runtime_folder())
    os.mkdir(os.path.join(settings.folder, "logs"), 0o700)
    settings.socket = os.path.join(settings.folder, "node.sock")
    if len(settings.socket) > _MAX_SOCKET_PATH:
        shutil.rmtree(settings.folder)
        raise ClusterStartError(
            f"The path of the socket, {settings.socket}, is too long for a Unix socket ({_MAX_SOCKET_PATH} bytes). "
            "Set RUSTRAY_RUNTIME_DIR to a shorter path."
        )
    settings.token = secrets.token_hex(32)
    errors = os.path.join(settings.folder, "logs", "server.err")
    with open(errors, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _RUN_SERVER, *filter(None, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    server = ServerProcess(process, settings)
    assert process.stdin is not None and process.stdout is not None
    # The server adds its address to the file, so it must be there before the server knows its folder.
    _write_connection_file(settings, process.pid)
    process.stdin.write(json.dumps(asdict(settings)).encode() + b"\n")
    process.stdin.close()
    process.stdin = None
    if process.stdout.readline() != b"ready\n":
        process.wait()
        with open(errors, encoding="utf-8", errors="replace") as log_file:
            told = log_file.read().strip()[-4000:] or "it printed nothing"
        server.stop()
        raise ClusterStartError(
            f"The server process ended before it was ready (code {process.returncode}): {told}"
        )
    return server


def _write_connection_file(settings: ServerSettings, pid: int) -> None:
    path = os.path.join(settings.folder, "cluster.json")
    content = {"pid": pid, "socket": settings.socket, "token": settings.token, "embedded": settings.embedded}
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(content, file)


def update_connection_file(folder: str, **more: Any) -> None:
    """Add facts to a session's ``cluster.json``, all at once for its readers."""
    path = os.path.join(folder, "cluster.json")
    with open(path) as file:
        content = json.load(file)
    content.update(more)
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(content, file)
    os.replace(path + ".new", path)


def clusters() -> list[dict[str, Any]]:
    """The connection files of this user's living clusters, the newest last."""
    found = []
    root = runtime_folder()
    for name in sorted(os.listdir(root)):
        folder = os.path.join(root, name)
        try:
            with open(os.path.join(folder, "cluster.json")) as file:
                content = json.load(file)
        except (OSError, ValueError):
            continue  # being made, or not ours
        if is_alive(content["pid"]):
            found.append({"folder": folder, **content})
    return found


def find_cluster(address: str) -> dict[str, Any]:
    """The connection file of the cluster at `address` (see `api.init`); ClusterStartError when there is none."""
    running = clusters()
    if address == "auto":
        lasting = [cluster for cluster in running if not cluster["embedded"]]
        if not lasting:
            raise ClusterStartError(
                "No running cluster was found. Start one, or call init() without an address for one of its own."
            )
        return lasting[-1]
    for cluster in running:
        if address in (cluster.get("address"), cluster["socket"], cluster["folder"]):
            return cluster
    known = ", ".join(cluster.get("address") or cluster["folder"] for cluster in running) or "none"
    raise ClusterStartError(f"No cluster of yours runs at {address!r} on this machine. Running: {known}.")


def sweep() -> None:
    """Remove the folders of servers that were killed."""
    root = runtime_folder()
    for name in os.listdir(root):
        folder = os.path.join(root, name)
        try:
            with open(os.path.join(folder, "cluster.json")) as file:
                pid = json.load(file)["pid"]
        except (OSError, ValueError, KeyError):
            continue
        if not is_alive(pid):
            remove_folder(folder)


def is_alive(pid: int) -> bool:
    """Whether `pid` is a process that has not ended (a zombie has)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True


def remove_folder(folder: str) -> None:
    """Remove a session folder; what another process is removing too is no error."""
    shutil.rmtree(folder, ignore_errors=True)
