"""Which cluster a notebook has run cells on: its next kernel goes there, though a newer one may run by then."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Sequence

from rustray import private_files
from rustray.driver import registry

FOLDER = "notebooks"
"""Below the runtime folder: for each notebook a file with the name of its cluster."""
KEPT_S = 30 * 24 * 3600.0


def remember(notebook: str, cluster: str) -> None:
    """Cells of the notebook with this path run on the cluster of this name. OSError: that cannot be written down."""
    folder = os.path.join(registry.runtime_folder(), FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for old in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):  # another kernel was faster
            if old.stat(follow_symlinks=False).st_mtime < time.time() - KEPT_S:
                os.unlink(old.path)
    private_files.write(_path(notebook), cluster)


def last_one_last(notebook: str, running: Sequence[str]) -> list[str]:
    """The names of clusters that run; the one on which the notebook has worked is the last, if it is among them."""
    try:
        with open(_path(notebook)) as file:
            known = file.read()
    except OSError:
        known = ""  # it has run no cell, or on none with a name
    return sorted(running, key=lambda name: name == known)


def _path(notebook: str) -> str:
    key = hashlib.sha256(notebook.encode(errors="surrogateescape")).hexdigest()[:32]
    return os.path.join(registry.runtime_folder(), FOLDER, key)
