"""`%%remote`: a cell as one remote task, or its definitions as remote functions and actor classes."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import rustray
from rustray.driver import cells
from rustray.driver.current import auto_init
from rustray.driver.remote_function import scheduling_class
from rustray.errors import GetTimeoutError, OptionError, RustRayError, SerializationError
from rustray.jupyter import options, remote_cell
from rustray.jupyter.reading import CellCode, read_cell
from rustray.model.option_checks import unknown_name
from rustray.model.options import TaskOptions
from rustray.serialization import serialize_code

OPTIONS: options.Options = {
    "-o": ("wanted", options.names),
    "--name": ("name", str),
    "--num-cpus": ("num_cpus", float),
    "--num-gpus": ("num_gpus", float),
}
READ_ONLY = (
    "Arrays that come from shared memory cannot be written to, for others read them too: "
    "write to a copy, array = array.copy()."
)
CANCEL_GRACE_S = 1.5
"""Seconds that an interrupted cell's task has to end before its worker is killed."""


def remote_cell_magic(shell: Any, line: str, body: str) -> Any:
    """What `%%remote LINE` does with the BODY of a cell; gives the value to show."""
    given = options.parse("%%remote", line, OPTIONS)
    wanted = given.pop("wanted", ())
    if not body.strip():
        return None
    # An empty first line stands for the magic's own, so that line numbers are those of the notebook.
    source = "\n" + shell.transform_cell(body)
    # Not shell.execution_count: as the versions of IPython go, that is this cell's number or the next one's.
    number = len(shell.history_manager.input_hist_parsed) - 1
    file = f"Cell In[{number}]"
    code = read_cell(source, file)
    if code.kernel_call:
        text = body.splitlines()[code.kernel_call - 2].strip()
        raise OptionError(
            f"%%remote: line {code.kernel_call} is for the notebook's own kernel: {text!r}. A worker runs "
            "plain Python; put magics and shell commands into a cell of their own, or use subprocess.run()."
        )
    if code.only_defines:
        if wanted or "name" in given:
            raise OptionError("%%remote: -o and --name are for cells that run; this one only defines.")
        return _define(shell, code, number, given)
    for name in wanted:
        if name not in code.binds and name not in shell.user_ns:
            if not code.binds:
                raise OptionError(f"%%remote: -o {name} asks for a variable, and the cell assigns none.")
            raise unknown_name("assigned variable of this cell", name, code.binds)
    given.setdefault("name", f"cell_{number}")
    value = _run(shell, code, file, wanted, given)
    if hint := left_behind(code, wanted):
        print(hint)
    return value


# -- a cell that defines -----------------------------------------------------------------------------------


def _define(shell: Any, code: CellCode, number: int, given: dict[str, Any]) -> None:
    space = shell.user_ns
    # Under the name that the shell gives its cells: the source is found, and travels with the code.
    file = shell.compile.cache(code.source, number)
    exec(compile(code.source, file, "exec", dont_inherit=True), space)
    for name in code.made:
        made = space[name]
        if inspect.isclass(made) and issubclass(made, BaseException):
            continue
        if inspect.isclass(made) or inspect.isroutine(made):
            space[name] = rustray.remote(**given)(made) if given else rustray.remote(made)


# -- a cell that runs --------------------------------------------------------------------------------------


def _run(shell: Any, code: CellCode, file: str, wanted: tuple[str, ...], given: dict[str, Any]) -> Any:
    session = auto_init()
    checked, name = TaskOptions.build(given), given["name"]
    # A function of its own for each cell: run times are learnt for each by itself.
    body = functools.partial(remote_cell.run, code.source, file, wanted)
    key, target = scheduling_class(session, serialize_code(body, f"cell {name}"), name, checked)
    write = cells.writer()
    session.output.sinks_of[key] = lambda stream, text, *_whose: write(stream, text)
    try:
        names = captured(code.reads, shell)
        try:
            ref = session.tasks.submit(target, key, (names,), {}, 1, checked.max_retries, checked, body)
        except SerializationError as error:
            raise _not_sent(error) from None
        value, brought = _wait(ref)
    finally:
        session.output.sinks_of.pop(key, None)
    shell.user_ns.update(brought)
    return value


def _wait(ref: Any) -> Any:
    try:
        return rustray.get(ref)
    except KeyboardInterrupt:
        _stop(ref)
        raise
    except SerializationError as error:
        raise _not_brought(error) from None
    except ValueError as error:
        if "read-only" in str(error):
            error.add_note(READ_ONLY)
        raise


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


def _not_sent(error: SerializationError) -> SerializationError:
    """The error of a variable that cannot travel, told by the variable's name."""
    name, _, inside = error.path.removeprefix("['").partition("']")
    return SerializationError(
        f"%%remote sends the variables that the cell reads, and {name}{inside} cannot be sent: "
        f"{error.reason}. Make {name} inside the cell, or keep it in an actor.",
        path=f"{name}{inside}",
        reason=error.reason,
    )


def _not_brought(error: SerializationError) -> SerializationError:
    """The error of a result that cannot travel, told by its name in the cell; `remote_cell.run` returns a pair."""
    if error.path.startswith("[0]"):
        what, inside = "the value of its last line", error.path[3:]
    elif error.path.startswith("[1]['"):
        what, _, inside = error.path[5:].partition("']")
    else:
        return error  # raised by the cell's own code
    told = f"{what} ({inside})" if inside else what
    return SerializationError(
        f"%%remote brings back what the cell asks for, and {told} cannot be sent: {error.reason}. "
        "End the cell with something else, or keep it in an actor.",
        path=f"{what}{inside}",
        reason=error.reason,
    )


def _stop(ref: Any) -> None:
    """Cancel the cell's task, first kindly. Returns when it has ended, or its worker has been told to."""
    rustray.cancel(ref)
    try:
        rustray.get(ref, timeout=CANCEL_GRACE_S)
    except GetTimeoutError:
        rustray.cancel(ref, force=True)
    except RustRayError:
        pass  # it has ended; the user sees his KeyboardInterrupt
