"""The last lines of logs, and those that follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rustray.clusters import logs
from rustray.clusters.connection_file import Process
from rustray.clusters.logs import Log, follow, last_lines, tail


@pytest.fixture
def process(tmp_path: Path) -> Process:
    (tmp_path / "logs").mkdir()
    return Process(7, 1.0, "node", "node-a", str(tmp_path))


def test_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert last_lines(str(path), 3) == []
    path.write_bytes(b"one\ntwo\nthr\xffee")
    assert last_lines(str(path), 2) == ["two", "thr\ufffdee"] and last_lines(str(path), 0) == []


def test_tail_leaves_out_what_is_empty(tmp_path: Path, process: Process) -> None:
    (tmp_path / "logs" / "node.log").write_text("one\ntwo\n")
    (tmp_path / "logs" / "node.err").write_text("")
    title = f"==> node-a, process 7: {tmp_path}/logs/node.log <=="
    assert tail(Log.of(process), 1) == f"{title}\ntwo"
    assert [log.path.rpartition("/")[2] for log in Log.of(process)] == ["node.log", "node.err"]


def test_follow(tmp_path: Path, process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FOLLOW_S", 0.0)
    first, second = tmp_path / "logs" / "node.log", tmp_path / "logs" / "node.err"
    first.write_text("old\n")

    def steps() -> Iterator[bool]:
        with open(first, "a") as file:
            file.write("new\nhal")
        yield True
        with open(first, "a") as file:
            file.write("f\n")
        yield True
        second.write_text("other\n")
        yield False

    goes_on = steps()
    lines = list(follow(lambda: Log.of(process), lambda: next(goes_on), 1))
    one, two = (log.title for log in Log.of(process))
    assert lines == [f"{one}\nold", f"\n{one}", "new", "half", f"\n{two}", "other"]


def test_what_is_written_between_the_last_lines_and_the_following_is_told_once(
    tmp_path: Path, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "logs" / "node.log"
    path.write_text("old\n")
    last_lines = logs.last_lines

    def while_another_writes(*arguments: object) -> list[str]:
        with open(path, "a") as file:
            file.write("new\n")
        return last_lines(*arguments)

    monkeypatch.setattr(logs, "last_lines", while_another_writes)
    (log,) = (log for log in Log.of(process) if log.path == str(path))
    assert list(follow(lambda: [log], lambda: False, 1)) == [f"{log.title}\nold", f"\n{log.title}", "new"]
