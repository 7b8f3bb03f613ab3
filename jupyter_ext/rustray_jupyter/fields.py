"""What requests bring, checked: an error says what is not allowed, where it stands, and what to give."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rustray.clusters.connection_file import MAX_NAME, is_name
from rustray.clusters.starting import MAX_NODES
from rustray.errors import OptionError

MAX_CPUS = 100_000
MAX_LINES = 10_000
BODY, ADDRESS = "In the body", "In the address"
"""Where something stands."""


@dataclass(frozen=True)
class Field:
    """One value.

    Parameters
    ----------
    allows: whether it is what is wanted, of the very type: JSON tells numbers, texts and booleans apart.
    wanted: the same in words, after "give".
    """

    allows: Callable[[Any], bool]
    wanted: str


def whole(least: int, most: int) -> Field:
    """A whole number."""
    return Field(
        lambda value: type(value) is int and least <= value <= most, f"a whole number from {least} to {most}"
    )


def number(most: float) -> Field:
    """A number from 0 on."""
    return Field(
        lambda value: type(value) in (int, float) and 0 <= value <= most, f"a number from 0 to {most:g}"
    )


NODES = whole(0, MAX_NODES)
START: Mapping[str, Field] = {
    "name": Field(
        lambda value: isinstance(value, str) and is_name(value),
        f'a name of up to {MAX_NAME} small letters, digits, "-" and "_", with a letter or digit first, and neither '
        '"auto" nor "local", which mean something else',
    ),
    "num_cpus": number(MAX_CPUS),
    "heads": Field(lambda value: type(value) is int and value in (1, 3), "1 or 3"),
    "nodes": NODES,
}
"""Of a cluster that is to be started. All may be null or left out."""
SCALE: Mapping[str, Field] = {
    "nodes": NODES,
    "force": Field(lambda value: type(value) is bool, "true or false"),
}
"""Of one that is to have so many nodes; 0 with force only."""
SINCE = Field(lambda value: math.isfinite(value), "seconds since the epoch, as 1700000000.5")
LINES = whole(0, MAX_LINES)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that came with a request, {} where nothing came; OptionError."""
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise OptionError(f"The body is not JSON: {error}. Send an object, as {{}}.") from None
    if not isinstance(value, dict):
        raise OptionError(f"The body must be a JSON object, as {{}}; it is {_shown(value)}.")
    return value


def check(given: Mapping[str, Any], fields: Mapping[str, Field], required: tuple[str, ...] = ()) -> None:
    """OptionError where a body has what is not among the fields, or not allowed, or lacks what is required."""
    if unknown := sorted(given.keys() - fields.keys()):
        raise OptionError(
            f"{BODY}, {', '.join(unknown)} is not known here. There are: {', '.join(sorted(fields))}."
        )
    for name, value in given.items():
        if (value is not None or name in required) and not fields[name].allows(value):
            raise OptionError(f"{BODY}, {name}={_shown(value)} is not allowed: give {fields[name].wanted}.")
    for name in required:
        if name not in given:
            raise OptionError(f"The body lacks {name}: give {fields[name].wanted}.")


def argument(name: str, text: str, kind: Callable[[str], Any], field: Field) -> Any:
    """An argument in the address, as a value of its kind; OptionError."""
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not field.allows(value):
        raise OptionError(f"{ADDRESS}, {name}={_shown(text)} is not allowed: give {field.wanted}.")
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
