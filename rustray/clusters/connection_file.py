"""What a connection file says of a cluster with a name, and whether that is still so. Pure.

One JSON object, `rustray-NAME.json`, version 1:

    name, started (seconds since the epoch)
    heads          "host:port" of each; none for an embedded cluster
    token, tls_dir what it takes to join
    token_file     a file with the bare token, "" where there is none
    storage        a folder that goes with the cluster, "" for none
    node           what more nodes are started with: the keywords of `driver.launch.NodeSettings`
    host, system   where its processes are, see `pids.Place`
    processes      [{"pid", "create_time", "role", "name", "folder"}], in the order in which they were started
    busy           the process that starts, scales or stops the cluster at the moment, in the same form; or null
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from rustray import pids
from rustray.errors import OptionError
from rustray.pids import Place

VERSION = 1
DEFAULT_NAME = "default"
MAX_NAME = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_RESERVED = ("auto", "local")
"""They mean something else to `rustray.init`."""


def is_name(text: str) -> bool:
    """Whether a cluster may be called so."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None and text not in _RESERVED


def check_name(name: str) -> str:
    """The name, if a cluster may be called so. OptionError."""
    if not isinstance(name, str) or not is_name(name):
        raise OptionError(
            f"{name!r} is no name for a cluster: give up to {MAX_NAME} small letters, digits, '-' and '_', with a "
            f"letter or digit first, and not {' or '.join(map(repr, _RESERVED))}."
        )
    return name


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a cluster.

    Parameters
    ----------
    create_time: tells it from a later one with the same pid; compared for equality only, see
        `pids.create_time`.
    role: "head", "node", "embedded" (both in one), "starter" (of who is busy with the cluster).
    name: of a node, as the cluster knows it; of a head "head-1" and so on.
    folder: its session folder, with the logs.
    """

    pid: int
    create_time: float
    role: str
    name: str
    folder: str


@dataclass(frozen=True, slots=True)
class ConnectionFile:
    """See the module."""

    name: str
    started: float
    place: Place
    heads: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    tls_dir: str = ""
    token_file: str = ""
    storage: str = ""
    node: dict[str, Any] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()
    busy: Process | None = None


CreateTime = Callable[[int], float | None]
"""The create time of the process that has this pid now, None if there is none."""


def state(file: ConnectionFile, here: Place, create_time: CreateTime) -> str:
    """Whether the cluster lives, see `pids.state`."""
    busy = (file.busy,) if file.busy is not None else ()
    return pids.state(file.place, here, bool(living((*file.processes, *busy), create_time)))


def living(processes: tuple[Process, ...], create_time: CreateTime) -> tuple[Process, ...]:
    """Those that have not ended."""
    return tuple(process for process in processes if create_time(process.pid) == process.create_time)


def to_text(file: ConnectionFile) -> str:
    """The content of the file."""
    content = asdict(file)
    place = content.pop("place")
    return json.dumps({"version": VERSION, **content, **place}, indent=1)


def from_text(text: str) -> ConnectionFile:
    """The reverse of `to_text`; ValueError says what is wrong."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    if content.get("version") != VERSION:
        raise ValueError(f"it is of version {content.get('version')!r}, not {VERSION}")
    try:
        busy = content["busy"]
        return ConnectionFile(
            name=check_name(content["name"]),
            started=float(content["started"]),
            place=Place(str(content["host"]), str(content["system"])),
            heads=tuple(map(str, content["heads"])),
            token=str(content["token"]),
            tls_dir=str(content["tls_dir"]),
            token_file=str(content["token_file"]),
            storage=str(content["storage"]),
            node=dict(content["node"]),
            processes=tuple(map(_process, content["processes"])),
            busy=None if busy is None else _process(busy),
        )
    except KeyError as error:
        raise ValueError(f"it has no {error}") from error
    except TypeError as error:
        raise ValueError(f"a value is of the wrong type: {error}") from error


def _process(row: dict[str, Any]) -> Process:
    pid, create_time = int(row["pid"]), float(row["create_time"])
    if pid < 1:
        raise ValueError(f"{pid} is no pid")
    return Process(pid, create_time, str(row["role"]), str(row["name"]), str(row["folder"]))
