"""The registry of clusters that have names: a connection file (0600) for each in Jupyter's runtime folder.

Rule 1. A name is taken by making its file, which fails where there is one.
Rule 2. Files are changed and removed under one lock, held for moments; they are replaced whole, so reading needs none.
Rule 3. Who starts, scales or stops a cluster enters itself as "busy" first; others wait for it, if it lives.
Rule 4. Whoever lists removes the files of clusters that have no process left.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rustray import private_files
from rustray.clusters.connection_file import (
    ConnectionFile,
    from_text,
    is_name,
    living,
    state,
    to_text,
)
from rustray.clusters.folder import PREFIX, SUFFIX, path_of, runtime_folder
from rustray.clusters.processes import is_alive, this_process
from rustray.errors import AuthenticationError, ClusterStartError, RustRayError
from rustray.file_lock import locked
from rustray.pids import ELSEWHERE, LIVES, STALE, create_time, here

log = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 10.0
BUSY_TIMEOUT_S = 90.0
"""Seconds to wait for who is busy with a cluster: a node that leaves has 60 to finish its tasks."""
MAX_SIZE = 1 << 20
ADDRESS_VARIABLE = "RUSTRAY_ADDRESS"
_LOCK = "rustray.lock"


class NameTakenError(ClusterStartError):
    """Another cluster has this name."""


# -- reading ---------------------------------------------------------------------------------------------


def read(name: str) -> ConnectionFile | None:
    """What the registry says of a name, also if it is stale; None: nothing.

    Raises
    ------
    AuthenticationError: the file is not this user's alone. ClusterStartError: it is damaged.
    """
    path = path_of(name)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuthenticationError(f"The connection file {path} is refused: {error.strerror}.") from error
    with os.fdopen(fd, encoding="utf-8") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise AuthenticationError(
                f"The connection file {path} is refused: it must be yours and have mode 0600, for whoever can write "
                "it decides which processes you trust. Remove it if you do not know where it comes from."
            )
        try:
            found = from_text(file.read(MAX_SIZE))
            if found.name != name:
                raise ValueError(f"it is of a cluster named {found.name!r}")
        except ValueError as error:
            raise ClusterStartError(
                f"The connection file {path} is damaged: {str(error).rstrip('.')}. "
                "Remove it; 'rustray stop --all' ends what runs."
            ) from error
    return found


def files() -> list[ConnectionFile]:
    """The clusters that live on this machine, the newest last. Sweeps the stale; a file that is refused is logged."""
    entered = _entered()
    for file, what in entered:
        if what == STALE:
            sweep(file.name)
    return sorted((file for file, what in entered if what == LIVES), key=lambda file: file.started)


def _entered() -> list[tuple[ConnectionFile, str]]:
    """What there is, and its state."""
    found = []
    for name in sorted(os.listdir(runtime_folder())):
        if not name.startswith(PREFIX) or not name.endswith(SUFFIX):
            continue
        try:
            file = read(name.removeprefix(PREFIX).removesuffix(SUFFIX))
        except RustRayError as error:
            log.warning("%s", error)  # one bad file does not hide the others
            continue
        if file is not None:
            found.append((file, state(file, here(), create_time)))
    return found


def usual() -> str:
    """The name in $RUSTRAY_ADDRESS: of the cluster that this program prefers; "" where it has none, or an address."""
    address = os.environ.get(ADDRESS_VARIABLE, "")
    return address if is_name(address) else ""


def find(name: str | None = None) -> ConnectionFile | None:
    """The living cluster of this name; when None the `usual` one, or the newest that is up. None: there is none."""
    if name is None:
        up = [file for file in files() if living(file.processes, create_time)]
        return next((file for file in up if file.name == usual()), up[-1] if up else None)
    file = read(name)
    if file is None:
        return None
    what = state(file, here(), create_time)
    if what == STALE:
        sweep(name)
    return file if what == LIVES else None


# -- changing --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    path = os.path.join(runtime_folder(), _LOCK)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path, LOCK_TIMEOUT_S))
        except TimeoutError as error:
            raise ClusterStartError(
                f"{error}: another program of yours that works on clusters hangs. Find it with: fuser {path}"
            ) from None
        yield


def sweep(name: str) -> None:
    """Remove the file of a cluster without a living process, and what it has left on disk."""
    with _locked():
        file = read(name)
        if file is not None and state(file, here(), create_time) == STALE:
            _remove(file)


def _remove(file: ConnectionFile) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(file.name))
    if file.storage:
        shutil.rmtree(file.storage, ignore_errors=True)  # what cannot be removed does no harm


def remove(name: str) -> None:
    """Take a cluster out of the registry, whose processes have ended."""
    with _locked():
        file = read(name)
        if file is not None:
            _remove(file)


def claim(name: str, heads: Sequence[str] = (), token: str = "") -> None:
    """Take a name for a cluster that this process is about to start, or of which it starts another part.

    Parameters
    ----------
    heads, token: if they are known already. A cluster with any of these heads is this one.

    Raises
    ------
    NameTakenError: it is another cluster's, or this one has another. OptionError: it is not allowed.
    """
    known, taken = _claimed_before(name, heads, token)
    if taken is not None:
        raise NameTakenError(_taken(taken))
    if known not in ("", name):
        raise NameTakenError(f"The cluster at {','.join(heads)} runs here already, under the name {known!r}.")


def claim_free(base: str, heads: Sequence[str] = (), token: str = "") -> str:
    """Take the name that the cluster with these heads has here, else the first free one: `base`, `base`-2 and so on."""
    number, name = 1, base
    while True:
        known, taken = _claimed_before(name, heads, token)
        if taken is None:
            return known or name
        number += 1
        name = f"{base}-{number}"


def _claimed_before(name: str, heads: Sequence[str], token: str) -> tuple[str, ConnectionFile | None]:
    """The name that the cluster with any of these heads has here, or the other cluster that has `name`. Neither: this
    process has it now."""
    path = path_of(name)
    starting = ConnectionFile(name, time.time(), here(), tuple(heads), token, busy=this_process())
    sweep(name)
    with _locked():
        # Heads of one cluster may be started at the same time: who comes first has entered them all.
        for file, what in _entered() if heads else ():
            if what == LIVES and not set(heads).isdisjoint(file.heads):
                return file.name, None
        taken = read(name)
        if taken is None:
            _write(starting, path, fresh=True)
        return "", taken


def _taken(file: ConnectionFile) -> str:
    if state(file, here(), create_time) == ELSEWHERE:
        return (
            f"A cluster named {file.name!r} was started on {file.place.host!r}, which shares this home folder. Give "
            f"another name; if that machine is gone, remove {path_of(file.name)}"
        )
    if not file.processes and file.busy is not None:
        who = f"process {file.busy.pid}"
        return f"A cluster named {file.name!r} is being started by {who}. Wait for it, or give another name."
    return (
        f"A cluster named {file.name!r} runs already. Use it with rustray.init({file.name!r}), end it with 'rustray "
        f"stop {file.name}', or give another name."
    )


def _write(file: ConnectionFile, path: str, fresh: bool = False) -> None:
    try:
        private_files.write(path, to_text(file), fresh)
    except OSError as error:
        raise ClusterStartError(f"{path} cannot be written: {error}.") from error


def change(name: str, to: Callable[[ConnectionFile], ConnectionFile]) -> ConnectionFile | None:
    """Replace what the registry says of a cluster; what it says now. None: nothing, the cluster is gone."""
    path = path_of(name)
    with _locked():
        file = read(name)
        if file is None:
            return None
        changed = to(file)
        if changed != file:
            _write(changed, path)
        return changed


@contextlib.contextmanager
def alone(name: str) -> Iterator[ConnectionFile]:
    """Be the only one that changes the cluster; gives what the registry says of it.

    Raises
    ------
    ClusterStartError: there is no such cluster, or another process is busy with it for too long.
    """
    me = this_process()

    def enter(file: ConnectionFile) -> ConnectionFile:
        return replace(file, busy=me) if file.busy is None or not is_alive(file.busy) else file

    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while (file := change(name, enter)) is None or file.busy != me:
        if file is None:
            raise ClusterStartError(f"No cluster named {name!r} runs here any more.")
        if time.monotonic() > deadline:
            assert file.busy is not None
            raise ClusterStartError(
                f"Process {file.busy.pid} has been starting, scaling or stopping the cluster {name!r} for "
                f"{BUSY_TIMEOUT_S:g} s. Look what it waits for, or end it, and try again."
            )
        time.sleep(0.05)
    try:
        yield file
    finally:
        # Where it was stopped meanwhile the file is gone, or is that of the next cluster of this name.
        change(name, lambda file: replace(file, busy=None) if file.busy == me else file)
