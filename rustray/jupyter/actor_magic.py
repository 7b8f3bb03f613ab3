"""`%%actor NAME`: the class of a cell becomes an actor."""

from __future__ import annotations

from typing import Any

import rustray
from rustray.errors import ActorDiedError, OptionError, TaskError
from rustray.jupyter import options
from rustray.jupyter.console.opening import notebook_session
from rustray.jupyter.remote_magic import OF_TASKS, define, read_shell_cell

OPTIONS: options.Options = {
    **OF_TASKS,
    "--name": ("name", options.named),
    "--detached": ("lifetime", options.switch),
    "--restarts": ("max_restarts", int),
    "--retries": ("max_task_retries", int),
    "--concurrency": ("max_concurrency", int),
    "--args": ("arguments", str),
}


def actor_magic(shell: Any, line: str, body: str) -> Any:
    """What `%%actor LINE` does with the BODY of a cell; gives the handle, which it also binds."""
    given = options.parse("%%actor", line, OPTIONS, "variable")
    variable = given.pop("variable", "")
    if not variable.isidentifier():
        raise OptionError("%%actor needs the name of a variable for the actor: %%actor counter [options].")
    if given.pop("lifetime", False):
        given["lifetime"] = "detached"
    arguments = given.pop("arguments", "")
    code, number, _file = read_shell_cell(shell, "%%actor", body)
    if not code.only_defines or len(code.classes) != 1:
        raise OptionError(
            "%%actor takes one class, with the imports and functions that it needs; this cell has "
            + (f"{len(code.classes)} classes." if code.only_defines else "other statements.")
        )
    notebook_session()
    define(shell, code, number, {})
    positional, named = shell.ev(f"(lambda *given, **named: (given, named))({arguments})")
    made = shell.user_ns[code.classes[0]]
    # The one of this name, if the cell is run again, must give its resources and its name back first.
    if isinstance(shell.user_ns.get(variable), rustray.ActorHandle):
        del shell.user_ns[variable]
    handle = (made.options(**given) if given else made).remote(*positional, **named)
    try:
        rustray.get(handle.__ray_ready__.remote())
    except ActorDiedError as error:
        if isinstance(error.__cause__, TaskError):  # its constructor's error belongs to this cell, as that of any task
            raise error.__cause__ from None
        raise
    shell.user_ns[variable] = handle
    return handle
