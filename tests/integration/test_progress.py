"""Bars in a program: Ctrl-C, workers that die, actors, tasks of tasks; each bar ends once, in a line of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from tests.support import ROOT

PREAMBLE = """
import os, sys, time
import rustray
from rustray.util.tqdm import tqdm, trange

@rustray.remote
def nap(seconds):
    time.sleep(seconds)
    return seconds

rustray.init(num_cpus=2)
"""


def run(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_bars_of_workers_end_once_each_also_when_they_die() -> None:
    ran = run(
        """
        @rustray.remote(max_retries=0)
        def dies():
            bar = tqdm(total=10, desc="dies")
            bar.update()
            time.sleep(0.3)
            bar.update()
            os._exit(1)

        @rustray.remote
        def inner():
            for _ in trange(3, desc="inner"):
                pass

        @rustray.remote
        class Trainer:
            def train(self):
                for _ in tqdm("abc", desc="actor"):
                    pass
                rustray.get(inner.remote())

        rustray.get(Trainer.remote().train.remote())
        try:
            rustray.get(dies.remote())
        except rustray.exceptions.WorkerCrashedError:
            pass
        deadline = time.monotonic() + 10
        while rustray.driver.current.current().output.bars and time.monotonic() < deadline:
            time.sleep(0.05)
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert [line[:5] for line in ran.stderr.splitlines()] == ["actor", "inner", "dies:"]


def test_progress_gives_values_and_tells_of_failures() -> None:
    ran = run(
        """
        @rustray.remote
        def odd(n):
            assert n % 2, n
            return n

        refs = [odd.remote(n) for n in range(10)]
        assert rustray.progress(refs, desc="odd") is refs
        print(rustray.get(rustray.progress(refs[1])))
        rustray.progress([])
        """
    )
    assert (ran.returncode, ran.stdout) == (0, "1\n"), ran.stderr
    first, second, third = ran.stderr.splitlines()
    assert first.startswith("odd: 100 %") and "5 of 10 done, 5 failed" in first
    assert second.endswith("1 of 1 done")
    assert third.endswith("0 of 0 done")


def test_ctrl_c_ends_the_waiting_and_leaves_the_tasks_and_the_terminal_alone(tmp_path: Path) -> None:
    driver, terminal = pty.openpty()
    program = PREAMBLE + textwrap.dedent(
        """
        from pathlib import Path
        from tests.support import Gate

        @rustray.remote
        def held(gate):
            gate.wait()
            return 3

        gate = Gate(Path(sys.argv[1]))
        refs = [held.remote(gate), held.remote(gate)]
        try:
            rustray.progress(refs, desc="naps")
        except KeyboardInterrupt:
            print("interrupted", len(rustray.wait(refs, num_returns=2, timeout=0)[1]), flush=True)
        gate.open()
        print(sum(rustray.get(refs)), flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "gate")], stdout=terminal, stderr=terminal, cwd=ROOT
    )
    os.close(terminal)
    try:
        shown = _read(driver, b"2 running")
        process.send_signal(signal.SIGINT)
        shown += _read(driver, b"\n6")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(driver)
    text = shown.decode()
    assert "interrupted 2" in text
    last = re.split(r"\x1b\[1A\x1b\[2K", text.partition("interrupted")[0])[-1]
    assert last.startswith("naps:   0 %") and last.endswith(
        "\r\n"
    )  # what is printed begins in a line of its own


def _read(fd: int, until: bytes) -> bytes:
    shown = b""
    deadline = time.monotonic() + 30
    while until not in shown:
        assert time.monotonic() < deadline, shown
        shown += os.read(fd, 4096)
    return shown
