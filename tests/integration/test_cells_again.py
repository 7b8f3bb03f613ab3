"""`%%remote` cells when their kernel is started again, killed or shut down."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest

import rustray.clusters
from tests.integration.test_cells import OPEN, gate_of
from tests.integration.test_cells_stopped import STOP_S, STOPPED
from tests.notebook import Notebook
from tests.support import eventually, lives, ticks


def server_of(notebook: Notebook) -> int:
    """The process of the notebook's own cluster."""
    found = notebook.run(
        "from rustray.driver import registry\nfrom rustray.driver.current import current\n"
        "next(c['pid'] for c in registry.clusters() if c.get('socket') == current().info['socket'])"
    )
    return int(found.value or 0)


def ends(pid: int, timeout: float = 15.0) -> None:
    """Wait until a process and its children are gone."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)] if lives(pid) else []
    eventually(lambda: not lives(pid), timeout)
    eventually(lambda: not any(lives(one.pid) for one in family))


@pytest.mark.parametrize("crash", [False, True])
def test_cells_outlive_their_kernel(tmp_path: Path, crash: bool) -> None:
    notebook = Notebook()
    try:
        notebook.run(OPEN)
        gate = gate_of(notebook, tmp_path / "gate")
        count = tmp_path / "runs"
        notebook.run(f"count = Path({str(count)!r})")
        notebook.run("%%remote --name shown\nprint('seen'); 1")
        notebook.run(
            "%%remote -b --name fit -o model\ntick(count)\nprint('begins')\ngate.wait()\n"
            "print('goes on')\nmodel = 'm'\n42"
        )
        notebook.run("%%remote -b --map 'n in range(3)' --name loop\nn * 2")
        notebook.run("rustray.get(rustray_cells['loop'])")
        gate.wait_for_waiters()
        server = server_of(notebook)
        notebook.restart(crash)
        assert "as the kernel before has left it" in notebook.run(OPEN).text["stdout"]
        assert server_of(notebook) == server
        cell = notebook.start("%rustray attach")
        cards = notebook.finish(cell).cards
        fit, loop = cards.values()
        assert re.match(r"fit: running for .* \(as of .*\); In\[\d+\] tick\(count\); begun .*; gives model$", fit)
        assert re.match(r"loop: 3 of 3 done, .*, done after .*; In\[\d+\] n \* 2; begun ", loop)
        notebook.run("found = _")
        gate.open()
        assert (
            notebook.run("rustray.get([found['fit'], rustray_cells['fit'], model])").value == "[42, 42, 'm']"
        )
        assert notebook.run("rustray.get(found['loop'])").value == "[0, 2, 4]"
        # What it prints comes to the cell that has attached, from the beginning.
        eventually(lambda: (notebook.run("1"), "goes on" in notebook.shown[cell].text["stdout"])[1])
        eventually(lambda: (notebook.run("1"), "fit: done after" in next(iter(cards.values())))[1])
        lines = notebook.shown[cell].text["stdout"].splitlines()
        assert [line.partition(") ")[2] for line in lines] == ["begins", "goes on"]
        assert all(line.startswith("(fit pid=") for line in lines)
        assert notebook.run("found.log('fit')").text["stdout"] == "begins\ngoes on\n"
        assert ticks(count) == 1
        assert notebook.run("%%remote\n'as ever'").value == "'as ever'"
        assert notebook.run("str(rustray.logs(found['fit']))").value == r"'begins\ngoes on\n'"
        assert notebook.run("%rustray logs fit").text["stdout"] == "begins\ngoes on\n"
    finally:
        notebook.close()
    ends(server)


@pytest.mark.parametrize("how", ["restart", "restart at once", "crash"])
def test_a_cell_that_is_waited_for_goes_on_when_the_kernel_is_started_again(tmp_path: Path, how: str) -> None:
    notebook = Notebook()
    try:
        notebook.run(OPEN)
        gate = gate_of(notebook, tmp_path / "gate")
        count = tmp_path / "runs"
        kernel = int(notebook.run(f"import os\ncount = Path({str(count)!r})\nos.getpid()").value or 0)
        notebook.start(
            "%%remote --map 'n in range(2)' --name fit -o model\ntick(count)\ngate.wait()\nmodel = 'm'\n42 + n"
        )
        gate.wait_for_waiters(2)
        if how == "crash":
            psutil.Process(kernel).kill()
        notebook.restart(crash=how != "restart")
        assert "as the kernel before has left it" in notebook.run(OPEN).text["stdout"]
        (fit,) = notebook.run("%rustray attach").cards.values()
        assert fit.startswith("fit: 0 of 2 done, 2 running")
        gate.open()
        assert notebook.run("rustray.get(rustray_cells['fit']), rustray.get(model)").value == "([42, 43], ['m', 'm'])"
        assert ticks(count) == 2
        again = gate_of(notebook, tmp_path / "again")
        stopped = notebook.start("%%remote --name stopped\ngate.wait()")
        again.wait_for_waiters()
        pressed = notebook.interrupt()
        assert STOPPED.search(notebook.finish(stopped).error)
        assert time.monotonic() - pressed < STOP_S
    finally:
        notebook.close()


def test_cells_of_an_earlier_kernel_are_cancelled_when_they_are_attached(tmp_path: Path) -> None:
    notebook = Notebook()
    try:
        notebook.run(OPEN)
        gate = gate_of(notebook, tmp_path / "gate")
        for name in ("one", "two"):
            notebook.run(f"%%remote -b --name {name}\ngate.wait()")
        gate.wait_for_waiters(2)
        notebook.restart()
        notebook.run(OPEN)
        notebook.run("found = rustray.jupyter.attaching.attach()\nfound = rustray.jupyter.attaching.attach()")
        told = notebook.run("%rustray cancel one").text["stdout"]
        assert told.startswith("RustRay: one") and STOPPED.search(told)
        notebook.run("rustray.cancel(found['two'])")
        assert "TaskCancelledError" in notebook.run("rustray.get(rustray_cells['two'])").kind
    finally:
        notebook.close()


def test_the_next_kernel_goes_to_the_cluster_that_has_the_cells(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("rr")
    folder.chmod(0o700)
    monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    started = [rustray.clusters.start("one", num_cpus=1)]
    notebook = Notebook(JPY_SESSION_NAME=str(tmp_path / "a.ipynb"))
    opening = "%load_ext rustray\nimport rustray\n%rustray init"
    try:
        assert "on cluster one" in notebook.run(opening).text["stdout"]
        notebook.run("%%remote -b --name fit\n42")
        started.append(rustray.clusters.start("newer", num_cpus=1))
        notebook.restart()
        assert "on cluster one" in notebook.run(opening).text["stdout"]
        notebook.run("%rustray attach")
        assert notebook.run("rustray.get(rustray_cells['fit'])").value == "42"
        notebook.run("%rustray shutdown\n%rustray init newer")
        assert "Other clusters run: one." in notebook.run("%rustray attach").text["stdout"]
    finally:
        notebook.close()
        for cluster in started:
            cluster.stop()


def test_a_new_cluster_is_new_also_after_a_restart() -> None:
    notebook = Notebook()
    servers = []
    try:
        notebook.run(OPEN)
        notebook.run("%%remote\n1")
        servers.append(before := server_of(notebook))
        notebook.restart()
        told = notebook.run(OPEN.replace("init", "init --new")).text["stdout"]
        assert "is ready with 4 CPUs, after" in told and "left it" not in told
        servers.append(new := server_of(notebook))
        assert new != before
        notebook.run("%%remote\n1")
        notebook.restart()
        notebook.run(OPEN)
        assert server_of(notebook) == new  # the newer one of two
    finally:
        notebook.close()
        for server in servers:
            if lives(server):  # the older one would wait for a kernel as long as its grace period
                psutil.Process(server).terminate()
            ends(server)


def test_a_kernel_that_is_shut_down_leaves_nothing(tmp_path: Path) -> None:
    notebook = Notebook()
    try:
        notebook.run(OPEN)
        server = server_of(notebook)
        gate_of(notebook, tmp_path / "gate")
        notebook.run("%%remote -b\ngate.wait()")
    finally:
        notebook.close()
    ends(server)


def test_cells_without_a_kernel_end_after_the_grace_period() -> None:
    notebook = Notebook(RUSTRAY_KERNEL_GRACE_S="5")
    try:
        notebook.run(OPEN)
        server = server_of(notebook)
        notebook.run("%%remote\n1")
        kernel = int(notebook.run("import os\nos.getpid()").value or 0)
        psutil.Process(kernel).kill()
        eventually(lambda: not lives(kernel))
        assert lives(server)
        ends(server)
    finally:
        notebook.close()
