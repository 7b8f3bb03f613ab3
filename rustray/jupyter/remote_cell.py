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

from rustray.driver.current import current_or_none
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
) -> Any:
    """The cell as a task: its value, or a tuple of that and the `wanted` variables.

    Parameters
    ----------
    target: what each `element` of a `--map` is assigned to.
    names, element: packed, or as they are.
    figures: the style of the notebook's, if it is not the plain one.
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
            if is_drawing(value):
                show_if_closed(value)
                value = None
        finally:
            show_figures()  # in this style, which ends before the task does
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


def is_drawing(value: Any) -> bool:
    """Whether it is a part of a matplotlib figure, or a list of such, as what `plt.plot()` gives.

    The figure is shown as it is here. A copy of it would be drawn once more in the kernel, with arrays that cannot be
    written to.
    """
    if isinstance(value, list | tuple) and value:
        return is_drawing(value[0])
    return type(value).__module__.startswith("matplotlib.")


def show_figures() -> None:
    """Show and close what the cell has left open."""
    plots = sys.modules.get("rustray.worker.plots")
    try:
        if plots is not None:
            plots.show_open(running.get())
    except Exception:  # of matplotlib or the user's artists: told where the figure would be
        traceback.print_exc()


def show_if_closed(value: Any) -> None:
    """Show a figure that the end of the task does not show."""
    from matplotlib._pylab_helpers import Gcf
    from matplotlib.figure import Figure

    from rustray.worker import plots

    session = current_or_none()
    if not isinstance(value, Figure) or session is None or session.publish is None:
        return
    managers = (one for one in Gcf.get_all_fig_managers() if isinstance(one, plots.FigureManager))
    if not any(manager.canvas.figure is value for manager in managers):
        data, metadata = plots.images(value)
        session.publish("display_data", {"data": data, "metadata": metadata, "transient": {}})


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
