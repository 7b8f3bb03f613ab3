"""`%%remote`: a cell as remote tasks, or its definitions as remote functions and actor classes."""

from __future__ import annotations

import inspect
import time
import uuid
from typing import Any

import rustray
from rustray import serialization
from rustray.driver.packing import packed_size
from rustray.driver.session import Session
from rustray.errors import OptionError, SerializationError
from rustray.jupyter import figures, options
from rustray.jupyter.cell_card import CellCard
from rustray.jupyter.cell_run import CellRun
from rustray.jupyter.cell_state import CellState
from rustray.jupyter.cell_tasks import CellRequest, Sent
from rustray.jupyter.console.opening import notebook_session
from rustray.jupyter.keeper_link import keeper_of
from rustray.jupyter.left_on_workers import note
from rustray.jupyter.loop_values import LoopRefs, NoValues
from rustray.jupyter.mapping import MapClause, map_clause
from rustray.jupyter.named_cells import named_cells
from rustray.jupyter.parcel import Parcel, parcel
from rustray.jupyter.reading import CellCode, read_cell
from rustray.model.option_checks import unknown_name
from rustray.model.options import TaskOptions
from rustray.worker import figure_style

OF_TASKS: options.Options = {
    "--num-cpus": ("num_cpus", float),
    "--num-gpus": ("num_gpus", float),
    "--resources": ("resources", options.amounts),
    "--priority": ("priority", int),
}
OPTIONS: options.Options = {
    "-o": ("wanted", options.names),
    "--name": ("name", options.named),
    "-b": ("background", options.switch),
    "--no-block": ("background", options.switch),
    "--map": ("loop", map_clause),
    **OF_TASKS,
    "--retries": ("max_retries", int),
    "--timeout": ("timeout", options.seconds),
}
ONLY_RUNNING = {"wanted": "-o", "name": "--name", "background": "-b", "loop": "--map", "timeout": "--timeout"}
"""Options that mean nothing to a cell which only defines."""
BIG = 10 << 20
"""Bytes of variables from which on it is told what is sent."""


def remote_cell_magic(shell: Any, line: str, body: str) -> Any:
    """What `%%remote LINE` does with the BODY of a cell; gives the value to show."""
    given = options.parse("%%remote", line, OPTIONS)
    if not body.strip():
        return None
    loop: MapClause | None = given.pop("loop", None)
    code, number, file = read_shell_cell(shell, "%%remote", body, () if loop is None else loop.names)
    if code.only_defines:
        if loop is not None or (wrong := next((o for n, o in ONLY_RUNNING.items() if n in given), "")):
            wrong = "--map" if loop is not None else wrong
            raise OptionError(f"%%remote: {wrong} is for cells that run; this one only defines.")
        define(shell, code, number, given)
        return None
    wanted = given.pop("wanted", ())
    for name in wanted:
        if name not in code.binds and name not in shell.user_ns:
            if not code.binds:
                raise OptionError(f"%%remote: -o {name} asks for a variable, and the cell assigns none.")
            raise unknown_name("assigned variable of this cell", name, code.binds)
    named = "name" in given
    given.setdefault("name", f"cell_{number}")
    value = _run(shell, code, file, wanted, loop, given)
    note(given["name"], code.binds.difference(wanted))
    if named and not given.get("background"):
        named_cells(shell.user_ns)[given["name"]] = value
    if hint := left_behind(code, wanted):
        print(hint)
    return value


def read_shell_cell(
    shell: Any, magic: str, body: str, given: tuple[str, ...] = ()
) -> tuple[CellCode, int, str]:
    """The code of the cell that is running under `magic`, its number, and what tracebacks call it."""
    # An empty first line stands for the magic's own, so that line numbers are those of the notebook.
    source = "\n" + shell.transform_cell(body)
    # Not shell.execution_count: as the versions of IPython go, that is this cell's number or the next one's.
    number = len(shell.history_manager.input_hist_parsed) - 1
    file = f"Cell In[{number}]"
    code = read_cell(source, file, given)
    if code.kernel_call:
        text = body.splitlines()[code.kernel_call - 2].strip()
        raise OptionError(
            f"{magic}: line {code.kernel_call} is for the notebook's own kernel: {text!r}. A worker runs "
            "plain Python; put magics and shell commands into a cell of their own, or use subprocess.run()."
        )
    return code, number, file


# -- a cell that defines -----------------------------------------------------------------------------------


def define(shell: Any, code: CellCode, number: int, given: dict[str, Any]) -> None:
    """Execute a cell of definitions, and make them remote."""
    space = shell.user_ns
    # Under the name that the shell gives its cells: the source is found, and travels with the code.
    file = shell.compile.cache(code.source, number)
    exec(compile(code.source, file, "exec", dont_inherit=True), space)
    for name in code.made:
        made = space[name]
        if inspect.isclass(made) and issubclass(made, BaseException):
            continue
        if inspect.isclass(made) or inspect.isroutine(made):
            for_it = _of_class(given) if inspect.isclass(made) else given
            space[name] = rustray.remote(**for_it)(made) if for_it else rustray.remote(made)


def _of_class(given: dict[str, Any]) -> dict[str, Any]:
    """Options for an actor class of those for a function: its methods are retried."""
    return {{"max_retries": "max_task_retries"}.get(name, name): value for name, value in given.items()}


# -- a cell that runs --------------------------------------------------------------------------------------


def _run(
    shell: Any,
    code: CellCode,
    file: str,
    wanted: tuple[str, ...],
    loop: MapClause | None,
    given: dict[str, Any],
) -> Any:
    session = notebook_session()
    name, timeout, background = given["name"], given.get("timeout"), given.get("background", False)
    of_tasks = {option: value for option, value in given.items() if option not in ("name", "timeout", "background")}
    TaskOptions.build(of_tasks)  # what is wrong with them is told before anything is sent
    elements = None if loop is None else tuple(_elements(shell, session, loop))
    request = CellRequest(
        uuid.uuid4().hex,
        name,
        code.source,
        file,
        wanted,
        _names(session, captured(code.reads, shell), shared=loop is not None),
        of_tasks,
        "" if loop is None else loop.target,
        elements,
        timeout,
        background,
        _figures(session),
    )
    named_cells(shell.user_ns).pop(name, None)  # an earlier one's; should this one fail, it is not to pass for its own
    card = None
    if loop is not None or background:
        card = CellCard(CellState.begins(request.cell, name, time.time(), request.total, loop is not None))
        card.display()
    with CellRun(keeper_of(session), request, card) as run:
        if background:
            return _bind(shell, request, run.rows())
        try:
            rows = run.results()
        finally:
            if run.partial is not None:
                named_cells(shell.user_ns)[request.name] = run.partial
    for index, variable in enumerate(wanted, 1):
        shell.user_ns[variable] = [row[index] for row in rows] if loop is not None else rows[0][index]
    values = [row[0] for row in rows]
    if loop is None:
        return values[0]
    return NoValues(values) if values and all(value is None for value in values) else values


def _figures(session: Session) -> Parcel | None:
    style = figures.style_here()
    if style == figure_style.PLAIN:
        return None
    try:
        sent, _size = parcel(session, style)
    except SerializationError:  # a colour map of the user's own, or what else may stand there: figures are plain
        return None
    return sent if isinstance(sent, Parcel) else None


def _names(session: Session, names: dict[str, Any], shared: bool) -> Sent:
    try:
        sent, size = parcel(session, names, shared)
    except SerializationError as error:
        raise not_sent(error) from None
    if size >= BIG:
        sizes = {name: packed_size(serialization.serialize(value)) for name, value in names.items()}
        print(f"%%remote: sent {_mib(size)} of variables: {told_sizes(sizes)}")
    return sent


def _elements(shell: Any, session: Session, loop: MapClause) -> list[Sent]:
    sent = []
    for position, element in enumerate(shell.ev(loop.iterable)):
        try:
            sent.append(parcel(session, element)[0])
        except SerializationError as error:
            raise SerializationError(
                f"%%remote --map: element {position} of {loop.iterable}{error.path} cannot be sent: {error.reason}.",
                path=error.path,
                reason=error.reason,
            ) from None
    return sent


def _bind(shell: Any, request: CellRequest, rows: list[list[Any]]) -> Any:
    """Give the notebook the refs of a background cell: one, or the list of a `--map`."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [
        [] for _ in range(1 + len(request.wanted))
    ]
    if request.elements is not None:
        refs: list[Any] = [LoopRefs(column) for column in columns]
    else:
        refs = [column[0] for column in columns]
    named_cells(shell.user_ns)[request.name] = refs[0]
    shell.user_ns.update(zip(request.wanted, refs[1:], strict=True))
    return refs[0]


def told_sizes(sizes: dict[str, int]) -> str:
    """The biggest of the variables by name, as "data 24 MiB, model 3 MiB"."""
    biggest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {_mib(size)}" for name, size in biggest if size >= BIG / 10)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def left_behind(code: CellCode, wanted: tuple[str, ...]) -> str:
    """What to tell of functions and classes that the cell has made for itself; "" if there are none."""
    here = [name for name in code.made if name not in wanted]
    if not here:
        return ""
    was = "was" if len(here) == 1 else "were"
    return (
        f"%%remote: {', '.join(here)} {was} defined on the worker only; put definitions in a cell of their own, "
        f"or bring them back with -o {','.join(here)}."
    )


def captured(reads: tuple[str, ...], shell: Any) -> dict[str, Any]:
    """The notebook's variables among `reads`; what IPython itself has put there does not travel."""
    space, hidden = shell.user_ns, shell.user_ns_hidden
    return {
        name: space[name]
        for name in reads
        if name in space and not (name in hidden and space[name] is hidden[name])
    }


def not_sent(error: SerializationError) -> SerializationError:
    """The error of a variable that cannot travel, told by the variable's name."""
    name, _, inside = error.path.removeprefix("['").partition("']")
    return SerializationError(
        f"%%remote sends the variables that the cell reads, and {name}{inside} cannot be sent: "
        f"{error.reason}. Make {name} inside the cell, or keep it in an actor.",
        path=f"{name}{inside}",
        reason=error.reason,
    )
