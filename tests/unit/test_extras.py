"""The extras hold what the notebooks and examples import, so that who installs them can run these."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {"PIL": "pillow", "skimage": "scikit-image"}
"""Of modules that are called otherwise."""


def provided(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in extras for one in project["optional-dependencies"][extra]),
    ]
    return {re.split(r"[<>=\[ ]", one)[0].lower() for one in wanted}


def imported(code: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module))
    modules = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {"rustray"}
    return {DISTRIBUTIONS.get(name, name) for name in modules}


def python_of(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code")
    return "\n".join(line for line in code.splitlines() if not line.lstrip().startswith("%"))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_of_notebooks(path: Path) -> None:
    extras = ["jupyter"] if path.stem == "quickstart" else ["jupyter", "examples"]
    assert imported(python_of(path)) <= provided(*extras)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_of_examples(path: Path) -> None:
    of_ours = {other.stem for other in path.parent.glob("*.py")}
    assert imported(path.read_text()) - of_ours <= provided("jupyter", "examples")
