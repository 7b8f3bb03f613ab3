"""The line magic `%rustray`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

import rustray
from rustray.driver.actor_handle import ActorHandle
from rustray.errors import OptionError, RustRayError
from rustray.jupyter.console.command import EXPRESSION, read
from rustray.jupyter.console.commands import COMMANDS
from rustray.jupyter.short_errors import short_errors
from rustray.model import ids
from rustray.model.option_checks import unknown_name

_ID = re.compile(f"[0-9a-fA-F]{{{2 * ids.OBJECT_ID_BYTES - 4},{2 * ids.OBJECT_ID_BYTES}}}")
"""Of a task or object, in hexadecimal."""


@magics_class
class ConsoleMagics(Magics):
    """The line magics of one shell."""

    @line_magic
    def rustray(self, line: str) -> Any:
        """The notebook's cluster: `%rustray help` lists what there is."""
        with short_errors():
            command, given = read(COMMANDS, line)
            if command.takes == EXPRESSION:
                return command.run(evaluator(self.shell), **given)
            return command.run(**given)


def evaluator(shell: Any) -> Callable[[str], Any]:
    """What gives the value of an expression on the line of a magic: of Python, an id as it is, an actor by its name.

    OptionError, with the nearest variable, where a name is not known.
    """

    def evaluate(text: str) -> Any:
        if _ID.fullmatch(text):
            return text
        try:
            return shell.ev(text)
        except NameError as error:
            handle = _named_actor(text)
            if handle is not None:
                return handle
            known = [name for name in shell.user_ns if not name.startswith("_")]
            raise _nearest(str(error.name or text), known) from None

    return evaluate


def _named_actor(name: str) -> ActorHandle | None:
    try:
        return rustray.get_actor(name)
    except RustRayError:
        return None  # then it was meant as a variable


def _nearest(name: str, known: list[str]) -> OptionError:
    """As `unknown_name`, without the list: a notebook has many variables."""
    return OptionError(
        str(unknown_name("variable of this notebook", name, known)).partition(" There are:")[0]
    )
