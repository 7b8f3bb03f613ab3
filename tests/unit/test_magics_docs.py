"""`docs/magics.md` has every command and option that there is, no other, and twins that exist."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from pathlib import Path

import pytest

import rustray
import rustray.clusters
import rustray.dashboard
import rustray.jupyter.attaching
from rustray.jupyter import actor_magic, options, remote_magic
from rustray.jupyter.console.commands import COMMANDS
from rustray.util import state

DOCS = (Path(__file__).parents[2] / "docs" / "magics.md").read_text(encoding="utf-8")


def tables(section: str) -> list[list[list[str]]]:
    """The tables of a section, as rows of cells without their heads."""
    text = DOCS.split(f"## {section}\n")[1].split("\n## ")[0]
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [line.replace("\\|", "\0") for line in block.splitlines()]
        rows = [[cell.strip().replace("\0", "|") for cell in line.strip("|").split("|")] for line in lines]
        found.append(rows[2:])
    return found


def flags(cell: str) -> list[str]:
    return re.findall(r"(?<![\w-])--?[a-z][\w-]*", cell)


def test_commands_and_their_twins_are_those_of_the_magic() -> None:
    commands, _options = tables("`%rustray`")
    told = {row[0].strip("`").split()[0]: (row[0].strip("`"), row[1].strip("`")) for row in commands}
    known = {
        command.name: (" ".join([command.name, *_what(command.usage)]), command.twin) for command in COMMANDS
    }
    assert told == known


def _what(usage: str) -> list[str]:
    """What a command takes besides options."""
    return [word for word in re.findall(r"\[([^]]*)\]", usage)[:1] if not word.startswith("-")] and [
        usage.split()[1]
    ]


def test_options_of_commands_are_those_of_the_magic() -> None:
    _commands, rows = tables("`%rustray`")
    told = defaultdict(set)
    for row in rows:
        told[row[1].strip("`")].update(flags(row[0]))
    assert dict(told) == {command.name: set(command.options) for command in COMMANDS if command.options}


@pytest.mark.parametrize(
    ("section", "known"),
    [("`%%remote`", remote_magic.OPTIONS), ("`%%actor`", actor_magic.OPTIONS)],
)
def test_options_of_cell_magics_are_theirs(section: str, known: options.Options) -> None:
    (rows,) = tables(section)
    assert {flag for row in rows for flag in flags(row[0])} == set(known)


@pytest.mark.parametrize("twin", [command.twin for command in COMMANDS])
def test_twins_exist_and_take_what_they_are_given(twin: str) -> None:
    found = {"rustray": rustray, "state": state, "help": help}
    body = ast.parse(twin, mode="eval").body
    for call in body.elts if isinstance(body, ast.Tuple) else [body]:
        assert isinstance(call, ast.Call)
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
            assert hasattr(rustray.clusters.Cluster, call.func.attr)  # of what find() gives
            continue
        function = eval(compile(ast.Expression(call.func), twin, "eval"), found)
        if function is not help and function is not rustray.dashboard:
            inspect.signature(function).bind(*call.args)
