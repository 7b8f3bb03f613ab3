from __future__ import annotations

import os
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

import rustray.snapshots
from rustray.errors import OptionError, RuntimeEnvSetupError
from rustray.runtime_env import RuntimeEnv, apply, key, merge, prepare


@pytest.fixture
def project(tmp_path: Path) -> Path:
    top = tmp_path / "project"
    for name in (
        "main.py",
        "pkg/__init__.py",
        "data/big.bin",
        ".git/HEAD",
        "pkg/__pycache__/x.pyc",
        "logs/a.log",
    ):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return top


@pytest.fixture
def session(tmp_path: Path) -> str:
    return str(tmp_path / "session")


@pytest.fixture
def process_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `apply` changes is put back."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(os.getcwd())


def names(top: str) -> set[str]:
    return {str(path.relative_to(top)) for path in Path(top).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"env_var": {}}, "Did you mean 'env_vars'"),
        ({"workingdir": "."}, "Did you mean 'working_dir'"),
        ({"pip": ["x"]}, "not supported"),
        ({"env_vars": ["A"]}, "a dict"),
        ({"env_vars": {"A": 1}}, "as '1'"),
        ({"env_vars": {"A=": "1"}}, "without '='"),
        ({"working_dir": 3}, "a path"),
        ({"working_dir": "s3://bucket/x.zip"}, "a local path"),
        ({"working_dir": __file__}, ".zip"),
        ({"py_modules": "x"}, "a list"),
        ({"py_modules": [types.ModuleType("made")]}, "have a file"),
        ({"excludes": [1]}, "patterns"),
    ],
)
def test_bad_entries(given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        RuntimeEnv(given)
    assert told in str(caught.value)


def test_missing_paths() -> None:
    with pytest.raises(RuntimeEnvSetupError, match="does not exist"):
        RuntimeEnv(working_dir="/no/such/dir")
    with pytest.raises(RuntimeEnvSetupError, match="does not exist"):
        RuntimeEnv(py_modules=["/no/such/dir"])


def test_rays_own_entries_are_ignored(session: str) -> None:
    env = RuntimeEnv({"config": {"setup_timeout_seconds": 3}}, env_vars=None)
    assert env == {} and prepare(env, session) == {} and key({}) == b"" and not os.path.exists(session)


def test_a_working_dir_is_copied_once(project: Path, session: str) -> None:
    plain = prepare(RuntimeEnv(working_dir=str(project), excludes=["data/", "*.log"]), session)
    assert names(plain["cwd"]) == {"main.py", "pkg/__init__.py"}
    again = prepare(RuntimeEnv(working_dir=str(project), excludes=["data/", "*.log"]), session)
    assert again == plain and key(again) == key(plain)
    (project / "main.py").write_text("edited")
    later = prepare(RuntimeEnv(working_dir=str(project), excludes=["data/", "*.log"]), session)
    assert later["cwd"] != plain["cwd"] and key(later) != key(plain)
    assert Path(plain["cwd"], "main.py").read_text() == "main.py"
    assert len(os.listdir(os.path.join(session, "runtime_envs"))) == 2


def test_a_module_keeps_its_name(project: Path, session: str) -> None:
    single = project / "single.py"
    single.write_text("x = 1")
    module = types.ModuleType("pkg")
    module.__path__ = [str(project / "pkg")]
    plain = prepare(RuntimeEnv(py_modules=[str(project / "pkg"), str(single), module]), session)
    assert names(plain["sys_path"][0]) == {"pkg/__init__.py"}
    assert names(plain["sys_path"][1]) == {"single.py"}
    assert plain["sys_path"][2] == plain["sys_path"][0]


def test_archives(project: Path, session: str, tmp_path: Path) -> None:
    wrapped, flat, broken = tmp_path / "wrapped.zip", tmp_path / "flat.zip", tmp_path / "broken.zip"
    with zipfile.ZipFile(wrapped, "w") as archive:
        archive.writestr("top/main.py", "x = 1")
        archive.writestr("../../outside.py", "x = 1")
    with zipfile.ZipFile(flat, "w") as archive:
        archive.writestr("a.py", "")
        archive.writestr("b.py", "")
    broken.write_text("no zip")
    assert names(prepare(RuntimeEnv(working_dir=str(flat)), session)["cwd"]) == {"a.py", "b.py"}
    assert names(prepare(RuntimeEnv(py_modules=[str(flat)]), session)["sys_path"][0]) == {"a.py", "b.py"}
    prepare(RuntimeEnv(working_dir=str(wrapped)), session)
    assert not list(tmp_path.glob("outside.py")) and not list(Path(session).glob("outside.py"))
    with pytest.raises(RuntimeEnvSetupError, match="not a zip file"):
        prepare(RuntimeEnv(working_dir=str(broken)), session)


def test_an_archive_of_one_directory_means_its_content(session: str, tmp_path: Path) -> None:
    path = tmp_path / "one.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("top/main.py", "")
    assert names(prepare(RuntimeEnv(working_dir=str(path)), session)["cwd"]) == {"main.py"}
    assert names(prepare(RuntimeEnv(py_modules=[str(path)]), session)["sys_path"][0]) == {"top/main.py"}


def test_too_large(project: Path, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rustray.snapshots, "MAX_BYTES", 10)
    with pytest.raises(RuntimeEnvSetupError, match=r"Biggest: .*excludes"):
        prepare(RuntimeEnv(working_dir=str(project)), session)
    assert not os.path.exists(session)


def test_links(project: Path, session: str, tmp_path: Path) -> None:
    (project / "pkg" / "up").symlink_to(project)
    (project / "dangling").symlink_to(tmp_path / "nowhere")
    plain = prepare(RuntimeEnv(working_dir=str(project)), session)
    assert "main.py" in names(plain["cwd"]) and "dangling" not in names(plain["cwd"])


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("*.log", {"logs/a.log"}),
        ("logs", {"logs/a.log"}),
        ("logs/", {"logs/a.log"}),
        ("/main.py", {"main.py"}),
        ("pkg/*.py", {"pkg/__init__.py"}),
        ("**/__init__.py", {"pkg/__init__.py"}),
        ("data/**", {"data/big.bin"}),
        ("m?in.[pq]y", {"main.py"}),
        ("m?in.[!p]y", set()),
        ("py", set()),
        ("# main.py", set()),
    ],
)
def test_patterns(pattern: str, gone: set[str], project: Path, session: str) -> None:
    everything = {"main.py", "pkg/__init__.py", "data/big.bin", "logs/a.log"}
    plain = prepare(RuntimeEnv(working_dir=str(project), excludes=[pattern]), session)
    assert names(plain["cwd"]) == everything - gone


def test_a_pattern_can_take_back(project: Path, session: str) -> None:
    plain = prepare(RuntimeEnv(working_dir=str(project), excludes=["*.py", "!main.py"]), session)
    assert "main.py" in names(plain["cwd"]) and "pkg/__init__.py" not in names(plain["cwd"])


def test_merge_is_rays(project: Path, session: str) -> None:
    job = prepare(RuntimeEnv(env_vars={"A": "1", "B": "1"}, working_dir=str(project)), session)
    task = prepare(RuntimeEnv(env_vars={"B": "2"}, py_modules=[str(project / "pkg")]), session)
    assert merge(job, {}) == job and merge({}, task) == task and merge({}, {}) == {}
    assert merge(job, task) == {
        "env_vars": {"A": "1", "B": "2"},
        "cwd": job["cwd"],
        "sys_path": task["sys_path"],
    }
    assert len({key(job), key(task), key(merge(job, task)), b""}) == 4


def test_apply(project: Path, session: str, process_state: None) -> None:
    os.environ["OLD"] = "old"
    env = RuntimeEnv(
        env_vars={"NEW": "${OLD}:new", "GONE": "a${NOT_SET_HERE}b"},
        working_dir=str(project),
        py_modules=[str(project / "pkg")],
    )
    plain = prepare(env, session)
    apply(plain)
    assert os.environ["NEW"] == "old:new" and os.environ["GONE"] == "ab"
    assert os.getcwd() == plain["cwd"]
    assert sys.path[:2] == [plain["cwd"], *plain["sys_path"]]
    apply({})


def test_apply_without_its_snapshot(process_state: None) -> None:
    with pytest.raises(RuntimeEnvSetupError, match="cannot enter"):
        apply({"env_vars": {}, "cwd": "/no/such/dir", "sys_path": []})
