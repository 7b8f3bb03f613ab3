"""What every test has: a time limit, and a session that leaves no process and no shared memory behind."""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import IO

import psutil
import pytest

TIME_LIMIT = 180.0  # seconds for one test with its fixtures; @pytest.mark.timeout(seconds) sets another
GRACE = 15.0  # seconds in which a test that ran out of time may clean up, before the whole run is ended
SETTLE = 30.0  # seconds after the last test in which processes may still end

# Every program that a test starts inherits this variable, so that one which has left its parent is found too.
MARK = "RUSTRAY_TEST_SESSION"
SHARED_MEMORY = Path("/dev/shm")

real_stderr: IO[str]


def pytest_configure(config: pytest.Config) -> None:
    # Stack traces of a run that hangs go to the terminal, although pytest captures what tests print.
    global real_stderr
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        real_stderr = os.fdopen(os.dup(2), "w")
    # Who is started in the background by a shell inherits that interrupts are ignored, and so would all it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ[MARK] = uuid.uuid4().hex
    # What clusters learn of functions is not to depend on, nor to add to, what this user's own have learned.
    os.environ["RUSTRAY_STATE_DIR"] = tempfile.mkdtemp(prefix="rustray-tests-state-")
    config.add_cleanup(lambda: shutil.rmtree(os.environ["RUSTRAY_STATE_DIR"], ignore_errors=True))
    # Nor are his clusters to be found, or stopped, by tests; nor those of tests that run beside these.
    os.environ["RUSTRAY_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="rr-")
    config.add_cleanup(lambda: shutil.rmtree(os.environ["RUSTRAY_RUNTIME_DIR"], ignore_errors=True))
    os.environ["JUPYTER_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="rustray-tests-jupyter-")
    config.add_cleanup(lambda: shutil.rmtree(os.environ["JUPYTER_RUNTIME_DIR"], ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that takes too long where it stands; end the run if even that does not free it."""
    marker = item.get_closest_marker("timeout")
    limit = float(marker.args[0]) if marker else TIME_LIMIT

    def out_of_time(signum: int, frame: object) -> None:
        faulthandler.dump_traceback(real_stderr)  # where every thread is, and not the main one only
        pytest.fail(f"the test took longer than {limit:g} s")

    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, limit)
    faulthandler.dump_traceback_later(limit + GRACE, exit=True, file=real_stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Generator[None]:
    """The whole run fails where a process or a file in shared memory outlives the tests."""
    files = set(SHARED_MEMORY.glob("rustray*"))
    yield
    deadline = time.monotonic() + SETTLE
    while (left := processes_left() + files_left(files)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, "left behind by the tests: " + ", ".join(left)


def processes_left() -> list[str]:
    children = {process.pid for process in psutil.Process().children(recursive=True)}
    left = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and (process.pid in children or is_marked(process)):
                left.append(f"process {process.pid} ({' '.join(process.cmdline())})")
        except psutil.Error:  # it has ended since, or it is another user's and so not ours
            continue
    return left


def is_marked(process: psutil.Process) -> bool:
    return process.pid != os.getpid() and process.environ().get(MARK) == os.environ[MARK]


def files_left(before: set[Path]) -> list[str]:
    """New files that no process has open: those of another cluster on this machine are open there."""
    new = set(SHARED_MEMORY.glob("rustray*")) - before
    return [str(path) for path in sorted(new) if not is_open(path)]


def is_open(path: Path) -> bool:
    for process in psutil.process_iter():
        try:
            if any(opened.path == str(path) for opened in process.open_files()):
                return True
        except psutil.Error:  # as above
            continue
    return False
