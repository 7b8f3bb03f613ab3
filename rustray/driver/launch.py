"""Starting the processes of a cluster: an embedded server, heads, nodes.

Each gets its settings as one line of JSON on its standard input, so that no secret is in its arguments, and answers
one line: "ready", or "error" and why. See `rustray.daemon` for the other side.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from rustray import errors
from rustray.driver.registry import (
    log_files,
    new_session_folder,
    read_connection_file,
    remove_folder,
    socket_path,
    sweep,
    write_connection_file,
)
from rustray.errors import ClusterStartError, OptionError
from rustray.pids import create_time, here
from rustray.wire.versions import PYTHON

STOP_TIMEOUT_S = 10.0
FATE_TIMEOUT_S = 3.0
"""Seconds from the end of its connection to its own."""
JOIN_TIMEOUT_S = 20.0
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_RUN = f"""
import importlib.util, runpy, sys
module = sys.argv.pop(1)
sys.path += (path for path in sys.argv[1:] if path not in sys.path)
spec = importlib.util.spec_from_file_location("rustray", {os.path.join(_PACKAGE, "__init__.py")!r})
sys.modules["rustray"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["rustray"])
runpy.run_module(module, run_name="__main__")
"""
"""Runs this very package, wherever it lies. The driver's folders come last: a file beside the user's script may have
the name of a standard module, which the server needs itself."""


@dataclass(slots=True)
class ServerSettings:
    """What an embedded server is told at its start. It ends with its last driver.

    Parameters
    ----------
    resources: {"CPU": 2.0, ...}; what is not given is counted (`count_resources`).
    object_store_memory: bytes, None for 30 % of the machine's memory.
    grpc_port: of the gRPC service on the loopback interface, 0 for any free one.
    notebook: whose kernel may come back to it, "" for nobody.
    linger_s: seconds for which it waits for that kernel while detached actors live, and longer while tasks run.
    """

    resources: dict[str, float]
    object_store_memory: int | None
    folder: str = ""
    socket: str = ""
    token: str = ""
    grpc_port: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    notebook: str = ""
    linger_s: float = 0.0

    module: ClassVar[str] = "rustray.server"
    role: ClassVar[str] = "embedded"


@dataclass(slots=True)
class HeadSettings:
    """What a head is told at its start.

    Parameters
    ----------
    host, port: where it listens; port 0: any free one. Where there are several heads they also use port + 1.
    heads: "host:port" of all heads, its own among them; none for a single head.
    token: of the cluster, "" to make one.
    tls_folder: as `rustray certs` makes it, "" for none.
    insecure: listen to other machines even without token or TLS.
    storage: the head's memory on disk, "" for a folder below `runtime_folder()`.
    lifeline: end when the starter closes its end of standard input, or dies.
    """

    host: str = "127.0.0.1"
    port: int = 0
    heads: list[str] = field(default_factory=list)
    token: str = ""
    tls_folder: str = ""
    insecure: bool = False
    storage: str = ""
    lifeline: bool = False
    folder: str = ""

    module: ClassVar[str] = "rustray.head.process"
    role: ClassVar[str] = "head"


@dataclass(slots=True)
class NodeSettings:
    """What a node is told at its start; what `HeadSettings` has too means the same.

    Parameters
    ----------
    heads: "host:port" of the heads of the cluster to join, as many as are known.
    host: "" for the address from which this machine reaches the first of them.
    labels: what tasks may ask for in a node, {"zone": "a"}.
    gateway: without slots, for the drivers of a machine that lends none; ends with its last driver.
    join_timeout: seconds within which a head must have accepted it.
    """

    heads: list[str]
    token: str
    resources: dict[str, float]
    object_store_memory: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    host: str = ""
    port: int = 0
    tls_folder: str = ""
    insecure: bool = False
    gateway: bool = False
    join_timeout: float = JOIN_TIMEOUT_S
    lifeline: bool = False
    folder: str = ""
    socket: str = ""

    module: ClassVar[str] = "rustray.node.process"
    role: ClassVar[str] = "node"


Settings = ServerSettings | HeadSettings | NodeSettings


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


class StartedProcess:
    """A process of a cluster that this process has started."""

    def __init__(self, process: subprocess.Popen[bytes], settings: Settings) -> None:
        self.process = process
        self.settings = settings

    @property
    def socket(self) -> str:
        """Where drivers connect to the node of this process."""
        return socket_path(self.settings.folder)

    def fate(self) -> str:
        """How it has ended by itself, and the last line that it wrote; "" while it lives."""
        try:
            code = self.process.wait(FATE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return ""
        if end := _end_told(self.settings.folder):
            return end
        how = f"killed by signal {-code}" if code < 0 else f"status {code}"
        last = ""
        for path in log_files(self.settings.folder, self.settings.role):
            with contextlib.suppress(OSError):  # it has removed its folder, having ended in order
                with open(path, errors="replace") as file:
                    last = (file.read().strip().splitlines() or [last])[-1]
        return f"{how}; its last words: {last}" if last else how

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> None:
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


class AdoptedServer:
    """An embedded server that an earlier kernel of the same notebook has started: now it is this process's own.

    Parameters
    ----------
    facts: what the registry says of it.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self._pid: int = facts["pid"]
        self._created: float = facts["create_time"]
        self.socket: str = facts["socket"]

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> None:
        """End it, and with it its workers and its memory."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + timeout
            if self._lives():
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(self._pid, number)
            while self._lives() and time.monotonic() < deadline:
                time.sleep(0.02)
        remove_folder(os.path.dirname(self.socket))

    def _lives(self) -> bool:
        return create_time(self._pid) == self._created

    def fate(self) -> str:
        """How it has ended, if it has said so: it is not a child of this process."""
        deadline = time.monotonic() + FATE_TIMEOUT_S
        while self._lives() and time.monotonic() < deadline:
            time.sleep(0.02)
        return _end_told(os.path.dirname(self.socket))


def _end_told(folder: str) -> str:
    """Why a process of this session folder has ended, in its own words; "" where it has left none."""
    try:
        return str(read_connection_file(folder).get("end", ""))
    except (OSError, ValueError):
        return ""  # the folder has gone, or its disk was full


def start(settings: Settings, within: Sequence[str] = ()) -> StartedProcess:
    """Start a process and wait until it is ready; what it says of its failure is raised.

    Parameters
    ----------
    within: the words of a command that runs it, as ``ip netns exec NAME``, in the same process.

    Raises
    ------
    ClusterStartError, AuthenticationError, or what else of `rustray.errors` it has told.
    """
    sweep()
    settings.folder = new_session_folder()
    settings.token = settings.token or secrets.token_hex(32)
    _log, path = log_files(settings.folder, settings.role)
    with open(path, "wb") as log:
        process = subprocess.Popen(
            [*within, sys.executable, "-P", "-c", _RUN, settings.module, *filter(None, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    started = StartedProcess(process, settings)
    if not isinstance(settings, HeadSettings):
        settings.socket = started.socket
    assert process.stdin is not None and process.stdout is not None
    try:
        # The process adds its address to the file, so it must be there before the process knows its folder.
        write_connection_file(settings.folder, _connection(settings, process.pid))
        try:
            process.stdin.write(json.dumps(asdict(settings)).encode() + b"\n")
            process.stdin.flush()
            if not getattr(settings, "lifeline", False):
                process.stdin.close()
                process.stdin = None
        except BrokenPipeError:
            pass  # it has ended, and has printed why
        word, _space, told = process.stdout.readline().decode().strip().partition(" ")
        if word == "ready":
            return started
        raise _failure(process, word, told, path)
    except OSError as error:
        started.stop()
        raise ClusterStartError(f"The process cannot be entered into its folder: {error}.") from error
    except BaseException:
        started.stop()
        raise


def _failure(process: subprocess.Popen[bytes], word: str, told: str, path: str) -> Exception:
    if word == "error":
        kind, message = json.loads(told)
        error: Exception = getattr(errors, kind, ClusterStartError)(message)
        return error
    process.wait()
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read().strip()[-4000:] or "it printed nothing"
    return ClusterStartError(
        f"The server process ended before it was ready (code {process.returncode}): {text}"
    )


def _connection(settings: Settings, pid: int) -> dict[str, Any]:
    place = here()
    content: dict[str, Any] = {
        "host": place.host,
        "system": place.system,
        "pid": pid,
        "create_time": create_time(pid),
        "role": settings.role,
        "token": settings.token,
        "started": time.time(),
    }
    if not isinstance(settings, HeadSettings):
        content["socket"] = settings.socket
    if not isinstance(settings, ServerSettings):
        content.update(heads=settings.heads, tls_folder=settings.tls_folder)
    if isinstance(settings, ServerSettings):
        content.update(notebook=settings.notebook, python=PYTHON)
    if isinstance(settings, NodeSettings):
        content["gateway"] = settings.gateway
    return content
