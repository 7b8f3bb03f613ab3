"""`start --lab` and signals: JupyterLab never outlives the command that started it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rustray_jupyter import lab

STUBBORN = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(100)
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """The children that stand for JupyterLab. Signals are handled as by the command."""
    processes: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def start(*_arguments: Any, **_options: Any) -> subprocess.Popen[str]:
        child = popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True)
        processes.append(child)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        signal.raise_signal(signal.SIGTERM)  # between the start and when it is known
        return child

    tmp_path.chmod(0o700)
    monkeypatch.setattr(lab, "jupyter_runtime_dir", lambda: str(tmp_path))
    monkeypatch.setattr(lab.subprocess, "Popen", start)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield processes
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for process in processes:
        process.kill()
        process.wait()


def test_a_signal_right_after_its_start_ends_it(
    started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lab, "STOP_TIMEOUT_S", 0.05)
    assert lab.run([], browser=False, cluster="work") == 0
    (process,) = started
    assert process.returncode == -signal.SIGKILL, "it ignores the rest"
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_does_not_leave_it_behind(
    started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Again:
        """A child whose user presses Ctrl-C once more while it is waited for."""

        def __init__(self, child: subprocess.Popen[str]) -> None:
            self._child = child
            self.kill = child.kill
            self.poll = child.poll

        def terminate(self) -> None:
            self._child.terminate()
            signal.raise_signal(signal.SIGTERM)

        def wait(self, timeout: float | None = None) -> int:
            return self._child.wait(timeout)

    start = lab.subprocess.Popen
    monkeypatch.setattr(lab.subprocess, "Popen", lambda *given, **options: Again(start(*given, **options)))
    assert lab.run([], browser=False, cluster="work") == 0
    (process,) = started
    assert process.returncode == -signal.SIGKILL
