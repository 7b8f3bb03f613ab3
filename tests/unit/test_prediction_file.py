"""What is kept of predictions from run to run."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rustray.head import prediction_file
from rustray.head.log import LocalLog
from rustray.head.prediction_file import NAME, PredictionFile, read, save, state_folder
from rustray.head.reactor import Head
from rustray.scheduler.prediction import Predictions

F, G = b"f" * 16, b"g" * 16


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.run_until_complete(made.shutdown_default_executor())
    made.close()


def changed(function: bytes = F, seconds: float = 1.0, now: float = 1.0) -> dict[str, Any]:
    predictions = Predictions()
    predictions.observe(function, 1, seconds, seconds * seconds, now)
    found = predictions.take_changed()
    assert found is not None
    return found


def kept(folder: Path) -> Predictions:
    predictions = Predictions()
    predictions.merge(read(str(folder)))
    return predictions


def run_s(folder: Path, function: bytes = F) -> float | None:
    found = kept(folder).estimate(function)
    return None if found is None else found.run_s


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("RUSTRAY_STATE_DIR", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_folder() == "/home/me/.local/state/rustray"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # to be ignored, says the specification
    assert state_folder() == "/home/me/.local/state/rustray"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert state_folder() == "/var/state/rustray"
    monkeypatch.setenv("RUSTRAY_STATE_DIR", "/mine")
    assert state_folder() == "/mine"


def test_it_is_for_its_user_alone_and_leaves_no_scraps(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    save(str(folder), changed())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [NAME, NAME + ".lock"]


def test_clusters_that_run_at_once_add_to_it(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=save, args=(str(tmp_path), changed(bytes([n]) * 16, now=n)))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept(tmp_path)) == 20


def test_an_older_report_does_not_undo_a_newer_one(tmp_path: Path) -> None:
    save(str(tmp_path), changed(seconds=2.0, now=20.0))
    save(str(tmp_path), changed(seconds=1.0, now=10.0))
    assert run_s(tmp_path) == 2.0


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"format": 1, "functions": [[[[', "\udcff"])
def test_a_damaged_file_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_bytes(content.encode(errors="surrogateescape"))
    assert len(kept(tmp_path)) == 0
    save(str(tmp_path), changed())
    assert run_s(tmp_path) == 1.0


def test_without_a_place_it_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    save(str(tmp_path / "file" / "below"), changed())
    save("relative/path", changed())
    assert not os.path.exists("relative") and read("/nowhere/at/all") == {}


def test_one_that_writes_for_ever_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_file, "LOCK_S", 0.05)
    with open(tmp_path / (NAME + ".lock"), "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        save(str(tmp_path), changed())
    assert run_s(tmp_path) is None


def test_a_head_starts_with_what_was_known_and_leaves_what_it_learned(
    tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    save(str(tmp_path), changed(seconds=2.0))
    head = Head(loop.time, lambda: 100.0, LocalLog())
    file = PredictionFile(loop, head.forecasts, str(tmp_path))
    file.start()
    for _ in range(2000):
        loop.run_until_complete(asyncio.sleep(0.01))
        if len(head.forecasts.predictions):
            break
    found = head.forecasts.predictions.estimate(F)
    assert found is not None and found.run_s == 2.0
    file.stop()  # with nothing new
    before = (tmp_path / NAME).stat().st_ino
    head.forecasts.predictions.observe(G, 1, 3.0, 9.0, 100.0)
    file.stop()
    assert (tmp_path / NAME).stat().st_ino != before
    assert run_s(tmp_path, F) == 2.0 and run_s(tmp_path, G) == 3.0
    assert json.loads((tmp_path / NAME).read_text())["format"] == 1
