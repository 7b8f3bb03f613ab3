"""Options on the line of a magic, read against the few that it has."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from rustray.errors import OptionError
from rustray.model.option_checks import unknown_name

Options = Mapping[str, tuple[str, Callable[[str], Any]]]
"""Flag, as "--num-cpus" -> name of the argument it gives, and what makes its value of a string."""


def parse(what: str, line: str, known: Options) -> dict[str, Any]:
    """The options on `line` as arguments by name; those that are not there are left out.

    Parameters
    ----------
    what: the magic, for messages.

    Raises
    ------
    OptionError: an option is unknown (the nearest one is named), has no value, or one of the wrong kind.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:  # a quotation mark that is not closed
        raise OptionError(f"{what}: {error} in {line!r}.") from None
    given: dict[str, Any] = {}
    at = iter(words)
    for word in at:
        flag, equals, value = word.partition("=")
        if flag not in known:
            raise unknown_name(f"option of {what}", flag, known)
        name, convert = known[flag]
        if not equals:
            following = next(at, None)
            if following is None or following in known:
                raise OptionError(f"{what}: {flag} needs a value.")
            value = following
        try:
            given[name] = convert(value)
        except ValueError:
            raise OptionError(f"{what}: {flag} cannot be {value!r}; it takes {_KINDS[convert]}.") from None
    return given


def names(text: str) -> tuple[str, ...]:
    """ "a,b" as ("a", "b"); ValueError if one of them could not be a variable."""
    found = tuple(part.strip() for part in text.split(","))
    if not all(part.isidentifier() for part in found):
        raise ValueError(text)
    return found


_KINDS: dict[Any, str] = {
    float: "a number",
    int: "a whole number",
    str: "text",
    names: "names of variables, as a,b",
}
