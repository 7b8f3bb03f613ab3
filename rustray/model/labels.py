"""Label selectors: which nodes one wants, by the labels that they carry.

A selector is {key: "value" | "!value" | "in(a, b)" | "!in(a, b)"}, as Ray's. Read, it is a list of *matches*, plain
tuples (key, operator, values): IN (a node has the label, with one of the values), NOT_IN (it does not), EXISTS and
ABSENT (of the label, whatever its value).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

IN, NOT_IN, EXISTS, ABSENT = "in", "not in", "exists", "absent"

Match = tuple[str, str, tuple[str, ...]]

_WORD = r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
_PREFIX = r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?"
_KEY = re.compile(rf"(?:{_PREFIX}/)?{_WORD}")
_VALUE = re.compile(_WORD)
_CONDITION = re.compile(rf"(!?)(?:(in)?\(({_WORD}(?:, ?{_WORD})*)\)|({_WORD})?)")


def check_key(key: object) -> None:
    """ValueError if it cannot be a label's key: a word of up to 63 characters, perhaps behind a domain and a slash."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError(
            f"label key {key!r}: up to 63 letters, digits, '-', '_' and '.', which begin and end with a letter or "
            "digit; a domain and '/' may stand before"
        )


def check_labels(labels: Mapping[str, str]) -> None:
    """ValueError if they cannot be the labels of a node: keys, and values that are words or empty."""
    for key, value in labels.items():
        check_key(key)
        if not isinstance(value, str) or value and not _VALUE.fullmatch(value):
            raise ValueError(
                f"label {key}={value!r}: a value has up to 63 letters, digits, '-', '_' and '.', and begins and ends "
                "with a letter or digit"
            )


def parse_selector(selector: Mapping[str, str]) -> list[Match]:
    """The matches of a label selector; a node is wanted if it meets all of them.

    Raises
    ------
    ValueError: a key or a condition that has another form.
    """
    matches: list[Match] = []
    for key, condition in selector.items():
        check_key(key)
        read = _CONDITION.fullmatch(condition) if isinstance(condition, str) else None
        if read is None or condition == "!":
            raise ValueError(
                f"condition {condition!r} on label {key!r}: it must be 'value', '!value', 'in(a, b)' or '!in(a, b)'"
            )
        negated, _in, several, one = read.groups()
        values = tuple(several.replace(" ", "").split(",")) if several else (one or "",)
        matches.append((key, NOT_IN if negated else IN, values))
    return matches


def meets(labels: Mapping[str, str], matches: Iterable[Match]) -> bool:
    """Whether a node with these labels meets all of the matches."""
    for key, operator, values in matches:
        value = labels.get(key)
        if operator == IN:
            met = value is not None and value in values
        elif operator == NOT_IN:
            met = value is None or value not in values
        else:
            met = (value is not None) == (operator == EXISTS)
        if not met:
            return False
    return True


def told(match: Match) -> str:
    """A match for people: "label zone=a", "label zone in (a, b)", "no label zone"."""
    key, operator, values = match
    if operator in (EXISTS, ABSENT):
        return f"{'' if operator == EXISTS else 'no '}label {key}"
    if len(values) == 1:
        return f"label {key}{'=' if operator == IN else '!='}{values[0]}"
    return f"label {key} {operator} ({', '.join(values)})"
