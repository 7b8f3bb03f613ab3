"""JupyterLab as a process of its own, with folders of its own and the extension of the source tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rustray import clusters

from ..support import ROOT

BASE_URL = "/user/someone/"
"""Not the root, as behind JupyterHub."""
UP_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
EXTENSION = "@rustray/jupyterlab-rustray"


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that runs.

    Parameters
    ----------
    url: of its base, with a slash at the end. token: of its user. notebooks: the folder that it shows.
    """

    url: str
    token: str
    notebooks: Path

    def page(self, workspace: str, path: str = "") -> str:
        """Where a browser finds it.

        Parameters
        ----------
        workspace: the name of a layout of Lab, so that tests do not see each other's.
        path: of a notebook that is opened.
        """
        tree = f"/tree/{path}" if path else ""
        return f"{self.url}lab/workspaces/{workspace}{tree}?token={self.token}"


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """One that runs while the context lasts, all its files below `folder`. It and all clusters there end with it.

    The variables JUPYTER_RUNTIME_DIR and RUSTRAY_RUNTIME_DIR must be those of its own runtime folder.
    """
    runtime, notebooks, log = (
        Path(os.environ["JUPYTER_RUNTIME_DIR"]),
        folder / "notebooks",
        folder / "lab.log",
    )
    notebooks.mkdir()
    arguments = [
        "--no-browser",
        f"--ServerApp.base_url={BASE_URL}",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        f"--ServerApp.root_dir={notebooks}",
        "--ServerApp.jpserver_extensions={'rustray_jupyter': True}",
        "--LabApp.expose_app_in_browser=True",  # as `jupyterapp`, for commands that menus hide deep inside
    ]
    if os.geteuid() == 0:
        arguments.append("--allow-root")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments],
            env=_environment(folder),
            cwd=notebooks,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        facts = _facts(process, runtime, log)
        yield Lab(facts["url"], facts["token"], notebooks)
    finally:
        process.terminate()  # it ends its kernels too
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for cluster in clusters.list():
            cluster.stop()


def _environment(folder: Path) -> dict[str, str]:
    own = {
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
        "IPYTHONDIR": folder / "ipython",
    }
    labextension = own["JUPYTER_DATA_DIR"] / "labextensions" / EXTENSION
    labextension.parent.mkdir(parents=True)
    labextension.symlink_to(ROOT / "jupyter_ext" / "rustray_jupyter" / "labextension")
    # No question about news: it would lie over the page.
    page_config = own["JUPYTER_CONFIG_DIR"] / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True)
    page_config.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}')
    path = os.pathsep.join([str(ROOT), str(ROOT / "jupyter_ext")])
    return {**os.environ, **{name: str(value) for name, value in own.items()}, "PYTHONPATH": path}


def _facts(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> dict[str, str]:
    path = runtime / f"jpserver-{process.pid}.json"
    deadline = time.monotonic() + UP_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            facts: dict[str, str] = json.loads(path.read_text())
        except (OSError, ValueError):
            time.sleep(0.05)  # not yet, or half of it
            continue
        return facts
    raise AssertionError(f"JupyterLab is not up:\n{log.read_text()[-4000:]}")
