"""Where the connection files of clusters are: in Jupyter's runtime folder, also where Jupyter is not installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys

from rustray.clusters.connection_file import check_name

PREFIX, SUFFIX = "rustray-", ".json"


def runtime_folder() -> str:
    """Jupyter's folder for connection files, made if need be."""
    if importlib.util.find_spec("jupyter_core") is not None:
        folder = str(importlib.import_module("jupyter_core.paths").jupyter_runtime_dir())
    else:
        folder = _runtime_folder_without_jupyter()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def _runtime_folder_without_jupyter() -> str:
    # The rule of jupyter_core.paths, so that the same files are found once Jupyter is installed.
    if chosen := os.environ.get("JUPYTER_RUNTIME_DIR"):
        return chosen
    if data := os.environ.get("JUPYTER_DATA_DIR"):
        return os.path.join(data, "runtime")
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Jupyter/runtime")
    share = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(share, "jupyter", "runtime")


def path_of(name: str) -> str:
    """The connection file of a cluster of this name. OptionError: nothing may be called so."""
    return os.path.join(runtime_folder(), f"{PREFIX}{check_name(name)}{SUFFIX}")
