"""JupyterLab as a child of ``jupyter rustray start --lab``, and the dashboard pages of servers that run."""

from __future__ import annotations

import contextlib
import html
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from jupyter_core.paths import jupyter_runtime_dir

import rustray
from rustray import private_files
from rustray.cli.telling import tell
from rustray.clusters.logs import last_lines
from rustray.clusters.registry import ADDRESS_VARIABLE
from rustray.errors import ClusterStartError, OptionError
from rustray.model.option_checks import meant

UP_TIMEOUT_S = 90.0
"""Seconds for JupyterLab to answer: the first start on a slow disk takes long."""
STOP_TIMEOUT_S = 20.0
PAGE_TIMEOUT_S = 3.0
DASHBOARD = "rustray/dashboard"


def run(arguments: Sequence[str], browser: bool, cluster: str) -> int:
    """Run JupyterLab until Ctrl-C, or until its user shuts it down; 0. ClusterStartError where it fails.

    Parameters
    ----------
    arguments: of JupyterLab.
    browser: whether it opens one.
    cluster: the name of the one that its notebooks prefer.
    """
    page = first_page()
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.answer_yes=True", f"--LabApp.default_url=/{page}"]
    if not browser:
        command.append("--no-browser")
    if os.geteuid() == 0:
        command.append("--allow-root")  # who starts a cluster as root has decided so already
    path = os.path.join(jupyter_runtime_dir(), f"rustray-lab-{os.getpid()}.log")
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    process = None
    try:
        private_files.write(path, "")  # Jupyter prints its token there
        with _signals_held(), open(path, "ab") as log:
            process = subprocess.Popen(
                [*command, *arguments], stdout=log, stderr=log, env={**os.environ, ADDRESS_VARIABLE: cluster}
            )
        tell(f"JupyterLab: {_url(process, path, page)}")
        tell(f"in {os.getcwd()}; Ctrl-C ends it. Its log: {path}")
        if (code := process.wait()) != 0:
            raise ClusterStartError(f"JupyterLab has ended with status {code}:\n{_last(path)}")
        return 0
    except KeyboardInterrupt:
        tell("")  # after the ^C
        return 0
    finally:
        if process is not None:
            _end(process)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def running(cluster: str) -> str | None:
    """The URL of a JupyterLab that `run` has started in this folder for this cluster; None: there is none."""
    from jupyter_server.serverapp import list_running_servers

    here = os.path.realpath(os.getcwd())
    for server in list_running_servers():
        same = os.path.realpath(server["root_dir"]) == here and _prefers(server["pid"]) == cluster
        if same and _status(server, "api/status") == 200:
            return _with_token(server, first_page(), {})
    return None


def _prefers(pid: int) -> str:
    """The cluster that a process was told to prefer; "" where it was not, or has ended."""
    try:
        return str(psutil.Process(pid).environ().get(ADDRESS_VARIABLE, ""))
    except (psutil.Error, OSError):
        return ""


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """What would interrupt the block interrupts at its end: a process that is started there is known by then."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def first_page() -> str:
    """What it opens with: the tour, where this folder is the root of a clone."""
    here = os.path.realpath(os.getcwd())
    package = os.path.dirname(os.path.dirname(os.path.realpath(rustray.__file__)))
    tour = "notebooks/quickstart.ipynb"
    return f"lab/tree/{tour}" if here == package and os.path.isfile(os.path.join(here, tour)) else "lab"


def _url(process: subprocess.Popen[bytes], log: str, page: str) -> str:
    """Where the server answers. ClusterStartError: it has ended, or does not answer in time."""
    deadline = time.monotonic() + UP_TIMEOUT_S
    facts_path = os.path.join(jupyter_runtime_dir(), f"jpserver-{process.pid}.json")
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ClusterStartError(f"JupyterLab could not be started:\n{_last(log)}")
        try:
            with open(facts_path, encoding="utf-8") as file:
                facts = json.load(file)
        except (OSError, ValueError):
            time.sleep(0.1)  # not yet, or half of it
            continue
        return _with_token(facts, page, {})
    raise ClusterStartError(f"JupyterLab was not up within {UP_TIMEOUT_S:g} s.\n{_last(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        if process.poll() is None:
            process.terminate()  # Ctrl-C of a terminal has reached it too: it ends its kernels, and itself
            process.wait(STOP_TIMEOUT_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # who interrupts again does not want to wait
        process.kill()
        process.wait()


def _last(log: str) -> str:
    return "\n".join(last_lines(log, 15))


# -- pages -----------------------------------------------------------------------------------------------


def dashboard_url(panel: str, cluster: str) -> str:
    """The page of a panel ("" for all) at the newest Jupyter server of this user that has one.

    Raises
    ------
    ClusterStartError: no server runs here that shows it. OptionError: there is no such panel.
    """
    from jupyter_server.serverapp import list_running_servers

    from rustray.dashboard.panels import PANELS

    servers = sorted(list_running_servers(), key=lambda server: server["pid"], reverse=True)
    page = f"{DASHBOARD}/{urllib.parse.quote(panel)}" if panel else DASHBOARD
    for server in servers:
        if _status(server, DASHBOARD) == 200:
            if panel and _status(server, page) == 404:
                raise OptionError(
                    f"The dashboard has no panel {panel!r}.{meant(panel, PANELS)} There are: {', '.join(PANELS)}."
                )
            return _with_token(server, page, {"cluster": cluster})
    which = (
        f"None of the {len(servers)} Jupyter servers here has"
        if servers
        else "No Jupyter server runs here with"
    )
    raise ClusterStartError(
        f"{which} RustRay's dashboard. Start one in an environment that RustRay is installed in: "
        "jupyter rustray start --lab"
    )


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, which could lead the token elsewhere."""

    def redirect_request(self, *_what: Any) -> None:
        return None


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
"""The servers are this user's own: a proxy is not to have their tokens."""


def _status(server: dict[str, Any], page: str) -> int | None:
    """What the server answers to a request for the page, as an HTTP status; None: nothing in time."""
    headers = {"Authorization": f"token {server['token']}"} if server["token"] else {}
    request = urllib.request.Request(server["url"] + page, headers=headers)
    try:
        with _DIRECT.open(request, timeout=PAGE_TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError):
        return None


def _with_token(server: dict[str, Any], page: str, query: dict[str, str]) -> str:
    if server["token"]:
        query = {**query, "token": server["token"]}
    text = urllib.parse.urlencode(query)
    return f"{server['url']}{page}" + (f"?{text}" if text else "")


def open_in_browser(url: str) -> None:
    """Where there is one. By way of a file that only this user can read: arguments of a program, all users see."""
    path = os.path.join(jupyter_runtime_dir(), "rustray-open.html")
    try:
        private_files.write(
            path, f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(url)}">\n'
        )
        webbrowser.open(Path(path).as_uri())
    except (OSError, webbrowser.Error):
        pass  # the URL is printed
