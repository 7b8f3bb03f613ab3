"""The notebook's own cluster in the list of clusters: so the sidebar, commands and other programs see it too."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from rustray.clusters import entering, registry
from rustray.clusters.connection_file import MAX_NAME, Process
from rustray.driver import registry as processes

NAME = "notebook"
"""Of the cluster of a notebook whose own name is not known."""


def facts_of(socket: str) -> dict[str, Any]:
    """What the registry of processes says of the node at this socket; {} where it is not known."""
    return next((facts for facts in processes.clusters() if facts.get("socket") == socket), {})


def enter(socket: str, notebook: str) -> None:
    """Enter the cluster whose one process has this socket. It leaves the list when that has ended.

    Parameters
    ----------
    notebook: its path, after which the cluster is called.

    Raises
    ------
    ClusterStartError: the list cannot be written.
    """
    facts = facts_of(socket)
    if not facts:
        return  # it has just ended, as the next call will tell
    pid, began = facts["pid"], facts["create_time"]
    process = Process(pid, began, facts["role"], str(facts.get("name", "node-1")), facts["folder"])
    name = entering.take(None, base=name_of(notebook))
    registry.change(name, lambda file: replace(file, processes=(process,)))
    entering.settle(name)


def name_of(notebook: str) -> str:
    """What the cluster of a notebook with this path is called: as "My Data.ipynb" gives "my-data"."""
    path = PurePath(notebook)
    words = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()) if path.suffix == ".ipynb" else ""
    return words.strip("-")[: MAX_NAME - 4].strip("-") or NAME
