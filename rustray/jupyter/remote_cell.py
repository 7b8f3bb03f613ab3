"""Runs a cell's code in a worker. What is here is imported there, so it knows nothing of IPython."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import sys
import traceback
from collections.abc import Sequence
from types import CodeType
from typing import Any

from rustray.errors import OptionError
from rustray.jupyter import drawings
from rustray.jupyter.parcel import Parcel
from rustray.worker import figure_style
from rustray.worker.context import running

VALUE = "__cell_value__"
ELEMENT = "__cell_element__"


def task(
    source: str,
    file: str,
    wanted: Sequence[str],
    target: str,
    names: Any,
    *element: Any,
    figures: Parcel | None = None,
    waited_for: bool = True,
) -> Any:
    """The cell as a task: its value, or a tuple of that and the `wanted` variables.

    Parameters
    ----------
    target: what each `element` of a `--map` is assigned to.
    names, element: packed, or as they are.
    figures: the style of the notebook's, if it is not the plain one.
    waited_for: whether its value is only to be shown by the cell, see `drawings`.
    """
    space = dict(names.open() if isinstance(names, Parcel) else names)
    if element:
        value = element[0].open() if isinstance(element[0], Parcel) else element[0]
        space[ELEMENT] = value
        exec(_assignment(target, file), {"__builtins__": builtins}, space)
        del space[ELEMENT]
    with figure_style.drawn_as(figure_style.PLAIN if figures is None else figures.open()):
        try:
            value, brought = run(source, file, wanted, space)
            show_closed(value)
            if waited_for and drawings.is_drawing(value):
                value = None
        finally:
            show_figures()  # in this style, which ends before the task does
        value = drawings.travelling(value)  # those that are open would open in the kernel
        brought = {name: drawings.travelling(brought[name]) for name in wanted}
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
        raise OptionError(f"-o {','.join(missing)}: the cell has not set {' and '.join(missing)}.")
    return space.get(VALUE), {name: space[name] for name in wanted}


def show_figures() -> None:
    """Show and close what the cell has left open."""
    plots = sys.modules.get("rustray.worker.plots")
    try:
        if plots is not None:
            plots.show_open(running.get())
    except Exception:  # of matplotlib or the user's artists: told where the figure would be
        traceback.print_exc()


def show_closed(value: Any) -> None:
    """Show figures in it that are not left open."""
    try:
        drawings.show_closed(value)
    except Exception:  # as above
        traceback.print_exc()


@functools.lru_cache(maxsize=8)
def _compiled(source: str, file: str) -> CodeType:
    """The cell's code, which keeps the value of a last expression that no ";" hides. Elements of a `--map` share it."""
    tree = ast.parse(source, file)
    if not source.rstrip().endswith(";") and tree.body and isinstance(last := tree.body[-1], ast.Expr):
        kept = ast.Assign([ast.Name(VALUE, ast.Store())], last.value)
        tree.body[-1] = ast.fix_missing_locations(ast.copy_location(kept, last))
    # As in a notebook, `await` may stand at the top.
    code: CodeType = compile(tree, file, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


@functools.lru_cache(maxsize=8)
def _assignment(target: str, file: str) -> CodeType:
    return compile(f"{target} = {ELEMENT}", file, "exec", dont_inherit=True)
