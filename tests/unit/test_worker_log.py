"""A worker's log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rustray.worker.log import WorkerLog


def test_what_others_write_is_read_and_our_own_is_not(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = WorkerLog(fd)
    os.write(fd, b"of a library\n")
    log.write("ours\n")
    os.write(fd, b"of a child\n")
    assert log.others() == "of a library\nof a child\n" and log.others() == ""
    assert (tmp_path / "log").read_text() == "of a library\nours\nof a child\n"
    os.close(fd)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_task_does_not_fail_because_the_disk_is_full() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    WorkerLog(fd).write("what nobody can keep\n")
    os.close(fd)
