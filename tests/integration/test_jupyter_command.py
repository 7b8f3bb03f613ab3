"""The command ``jupyter rustray``, run as its users run it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import rustray
from rustray.clusters import registry as names
from rustray.driver import registry
from rustray.errors import ClusterStartError, OptionError
from tests.support import ROOT, eventually, lives

pytest.importorskip("jupyter_core")


@pytest.fixture(autouse=True)
def apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("rr")
    folder.chmod(0o700)
    monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(folder))
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "jupyter_ext"))))
    monkeypatch.setenv("COLUMNS", "120")
    yield
    for process in registry.clusters():
        os.kill(process["pid"], signal.SIGKILL)
    eventually(lambda: not registry.clusters())


def start(*arguments: str, folder: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rustray_jupyter.app", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )


def jupyter_rustray(*arguments: str, status: int = 0) -> str:
    process = start(*arguments)
    told, _nothing = process.communicate(timeout=120)
    assert process.returncode == status, told
    return told


def test_a_cluster_from_start_to_stop(tmp_path: Path) -> None:
    config = tmp_path / "jupyter_config_dir"
    config.mkdir()
    (config / "jupyter_rustray_config.py").write_text("c.RustRayStart.num_cpus = 2\n")
    assert jupyter_rustray("list") == "No cluster runs here.\n"
    told = jupyter_rustray("start", "--name", "work", "--nodes", "2")
    assert told.startswith("Cluster 'work': 1 head, 2 nodes.\n") and "jupyter rustray stop work" in told
    taken = jupyter_rustray("start", "--name=work", status=1)
    assert "jupyter rustray: A cluster named 'work' runs already" in taken and taken.count("\n") == 1
    (row,) = json.loads(jupyter_rustray("list", "--json"))
    assert (row["name"], row["state"], row["nodes"]) == ("work", "running", 2) and "token" not in row
    assert "'work' has 1 node here" in jupyter_rustray("scale", "1")
    status = json.loads(jupyter_rustray("status", "work", "--json"))
    assert [node["resources"]["CPU"] for node in status["nodes"]] == [2]  # as configured
    assert status["token_file"] == rustray.clusters.find("work").token_file
    assert jupyter_rustray("logs", "--process", "head-1", "-n", "1").startswith("==> head-1")

    following = start("logs", "-f", "--lines=1")
    try:
        assert following.stdout is not None
        assert following.stdout.readline().startswith("==> head-1")  # so it follows from here on
        jupyter_rustray("scale", "2", "--name", "work")
        seen = ""
        while "joined the head" not in seen:
            assert (line := following.stdout.readline()), seen
            seen += line
        assert jupyter_rustray("stop", "work") == "Stopped 1 head and 2 nodes of the cluster 'work'.\n"
        assert following.communicate(timeout=20)[0].endswith("The cluster 'work' has ended.\n")
    finally:
        following.kill()
    assert registry.clusters() == [] and names.files() == []


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ([], 2, "Give one of: start, stop, list"),
        (["begin"], 2, "There is no command 'begin'"),
        (["satrt"], 2, "There is no command 'satrt'. Did you mean 'start'?"),
        (["start", "--lba"], 1, "there is no option --lba. Did you mean '--lab'?"),
        (["start", "--heads", "2"], 1, "jupyter rustray: heads: expected any of [1, 3], not the int 2."),
        (["start", "--nodez", "2"], 1, "jupyter rustray: there is no option --nodez"),
        (["start", "--name", "Work"], 1, "'Work' is no name for a cluster"),
        (["start", "extra"], 1, "What is 'extra' for?"),
        (["stop", "work"], 1, "No cluster named 'work' runs here, nor any other."),
        (["scale"], 1, "Give the number of nodes"),
        (["dashboard"], 1, "No cluster runs here"),
    ],
)
def test_errors_are_one_line(arguments: list[str], status: int, told: str) -> None:
    printed = jupyter_rustray(*arguments, status=status)
    assert told in printed and printed.count("\n") == 1
    assert registry.clusters() == []


def test_who_stops_where_nothing_runs_is_told_just_that() -> None:
    assert jupyter_rustray("stop") == "No cluster runs here.\n"


def test_help_of_start_says_what_a_name_is_for() -> None:
    told = jupyter_rustray("start", "--help")
    assert "What the cluster is to be called; 'default' if empty." in told and "the newest" not in told


def test_a_start_that_is_interrupted_leaves_nothing() -> None:
    process = start("start", "--heads", "3")
    eventually(registry.clusters)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert registry.clusters() == [] and names.files() == []


def test_lab_ends_and_its_cluster_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("jupyterlab")
    folder = tmp_path / "work"
    folder.mkdir()
    jupyter_rustray("start", "--num-cpus", "1")
    command = ("start", "--lab", "--no-browser", "--", "--ServerApp.port_retries=50")
    process = start(*command, folder=folder)
    try:
        assert process.stdout is not None
        told = ""
        while "Ctrl-C ends it" not in told:
            assert (line := process.stdout.readline()), told
            told += line
        assert told.startswith("Cluster 'default': 1 head, 1 node.") and f"in {folder};" in told
        found = re.search(r"http://\S+", told)
        assert found is not None
        url = found[0]
        base, _slash, token = url.partition("/lab?token=")
        again = start("start", "--lab", "--no-browser", folder=folder)
        assert again.communicate(timeout=120)[0].endswith(f"JupyterLab runs here already: {url}\n")
        request = urllib.request.Request(f"{base}/api/status", headers={"Authorization": f"token {token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        (server,) = (tmp_path / "jupyter_runtime_dir").glob("jpserver-*.json")
        pid = json.loads(server.read_text())["pid"]
        process.send_signal(signal.SIGTERM)
        rest, _nothing = process.communicate(timeout=120)
        assert (
            process.returncode == 0 and "'default' goes on. To stop it: jupyter rustray stop default" in rest
        )
        assert not lives(pid) and rustray.clusters.find("default").state == "running"
    finally:
        process.kill()
        process.communicate()
    jupyter_rustray("stop")


def test_lab_that_cannot_start_is_told(tmp_path: Path) -> None:
    pytest.importorskip("jupyterlab")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = (f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0")
        told = jupyter_rustray(
            "start", "--lab", "--no-browser", "--num-cpus", "1", "--", *arguments, status=1
        )
    assert "JupyterLab could not be started:" in told and f"port {port} is not available" in told
    assert "The cluster 'default' goes on." in told
    jupyter_rustray("stop")


def test_lab_opens_the_tour_of_a_clone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lab = pytest.importorskip("rustray_jupyter.lab")
    monkeypatch.chdir(ROOT)
    assert lab.first_page() == "lab/tree/notebooks/quickstart.ipynb"
    monkeypatch.chdir(tmp_path)
    assert lab.first_page() == "lab"


class TestDashboard:
    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
        """A server of which only the page of all panels and that of "tasks" are there, for who has the token."""
        pytest.importorskip("rustray_jupyter.lab")

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                there = self.path in ("/base/rustray/dashboard", "/base/rustray/dashboard/tasks")
                knows = self.headers["Authorization"] == "token secret"
                self.send_response((200 if there else 404) if knows else 403)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as pages:
            threading.Thread(target=pages.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{pages.server_port}/base/"
            gone = {"pid": 2, "url": "http://127.0.0.1:1/", "token": ""}
            there = {"pid": 1, "url": url, "token": "secret"}
            monkeypatch.setattr("jupyter_server.serverapp.list_running_servers", lambda: [gone, there])
            yield there
            pages.shutdown()

    def test_the_page_of_a_server_that_runs(self, server: dict[str, object]) -> None:
        from rustray_jupyter import lab

        assert lab.dashboard_url("", "work") == f"{server['url']}rustray/dashboard?cluster=work&token=secret"
        assert "/rustray/dashboard/tasks?" in lab.dashboard_url("tasks", "work")
        with pytest.raises(OptionError, match="no panel 'taks'. Did you mean 'tasks'"):
            lab.dashboard_url("taks", "work")

    def test_without_one(self, server: dict[str, object]) -> None:
        from rustray_jupyter import lab

        server["token"] = "another"
        with pytest.raises(ClusterStartError, match="None of the 2 Jupyter servers here has"):
            lab.dashboard_url("", "work")


def test_a_proxy_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = pytest.importorskip("rustray_jupyter.lab")
    with socket.socket() as proxy, socket.socket() as server:
        for sock in (proxy, server):
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            sock.settimeout(0.0)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setattr(lab, "PAGE_TIMEOUT_S", 0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert lab._status({"url": url, "token": "secret"}, "rustray/dashboard") is None
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_browser_is_given_a_file_that_only_its_user_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lab = pytest.importorskip("rustray_jupyter.lab")
    opened: list[str] = []
    monkeypatch.setattr(lab.webbrowser, "open", opened.append)
    monkeypatch.setattr(lab, "jupyter_runtime_dir", lambda: str(tmp_path))
    for _again in range(2):
        lab.open_in_browser("http://localhost:1/rustray/dashboard?cluster=a&token=secret")
    assert "secret" not in opened[0]
    path = Path(opened[0].removeprefix("file://"))
    assert path.stat().st_mode & 0o777 == 0o600 and "token=secret" in path.read_text()
