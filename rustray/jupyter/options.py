"""Options on the line of a magic, read against the few that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from rustray.errors import OptionError
from rustray.jupyter.mapping import map_clause

Options = Mapping[str, tuple[str, Callable[[str], Any]]]
"""Flag, as "--num-cpus" -> name of the argument it gives, and what makes its value of a string."""


def parse(what: str, line: str, known: Options, bare: str = "") -> dict[str, Any]:
    """The options on `line` as arguments by name; those that are not there are left out.

    What follows a ``#`` is a comment. Names of variables add up over several options of one flag.

    Parameters
    ----------
    what: the magic, for messages.
    bare: the argument that a first word gives which is no flag; "" if none may stand there.

    Raises
    ------
    OptionError: an option is unknown (the nearest one is named), has no value, or one of the wrong kind.
    """
    try:
        words = shlex.split(_COMMENT.sub(lambda found: found[1] or "", line))
    except ValueError as error:  # a quotation mark that is not closed
        raise OptionError(f"{what}: {error} in {line!r}.") from None
    given: dict[str, Any] = {}
    at = iter(words)
    last = ""  # the flag before the present word
    for word in at:
        flag, equals, value = word.partition("=")
        if flag not in known:
            if bare and not last and bare not in given and not word.startswith("-"):
                given[bare] = word
                continue
            if last and known[last][1] is names and not flag.startswith("-"):
                raise OptionError(
                    f"{what}: several names are joined by commas, as {last} a,b; {word!r} stands alone."
                )
            raise _unknown(what, flag, known)
        last = flag
        name, convert = known[flag]
        if convert is switch:
            if equals:
                raise OptionError(f"{what}: {flag} takes no value.")
            given[name] = True
            continue
        if not equals:
            following = next(at, None)
            if following is None or following in known:
                raise OptionError(f"{what}: {flag} needs a value.")
            value = following
        try:
            converted = convert(value)
        except ValueError:
            raise OptionError(f"{what}: {flag} cannot be {value!r}; it takes {_KINDS[convert]}.") from None
        given[name] = given.get(name, ()) + converted if convert is names else converted
    return given


def names(text: str) -> tuple[str, ...]:
    """ "a,b" as ("a", "b"), for several variables; ValueError if one of them could not be a variable."""
    found = tuple(part.strip() for part in text.split(","))
    if not all(part.isidentifier() for part in found):
        raise ValueError(text)
    return found


def named(text: str) -> str:
    """A text that is not empty; ValueError."""
    if not text.strip():
        raise ValueError(text)
    return text


def switch(_text: str) -> bool:
    """Stands for an option without a value: it is there or not."""
    return True


def amounts(text: str) -> dict[str, float]:
    """ "disk=1,licence=0.5" as amounts by name; ValueError."""
    found = {}
    for part in text.split(","):
        name, _equals, amount = part.partition("=")
        if not name.strip():
            raise ValueError(text)
        found[name.strip()] = float(amount)
    return found


def seconds(text: str) -> float:
    """A time above 0; ValueError."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _unknown(what: str, flag: str, known: Options) -> OptionError:
    if not known:
        return OptionError(f"{what} takes no options; {flag!r} is one too many.")
    import difflib  # 5 ms, on the way to an error only

    # The flags all begin with the same dashes: what is less alike than this is like them by chance.
    near = difflib.get_close_matches(flag, known, n=1, cutoff=0.6)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return OptionError(f"{flag!r} is not an option of {what}.{meant} There are: {', '.join(known)}.")


_COMMENT = re.compile(r"""('[^']*'|"[^"]*")|(?:^|(?<=\s))#.*""")
"""A comment, or first a quoted text, in which # is a sign like any other."""

_KINDS: dict[Any, str] = {
    float: "a number",
    int: "a whole number",
    str: "text",
    named: "a name that is not empty",
    names: "names of variables, as a,b",
    amounts: "amounts by name, as disk=1,licence=0.5",
    seconds: "seconds, above 0",
    map_clause: "a loop over elements, as 'x in xs'",
}
