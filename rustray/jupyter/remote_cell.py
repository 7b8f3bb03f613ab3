"""Runs a cell's code in a worker. What is here is imported there, so it knows nothing of IPython."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
from collections.abc import Sequence
from types import CodeType
from typing import Any

from rustray.jupyter.parcel import Parcel

VALUE = "__cell_value__"
ELEMENT = "__cell_element__"


def task(source: str, file: str, wanted: Sequence[str], target: str, names: Any, *element: Any) -> Any:
    """The cell as a task: its value, or a tuple of that and the `wanted` variables.

    Parameters
    ----------
    target: what each `element` of a `--map` is assigned to.
    names, element: packed, or as they are.
    """
    space = dict(names.open() if isinstance(names, Parcel) else names)
    if element:
        value = element[0].open() if isinstance(element[0], Parcel) else element[0]
        space[ELEMENT] = value
        exec(_assignment(target, file), {"__builtins__": builtins}, space)
        del space[ELEMENT]
    value, brought = run(source, file, wanted, space)
    return (value, *(brought[name] for name in wanted)) if wanted else value


def run(source: str, file: str, wanted: Sequence[str], names: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Execute `source` with `names` as its variables.

    Parameters
    ----------
    file: how tracebacks name the cell.
    wanted: variables to bring back.

    Returns the value of the last expression, None if the cell does not end with one, and {wanted: value}.
    """
    # A traceback is made into text here, and finds the cell's lines here.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    code = _compiled(source, file)
    space = {"__name__": "__main__", "__builtins__": builtins, **names}
    pending = eval(code, space)
    if code.co_flags & inspect.CO_COROUTINE:
        import asyncio  # 40 ms, for those who use it

        asyncio.run(pending)
    missing = [name for name in wanted if name not in space]
    if missing:
        raise NameError(f"-o {','.join(missing)}: the cell has not set {' and '.join(missing)}")
    return space.get(VALUE), {name: space[name] for name in wanted}


@functools.lru_cache(maxsize=8)
def _compiled(source: str, file: str) -> CodeType:
    """The cell's code, which keeps the value of a last expression. Elements of a `--map` share it."""
    tree = ast.parse(source, file)
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        kept = ast.Assign([ast.Name(VALUE, ast.Store())], last.value)
        tree.body[-1] = ast.fix_missing_locations(ast.copy_location(kept, last))
    # As in a notebook, `await` may stand at the top.
    code: CodeType = compile(tree, file, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


@functools.lru_cache(maxsize=8)
def _assignment(target: str, file: str) -> CodeType:
    return compile(f"{target} = {ELEMENT}", file, "exec", dont_inherit=True)
