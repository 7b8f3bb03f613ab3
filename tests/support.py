"""What integration tests share: waiting for events with a deadline, gates and ticks between a test and its tasks, and
programs in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from rustray.driver.current import current

T = TypeVar("T")

WAIT_S = 60.0
"""For what comes within a moment, on a machine that has other work."""

ROOT = Path(__file__).resolve().parents[1]


def eventually(look: Callable[[], T], timeout: float = WAIT_S, pause: float = 0.02) -> T:
    """The first true value of `look()`; AssertionError with the last one after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s it is still {found!r}")
        time.sleep(pause)
    return found


def tick(path: Path) -> int:
    """Note in a file that a task has come here, in whatever process it runs; gives how often, from 1 on."""
    with open(path, "ab", buffering=0) as file:
        file.write(b".")
        return file.tell()


def ticks(path: Path) -> int:
    """How often tasks have noted in `path` that they came there."""
    return path.stat().st_size if path.exists() else 0


class Gate:
    """Holds tasks until the test lets them go on, in whatever processes of this machine they run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def waiters(self) -> int:
        """How often a task has come to the gate."""
        return ticks(self.path.with_suffix(".waited"))

    def wait(self) -> None:
        """In a task: be held here until the gate is open."""
        tick(self.path.with_suffix(".waited"))
        while not self.path.exists():
            time.sleep(0.005)

    def open(self) -> None:
        self.path.touch()

    def wait_for_waiters(self, count: int = 1, timeout: float = WAIT_S) -> None:
        """In the test: until so many tasks have come to the gate; AssertionError after `timeout` seconds."""
        eventually(lambda: self.waiters >= count, timeout)


def threads_in_get() -> int:
    """How many threads of this process are in rustray.get."""
    # Not by sys._current_frames(): CPython before 3.11.9 may deadlock in it when a thread starts or ends meanwhile.
    return current().reactor._claims


def start_program(code: str, *arguments: str, folder: Path | None = None) -> subprocess.Popen[str]:
    """Run `code` as a script in a Python process of its own; its output is to be read from `.stdout`."""
    folder = folder or Path(os.environ.get("TMPDIR", "/tmp"))
    script = folder / f"program-{os.getpid()}-{time.monotonic_ns()}.py"
    script.write_text(textwrap.dedent(code))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=folder,
    )


def run_program(code: str, *arguments: str, folder: Path | None = None, timeout: float = 2 * WAIT_S) -> str:
    """What the script `code` prints; AssertionError with it when the script fails."""
    process = start_program(code, *arguments, folder=folder)
    try:
        output, _nothing = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _nothing = process.communicate()
        raise AssertionError(f"the program did not end within {timeout} s; it printed:\n{output}") from None
    assert process.returncode == 0, f"the program ended with {process.returncode}:\n{output}"
    return output


def rustray_command(*arguments: str, status: int = 0) -> str:
    """What the command `rustray` prints; AssertionError with it when it ends with another status."""
    command = [sys.executable, "-m", "rustray", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=2 * WAIT_S)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def lives(pid: int) -> bool:
    """Whether a process has not ended (a zombie has)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
