"""Entering processes into the registry that were started one by one: by ``rustray start``, or by a notebook."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from rustray.clusters import registry, starting
from rustray.clusters.connection_file import DEFAULT_NAME, ConnectionFile, living
from rustray.driver import launch
from rustray.errors import ClusterStartError
from rustray.pids import create_time


def name_of(heads: Sequence[str]) -> str | None:
    """Of the cluster with any of these heads; None where it has none here."""
    return next((file.name for file in registry.files() if set(heads) & set(file.heads)), None)


def take(name: str | None, heads: Sequence[str] = (), token: str = "", base: str = DEFAULT_NAME) -> str:
    """The name under which processes of the cluster with these heads are to be entered.

    Parameters
    ----------
    name: as the user wants it; None for the one that it has here, else `base` or the next one that is free.
    heads: as far as they are known. Several of a cluster may be started on one machine, side by side.

    Raises
    ------
    ClusterStartError: the name is another cluster's, or this one has another name. OptionError: it is not allowed.
    """
    if name is None:
        return registry.claim_free(base, heads, token)
    registry.claim(name, heads, token)
    return name


def add(name: str, started: Sequence[launch.StartedProcess], **facts: Any) -> None:
    """Enter processes and what else is known of their cluster now: fields of `ConnectionFile`."""
    more = starting.processes_of(started)

    def enter(file: ConnectionFile) -> ConnectionFile:
        # What was killed is replaced: a head by that of its name, nodes by any. Other heads are still missed.
        alive, names, roles = (
            living(file.processes, create_time),
            {p.name for p in more},
            {p.role for p in more},
        )
        kept = [
            process
            for process in file.processes
            if process in alive
            or not (process.name in names if process.role == "head" else process.role in roles)
        ]
        return replace(file, **facts, processes=(*kept, *more))

    if registry.change(name, enter) is None:
        raise ClusterStartError(f"The cluster {name!r} has just been stopped.")


def settle(name: str, ended: Collection[str] = ()) -> None:
    """This process, which has taken the name, is done; without a process that lives the name is free again.

    Parameters
    ----------
    ended: session folders of processes that it has ended again. Heads among them are missed from now on.
    """

    def leave(file: ConnectionFile) -> ConnectionFile:
        mine = file.busy is not None and file.busy.pid == os.getpid()
        kept = tuple(p for p in file.processes if p.role == "head" or p.folder not in ended)
        return replace(file, busy=None if mine else file.busy, processes=kept)

    registry.change(name, leave)
    registry.sweep(name)
