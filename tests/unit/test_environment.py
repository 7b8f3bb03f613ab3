"""What workers are given of the driver."""

from __future__ import annotations

import os

import pytest

from rustray.driver.environment import driver_place


def test_workers_have_the_environment_but_not_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSTRAY_TOKEN", "t" * 64)
    monkeypatch.setenv("COLOUR", "green")
    place = driver_place()
    assert place["env"]["COLOUR"] == "green"
    assert "RUSTRAY_TOKEN" not in place["env"]
    assert place["cwd"] == os.getcwd()
