"""RUSTRAY_ADDRESS=NAME: the cluster that a program prefers where it says none, while that runs."""

from __future__ import annotations

import warnings

import pytest

from rustray.clusters import registry
from rustray.clusters.connection_file import ConnectionFile
from rustray.clusters.processes import this_process
from rustray.driver.connecting import _usual
from rustray.pids import here


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> list[ConnectionFile]:
    """Two clusters, of which "newest" is the newer."""
    found = [
        ConnectionFile(name, started, here(), heads=("a:1",), processes=(this_process(),))
        for started, name in enumerate(("work", "newest"))
    ]
    monkeypatch.setattr(registry, "files", lambda: found)
    return found


@pytest.mark.parametrize(
    ("variable", "found"),
    [("", "newest"), ("work", "work"), ("gone", "newest"), ("host:1", "newest"), ("auto", "newest")],
)
def test_the_one_that_is_meant_where_none_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, found: str
) -> None:
    monkeypatch.setenv("RUSTRAY_ADDRESS", variable)
    file = registry.find()
    assert file is not None and file.name == found


@pytest.mark.parametrize(
    ("variable", "address", "describes", "becomes"),
    [
        ("", None, False, None),
        ("", "auto", False, "auto"),
        ("work", None, False, "work"),
        ("work", "auto", False, "work"),
        ("work", None, True, None),  # init(num_cpus=2) is for one of its own
        ("host:1", None, True, "host:1"),
        ("host:1", "auto", False, "host:1"),
    ],
)
def test_what_init_takes(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str | None, describes: bool, becomes: str | None
) -> None:
    monkeypatch.setenv("RUSTRAY_ADDRESS", variable)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _usual(address, describes) == becomes


def test_the_newest_in_place_of_one_that_has_ended_is_told(
    monkeypatch: pytest.MonkeyPatch, running: list[ConnectionFile]
) -> None:
    monkeypatch.setenv("RUSTRAY_ADDRESS", "gone")
    with pytest.warns(UserWarning, match="'gone' of RUSTRAY_ADDRESS does not run any more; using 'newest'"):
        assert _usual(None, False) == "newest"
    running.clear()
    assert _usual(None, False) == "gone", "which init() tells not to run"
