"""The built labextension is that of its sources."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import rustray.dashboard

from ..support import ROOT

SOURCES = ROOT / "jupyter_ext" / "labextension"
BUNDLE = ROOT / "jupyter_ext" / "rustray_jupyter" / "labextension"


def test_the_bundle_was_built_from_these_sources() -> None:
    checked = subprocess.run(
        [sys.executable, SOURCES / "stamp.py", "check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_bundle_is_whole() -> None:
    built = json.loads((BUNDLE / "package.json").read_text())
    assert (BUNDLE / built["jupyterlab"]["_build"]["load"]).is_file()


def test_versions_are_exact() -> None:
    package = json.loads((SOURCES / "package.json").read_text())
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert [version for version in versions.values() if not version[0].isdigit()] == []


def test_every_panel_has_a_button() -> None:
    text = (SOURCES / "src" / "panels.ts").read_text()
    assert tuple(re.findall(r"^  \['(\w+)', ", text, re.MULTILINE)) == tuple(rustray.dashboard.PANELS)
