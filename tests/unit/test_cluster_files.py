"""Connection files of clusters with names: what they say, when they are stale, and who may have one."""

from __future__ import annotations

import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rustray.clusters import entering, registry, starting
from rustray.clusters import folder as folder_rule
from rustray.clusters.connection_file import (
    ConnectionFile,
    Process,
    check_name,
    from_text,
    is_name,
    living,
    state,
    to_text,
)
from rustray.clusters.folder import path_of
from rustray.clusters.processes import is_alive, this_process
from rustray.errors import AuthenticationError, ClusterStartError, OptionError, RustRayError
from rustray.pids import ELSEWHERE, LIVES, STALE, Place, create_time, here

HERE = Place("host", "boot1 pid:[1]")
HEAD = Process(10, 5.25, "head", "head-1", "/tmp/rr/a")
NODE = Process(11, 6.5, "node", "node-ab", "/tmp/rr/b")
FILE = ConnectionFile(
    "work",
    1000.5,
    HERE,
    heads=("127.0.0.1:1", "127.0.0.1:3"),
    token="secret",
    token_file="/tmp/rr/token",
    node={"resources": {"CPU": 2.0}, "labels": {}},
    processes=(HEAD, NODE),
)


class TestEntering:
    """Processes that come one by one, beside one head of three that has ended."""

    @pytest.fixture
    def known(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ConnectionFile:
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
        me = replace(this_process(), role="head", name="head-1", folder="/h1")
        dead = [Process(pid, 1.0, role, name, f"/{name}") for pid, role, name in self.DEAD]
        registry.claim("work")
        file = registry.change("work", lambda file: replace(file, processes=(me, *dead)))
        assert file is not None
        return file

    DEAD = ((2**22 + 1, "head", "head-2"), (2**22 + 2, "head", "head-3"), (2**22 + 3, "node", "node-a"))

    def names(self) -> list[str]:
        file = registry.read("work")
        assert file is not None
        return [process.name for process in file.processes]

    def test_who_has_ended_is_missed_when_a_start_was_given_up(self, known: ConnectionFile) -> None:
        entering.settle("work", ["/node-b"])
        assert self.names() == ["head-1", "head-2", "head-3", "node-a"]
        entering.settle("work", ["/head-2", "/node-a"])
        assert self.names() == ["head-1", "head-2", "head-3"], "heads are missed"

    def test_heads_are_numbered_as_their_cluster_lists_them(self) -> None:
        heads = ["a:1", "a:11", "a:21"]
        facts = [{"role": "head", "heads": heads, "address": address} for address in ("a:11", "a:1")]
        assert [starting._name(one) for one in facts] == ["head-2", "head-1"]
        assert starting._name({"role": "node", "name": "node-ab", "heads": heads}) == "node-ab"
        assert starting._name({"role": "embedded"}) == "embedded"

    def test_a_head_replaces_that_of_its_name_only(
        self, known: ConnectionFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        again = replace(this_process(), role="head", name="head-2", folder="/again")
        monkeypatch.setattr(entering.starting, "processes_of", lambda _started: (again,))
        entering.add("work", [])
        assert self.names() == ["head-1", "head-3", "node-a", "head-2"]
        node = replace(again, role="node", name="node-b")
        monkeypatch.setattr(entering.starting, "processes_of", lambda _started: (node,))
        entering.add("work", [])
        assert self.names() == ["head-1", "head-3", "head-2", "node-b"]


class TestNames:
    @pytest.mark.parametrize("name", ["a", "0", "work", "my-cluster_2", "a" * 64])
    def test_allowed(self, name: str) -> None:
        assert check_name(name) == name and is_name(name)

    @pytest.mark.parametrize(
        "name",
        ["", "-a", "_a", "A", "a b", "a/b", "../a", "a.b", "a:1", "ä", "a\n", "a" * 65, "auto", "local", 3],
    )
    def test_refused(self, name: str) -> None:
        with pytest.raises(OptionError, match="is no name for a cluster"):
            check_name(name)


class TestFormat:
    def test_there_and_back(self) -> None:
        assert from_text(to_text(FILE)) == FILE
        busy = replace(FILE, busy=NODE)
        assert from_text(to_text(busy)) == busy

    def test_what_others_read(self) -> None:
        content = json.loads(to_text(FILE))
        assert content["version"] == 1 and content["heads"] == ["127.0.0.1:1", "127.0.0.1:3"]
        assert content["processes"][1] == {
            "pid": 11,
            "create_time": 6.5,
            "role": "node",
            "name": "node-ab",
            "folder": "/tmp/rr/b",
        }

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"version": 2}, "version 2"),
            ({"name": "../x"}, "no name"),
            ({"heads": None}, "wrong type"),
            ({"processes": [{"pid": 1}]}, "no 'create_time'"),
            ({"processes": [{**json.loads(to_text(FILE))["processes"][0], "pid": -1}]}, "no pid"),
            ({"started": "soon"}, "soon"),
        ],
    )
    def test_damaged(self, change: dict[str, object], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            from_text(json.dumps({**json.loads(to_text(FILE)), **change}))

    def test_the_token_is_not_in_the_repr(self) -> None:
        assert "secret" not in repr(FILE)


class TestState:
    @pytest.mark.parametrize(
        ("place", "running", "told"),
        [
            (HERE, {10: 5.25, 11: 6.5}, LIVES),
            (HERE, {11: 6.5}, LIVES),
            (HERE, {}, STALE),
            (HERE, {10: 9.0, 11: 9.0}, STALE),  # others have these pids now
            (Place("host", "boot2 pid:[1]"), {10: 5.25, 11: 6.5}, STALE),  # the machine was started again
            (Place("host", "boot1 pid:[2]"), {}, ELSEWHERE),  # a container that shares the machine's name
            (Place("other", "boot1 pid:[2]"), {}, ELSEWHERE),  # a container with the same home folder
        ],
    )
    def test_which(self, place: Place, running: dict[int, float], told: str) -> None:
        assert state(FILE, place, running.get) == told

    def test_one_that_is_being_started(self) -> None:
        started = replace(FILE, processes=(), busy=NODE)
        assert state(started, HERE, {11: 6.5}.get) == LIVES
        assert state(started, HERE, {}.get) == STALE

    def test_living(self) -> None:
        assert living(FILE.processes, {11: 6.5}.get) == (NODE,)


def test_processes_are_told_apart() -> None:
    me = this_process()
    assert is_alive(me) and not is_alive(replace(me, create_time=me.create_time + 1))
    assert this_process() != me  # each operation is its own
    ended = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
    assert create_time(ended) is None  # a zombie
    os.waitpid(ended, 0)
    assert create_time(ended) is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "runtime"


def test_the_folder_without_jupyter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    found = folder_rule._runtime_folder_without_jupyter
    assert found() == os.path.expanduser("~/.local/share/jupyter/runtime")
    monkeypatch.setenv("JUPYTER_DATA_DIR", "/data")
    assert found() == "/data/runtime"
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/run/jupyter")
    assert found() == "/run/jupyter"


class TestRegistry:
    def enter(self, name: str = "work") -> Path:
        """A cluster whose only process is this one."""
        registry.claim(name)
        registry.change(name, lambda file: replace(file, processes=(this_process(),), busy=None))
        return Path(path_of(name))

    def test_a_file_is_this_users_alone(self, folder: Path) -> None:
        path = self.enter()
        assert path == folder / "rustray-work.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
        found = registry.find("work")
        assert found is not None and found.place == here()
        assert [file.name for file in registry.files()] == ["work"]
        registry.remove("work")
        assert not path.exists() and registry.find("work") is None

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
    def test_one_that_others_can_reach_is_refused(self, folder: Path, mode: int) -> None:
        path = self.enter()
        path.chmod(mode)
        with pytest.raises(AuthenticationError, match="must be yours and have mode 0600"):
            registry.find("work")
        with pytest.raises(AuthenticationError):
            registry.claim("work")
        assert registry.files() == []  # and those of others are found
        assert path.exists()

    def test_one_of_another_user_is_refused(self, folder: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
        os.chown(self.enter(), 12345, -1)
        with pytest.raises(AuthenticationError):
            registry.find("work")

    def test_a_link_is_refused(self, folder: Path) -> None:
        path = self.enter()
        path.rename(folder / "elsewhere")
        path.symlink_to(folder / "elsewhere")
        with pytest.raises(AuthenticationError):
            registry.find("work")

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\udcff"])
    def test_a_damaged_one_is_told(self, folder: Path, text: str) -> None:
        path = self.enter()
        path.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(ClusterStartError, match="is damaged"):
            registry.find("work")

    def test_a_file_under_another_name_is_refused(self, folder: Path) -> None:
        self.enter().rename(folder / "rustray-other.json")
        with pytest.raises(ClusterStartError, match="of a cluster named 'work'"):
            registry.find("other")

    def test_the_newest_that_is_up(self, folder: Path) -> None:
        for name in ("first", "second"):
            self.enter(name)
        registry.claim("third")  # it is being started
        found = registry.find()
        assert found is not None and found.name == "second"
        assert [file.name for file in registry.files()] == ["first", "second", "third"]

    def test_the_stale_are_swept_with_what_they_left(self, folder: Path, tmp_path: Path) -> None:
        path = self.enter()
        storage = tmp_path / "storage"
        (storage / "head-1").mkdir(parents=True)
        gone = replace(this_process(), create_time=1.0)
        registry.change("work", lambda file: replace(file, storage=str(storage), processes=(gone,)))
        self.enter("other")
        assert [file.name for file in registry.files()] == ["other"]
        assert not path.exists() and not storage.exists()

    def test_those_of_other_machines_are_left_alone(self, folder: Path) -> None:
        path = self.enter()
        registry.change("work", lambda file: replace(file, place=Place("elsewhere", "boot")))
        assert registry.files() == [] and registry.find("work") is None and path.exists()
        with pytest.raises(ClusterStartError, match="was started on 'elsewhere'"):
            registry.claim("work")

    def test_a_name_is_taken_once(self, folder: Path) -> None:
        def claim(_number: int) -> bool:
            try:
                registry.claim("work")
            except ClusterStartError as error:
                assert "is being started by process" in str(error)
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(claim, range(24))) == 1
        assert sorted(path.name for path in folder.iterdir()) == ["rustray-work.json", "rustray.lock"]

    def test_a_stale_name_is_free(self, folder: Path) -> None:
        self.enter()
        gone = replace(this_process(), create_time=1.0)
        registry.change("work", lambda file: replace(file, processes=(gone,)))
        registry.claim("work")
        assert registry.claim_free("work") == "work-2" and registry.claim_free("work") == "work-3"

    def test_heads_that_are_started_at_the_same_time_are_one_cluster(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heads, sweep, taken = ("h:1", "h:3", "h:5"), registry.sweep, []

        def meanwhile(name: str) -> None:
            monkeypatch.setattr(registry, "sweep", sweep)
            taken.append(entering.take(None, heads))
            sweep(name)

        monkeypatch.setattr(registry, "sweep", meanwhile)
        taken.append(entering.take(None, heads[::-1]))
        assert taken == ["default", "default"]
        assert entering.take("default", heads) == "default"
        with pytest.raises(ClusterStartError, match="h:1,h:3,h:5 runs here already, under the name 'def"):
            entering.take("other", heads)
        assert entering.take(None, ["h:2"]) == "default-2" and entering.take(None) == "default-3"
        assert [file.name for file in registry.files()] == ["default", "default-2", "default-3"]
        registry.change("default-2", lambda file: replace(file, place=Place("elsewhere", "boot")))
        assert entering.take(None, ["h:2"]) == "default-4", "another machine's loopback address is not this one's"

    def test_one_changes_it_at_a_time(self, folder: Path) -> None:
        self.enter()
        inside = threading.Lock()

        def change(_number: int) -> None:
            with registry.alone("work"):
                assert inside.acquire(blocking=False)
                inside.release()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(change, range(8)))
        found = registry.find("work")
        assert found is not None and found.busy is None

    def test_waiting_for_who_is_busy_is_bounded(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.enter()
        monkeypatch.setattr(registry, "BUSY_TIMEOUT_S", 0.1)
        with registry.alone("work"):
            with pytest.raises(ClusterStartError, match=f"Process {os.getpid()} has been"):
                with registry.alone("work"):
                    pass

    def test_who_was_busy_and_died_is_not_waited_for(self, folder: Path) -> None:
        self.enter()
        gone = replace(this_process(), create_time=1.0)
        registry.change("work", lambda file: replace(file, busy=gone))
        with registry.alone("work"):
            pass

    def test_a_stopped_cluster_does_not_touch_the_next_of_its_name(self, folder: Path) -> None:
        self.enter()
        with registry.alone("work"):
            registry.remove("work")
            registry.claim("work")
        found = registry.find("work")
        assert found is not None and found.busy is not None
        with pytest.raises(RustRayError, match="No cluster named 'gone'"):
            with registry.alone("gone"):
                pass

    def test_a_lock_that_is_kept_is_told(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.enter()
        monkeypatch.setattr(registry, "LOCK_TIMEOUT_S", 0.05)
        with registry._locked():
            with pytest.raises(ClusterStartError, match="has been locked"):
                registry.claim("other")
