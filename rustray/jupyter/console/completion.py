"""What may stand at the cursor on the line of a magic. Pure: live names are asked for by a function that is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from rustray.jupyter import options
from rustray.jupyter.console.command import EXPRESSION, WORD, WORDS, Command

Names = Callable[[str, str], Iterable[str]]
"""The names of a kind (of `live_names`) that exist, given what has been typed."""


def complete(commands: Sequence[Command], typed: str, names: Names) -> list[str]:
    """What the last word of `typed`, the line of `%rustray` up to the cursor without the magic, may become."""
    words, last = split(typed)
    if not words:
        return _matching((command.name for command in commands), last)
    command = next((command for command in commands if command.name == words[0]), None)
    if command is None:
        return []
    before = words[1:]
    previous = before[-1] if before else ""
    if previous in command.names_of:
        return _matching(names(command.names_of[previous], last), last)
    if _needs_value(command.options, previous):
        return []
    found = _unused(command.options, before, last)
    bare = [word for at, word in enumerate(before) if _is_bare(command.options, before, at)]
    if command.names and _room(command, bare) and not last.startswith("-"):
        found += [name for name in _matching(names(command.names, last), last) if name not in bare]
    return found


def complete_options(known: options.Options, typed: str) -> list[str]:
    """The same for a magic that has options only."""
    words, last = split(typed)
    if words and _needs_value(known, words[-1]):
        return []
    return _unused(known, words, last)


def split(typed: str) -> tuple[list[str], str]:
    """The words before the one at the cursor, and what of that has been typed."""
    words = typed.split()
    last = words.pop() if words and not typed[-1].isspace() else ""
    return words, last


def _unused(known: options.Options, before: Iterable[str], last: str) -> list[str]:
    """Options of which neither they nor their other names are there; only where something of them was typed, or nothing
    else could be meant. One that takes names of variables may be given again."""
    used = {word.partition("=")[0] for word in before}
    given = {known[flag][0] for flag in used if flag in known and known[flag][1] is not options.names}
    return _matching((flag for flag, (argument, _convert) in known.items() if argument not in given), last)


def _needs_value(known: options.Options, word: str) -> bool:
    return word in known and known[word][1] is not options.switch


def _is_bare(known: options.Options, words: Sequence[str], at: int) -> bool:
    return not words[at].startswith("-") and not (at and _needs_value(known, words[at - 1]))


def _room(command: Command, bare: Sequence[str]) -> bool:
    return command.takes == WORDS or (command.takes in (WORD, EXPRESSION) and not bare)


def _matching(names: Iterable[str], typed: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(typed)]


def cell_magic_options(line: str, known: Mapping[str, options.Options]) -> list[str] | None:
    """Options at the cursor, at the end of the first line of a cell; None if that is none of the cell magics.

    Parameters
    ----------
    known: the options of each, by its name.
    """
    if not line.startswith("%%"):
        return None
    name, space, typed = line[2:].partition(" ")
    if not space or name not in known:
        return None
    return complete_options(known[name], typed)
