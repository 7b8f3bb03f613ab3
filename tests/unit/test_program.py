"""What a program is called in the list of jobs."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from rustray.driver import program


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/home/me/train.py", "--fast"], "train.py"),
        (["/usr/lib/python3/site-packages/pytest/__main__.py"], "pytest"),
        (["-c"], "python"),
        ([""], "python"),
        ([], "python"),
    ],
)
def test_a_script_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, argv: list[str], name: str) -> None:
    monkeypatch.setattr(program, "kernel_shell", lambda: None)
    monkeypatch.setattr(sys, "argv", argv)
    assert program.program_name() == name and program.notebook_path() == ""


def test_a_kernel_is_called_as_its_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(user_ns={})
    monkeypatch.setattr(program, "kernel_shell", lambda: shell)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert program.program_name() == "notebook"
    monkeypatch.setenv("JPY_SESSION_NAME", "/books/My Data.ipynb")
    assert program.program_name() == "My Data.ipynb"
    shell.user_ns["__vsc_ipynb_file__"] = "/books/code.ipynb"
    assert program.program_name() == "code.ipynb"
