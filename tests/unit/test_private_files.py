"""Files with secrets, and the lock between processes."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from rustray import private_files
from rustray.driver import registry
from rustray.errors import ClusterStartError
from rustray.file_lock import locked
from rustray.wire import certificates


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_that_others_can_read_is_replaced(folder: Path) -> None:
    token = folder / "token"
    token.write_text("planted")
    token.chmod(0o666)
    with open(token) as reader:  # of somebody who has opened it before
        private_files.write(str(token), "secret")
        assert reader.read() == "planted"
    assert token.read_text() == "secret" and mode(token) == 0o600
    assert os.listdir(folder) == ["token"]


def test_a_link_is_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "theirs"
    elsewhere.write_text("theirs")
    (folder / "token").symlink_to(elsewhere)
    registry.keep_token(str(folder), "secret")
    assert elsewhere.read_text() == "theirs" and not (folder / "token").is_symlink()
    assert (folder / "token").read_text() == "secret\n"
    (folder / "fresh").symlink_to(folder / "nowhere")
    with pytest.raises(FileExistsError):
        private_files.write(str(folder / "fresh"), "secret", fresh=True)
    assert not (folder / "nowhere").exists()


@pytest.mark.parametrize("allowed", [0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(folder: Path, allowed: int) -> None:
    folder.chmod(allowed)
    with pytest.raises(ClusterStartError, match="nobody else may be able to write"):
        registry.keep_token(str(folder), "secret")
    with pytest.raises(PermissionError, match="chmod go-w"):
        private_files.check_folder(str(folder))
    with pytest.raises(ClusterStartError, match="nobody else may be able to write"):
        certificates.make(str(folder), [])
    assert os.listdir(folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    os.chown(folder, 12345, -1)
    with pytest.raises(PermissionError, match="must belong to you"):
        private_files.write(str(folder / "token"), "secret")
    assert os.listdir(folder) == []


def test_a_file_that_must_be_new_is_whole_or_not_there(folder: Path) -> None:
    path = folder / "connection"
    private_files.write(str(path), b"first", fresh=True)
    with pytest.raises(FileExistsError):
        private_files.write(str(path), b"second", fresh=True)
    assert path.read_bytes() == b"first" and os.listdir(folder) == ["connection"]


def test_a_lock_is_waited_for_and_not_for_ever(folder: Path) -> None:
    path = str(folder / "lock")
    entered = threading.Event()

    def next_one() -> None:
        with locked(path, 10.0):
            entered.set()

    waiting = threading.Thread(target=next_one)
    with locked(path, 1.0):
        with pytest.raises(TimeoutError, match="has been locked for 0.02 s"):
            with locked(path, 0.02):
                raise AssertionError("two have it")
        waiting.start()
        assert not entered.is_set()
    assert entered.wait(10)
    waiting.join()
    assert mode(Path(path)) == 0o600


def test_a_lock_that_is_a_link_is_refused(folder: Path) -> None:
    (folder / "lock").symlink_to(folder / "nowhere")
    with pytest.raises(OSError, match="symbolic links"):
        with locked(str(folder / "lock"), 1.0):
            raise AssertionError("somebody else's file was locked")
    assert not (folder / "nowhere").exists()
