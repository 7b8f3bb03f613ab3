"""The registry of this user's clusters: a session folder (0700) for each process of one, below `runtime_folder()`.

A folder has the logs, a node's socket and spilled objects, and ``cluster.json`` (0600): the set of these files is the
registry. "role" is "embedded" (head and node in one process, of one driver), "head" or "node". Containers may share the
folder: "host" and "system" say where the "pid" is one, see `pids.Place`, and others let it alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from rustray import private_files
from rustray.errors import ClusterStartError
from rustray.pids import LIVES, STALE, Place, create_time, here, state

MAX_SOCKET_PATH = 100
CONNECTION_FILE = "cluster.json"
TOKEN_FILE = "token"
"""Beside the head's memory, which it is as secret as."""
_FACTS = {"host", "system", "pid", "create_time", "role", "started", "token"}


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


def new_session_folder() -> str:
    """An empty session folder, with one for logs; ClusterStartError where its path is too long for a socket."""
    folder = tempfile.mkdtemp(prefix=f"{time.strftime('%Y%m%d-%H%M%S')}-", dir=runtime_folder())
    os.mkdir(os.path.join(folder, "logs"), 0o700)
    path = socket_path(folder)
    if len(path) > MAX_SOCKET_PATH:
        shutil.rmtree(folder)
        raise ClusterStartError(
            f"The path of the socket, {path}, is too long for a Unix socket ({MAX_SOCKET_PATH} bytes). "
            "Set RUSTRAY_RUNTIME_DIR to a shorter path."
        )
    return folder


def socket_path(folder: str) -> str:
    """Where drivers and workers connect to the node of a session folder."""
    return os.path.join(folder, "node.sock")


def log_files(folder: str, role: str) -> tuple[str, str]:
    """What the process itself writes: its log, and what it printed as it ended unexpectedly. Not its workers'."""
    word = "server" if role == "embedded" else role
    return os.path.join(folder, "logs", f"{word}.log"), os.path.join(folder, "logs", f"{role}.err")


def head_storage(address: str) -> str:
    """Where a head that listens at `address` has its memory on disk, unless its user says otherwise."""
    return os.path.join(runtime_folder(), "heads", address)


def keep_token(storage: str, token: str) -> str:
    """Write the cluster's token beside a head's memory; the path of the file. ClusterStartError."""
    path = os.path.join(storage, TOKEN_FILE)
    try:
        private_files.write(path, token + "\n")
    except OSError as error:
        raise ClusterStartError(f"The cluster's token cannot be kept: {error}.") from error
    return path


def write_connection_file(folder: str, content: dict[str, Any]) -> None:
    """Put a process into the registry."""
    private_files.write(os.path.join(folder, CONNECTION_FILE), json.dumps(content), fresh=True)


def read_connection_file(folder: str) -> dict[str, Any]:
    """The facts of one process; OSError or ValueError when there is no such file (yet)."""
    with open(os.path.join(folder, CONNECTION_FILE)) as file:
        content: dict[str, Any] = json.load(file)
    return content


def update_connection_file(folder: str, **more: Any) -> None:
    """Add facts to a session's connection file, all at once for its readers."""
    content = {**read_connection_file(folder), **more}
    private_files.write(os.path.join(folder, CONNECTION_FILE), json.dumps(content))


def clusters() -> list[dict[str, Any]]:
    """The connection files of this user's living processes here, the newest last, each with its "folder"."""
    found = [{"folder": folder, **content} for folder, content, what in _registered() if what == LIVES]
    return sorted(found, key=lambda content: content["started"])


def sweep() -> None:
    """Remove the folders of processes that were killed."""
    for folder, _content, what in _registered():
        if what == STALE:
            remove_folder(folder)


def _registered() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each session folder, its connection file, and the state of its process: see `pids.state`."""
    root, place = runtime_folder(), here()
    for name in os.listdir(root):
        folder = os.path.join(root, name)
        try:
            content = read_connection_file(folder)
        except (OSError, ValueError):
            continue  # being made, or not ours
        if _FACTS <= content.keys():  # else it is of another version
            pid, began = content["pid"], content["create_time"]
            lives = began is not None and create_time(pid) == began
            yield folder, content, state(Place(content["host"], content["system"]), place, lives)


def remove_folder(folder: str) -> None:
    """Remove a session folder; what another process is removing too is no error."""
    shutil.rmtree(folder, ignore_errors=True)
