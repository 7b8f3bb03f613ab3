"""A command of `%rustray`: what it takes, what it does. Reading its line is pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rustray.errors import OptionError
from rustray.jupyter import options
from rustray.model.option_checks import unknown_name

EXPRESSION, WORD, WORDS = "expression", "word", "words"
"""What may stand on the line besides options: Python, evaluated in the notebook; one word; several."""


@dataclass(frozen=True)
class Command:
    """See the module.

    Parameters
    ----------
    run: called with the arguments by name; of an expression, a function that evaluates it comes first. What it gives is
        the value of the magic.
    about: what it does, in a line.
    twin: the same in plain Python.
    options: those that it has.
    takes, argument, metavar: what else may stand there, as which argument, what help calls it; "" for nothing.
    names: where completion finds names for it: a key of `live_names.KINDS`, "" for nowhere.
    names_of: the same of options, by flag.
    """

    name: str
    run: Callable[..., Any]
    about: str
    twin: str
    options: options.Options = field(default_factory=dict)
    takes: str = ""
    argument: str = ""
    metavar: str = ""
    names: str = ""
    names_of: Mapping[str, str] = field(default_factory=dict)

    @property
    def usage(self) -> str:
        """Its line, as "init [ADDRESS] [--name NAME]"."""
        told = []
        if self.metavar:
            told.append(f"[{self.metavar}…]" if self.takes == WORDS else f"[{self.metavar}]")
        for flag, (argument, convert) in self.options.items():
            value = "" if convert is options.switch else f" {_VALUES.get(convert, argument.upper())}"
            told.append(f"[{flag}{value}]")
        return " ".join([self.name, *told])

    def arguments(self, line: str) -> dict[str, Any]:
        """What `line`, without the command itself, says. OptionError."""
        magic = f"%rustray {self.name}"
        if self.takes == EXPRESSION:
            flags, rest = _leading_flags(line, self.options)
            given = options.parse(magic, flags, self.options)
            return {**given, self.argument: rest} if rest else given
        if self.takes == WORDS:
            try:
                return {self.argument: tuple(shlex.split(line, comments=True))}
            except ValueError as error:
                raise OptionError(f"{magic}: {error} in {line!r}.") from None
        return options.parse(magic, line, self.options, self.argument)


_VALUES: dict[Any, str] = {int: "N", float: "N"}


def _leading_flags(line: str, known: options.Options) -> tuple[str, str]:
    """The options at the beginning of a line, all of them switches, and the rest."""
    flags = []
    rest = line.strip()
    while rest.startswith("-"):
        word, _space, after = rest.partition(" ")
        if word not in known and word.lstrip("-").isdigit():
            break  # a number
        flags.append(word)
        rest = after.lstrip()
    return " ".join(flags), rest


def read(commands: Iterable[Command], line: str) -> tuple[Command, dict[str, Any]]:
    """The command on `line` and its arguments; "help" where there is none. OptionError tells the nearest known name."""
    known = {command.name: command for command in commands}
    name, _space, rest = line.strip().partition(" ")
    if not name or name.startswith("#"):
        name, rest = "help", ""
    if name not in known:
        meant = str(unknown_name("action of %rustray", name, known)).partition(" There are:")[0]
        raise OptionError(f"{meant} %rustray help lists them all.")
    return known[name], known[name].arguments(rest)
