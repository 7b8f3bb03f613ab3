"""Errors of many tasks told together, equal ones once."""

from __future__ import annotations

from collections.abc import Sequence

from rustray.driver.entry import ERROR, Entry
from rustray.error_packing import ErrorSummary, read_summary

GROUPS_TOLD = 3
POSITIONS_TOLD = 3


def told_of(entries: Sequence[Entry]) -> str:
    """What is said of the objects of one `get` that are errors, "" where there is one at most."""
    failures = []
    for position, entry in enumerate(entries):
        if entry.state == ERROR:
            failures.append((position, line_of(read_summary(entry.payload))))
    return grouped_failures(len(entries), failures, "object") if len(failures) > 1 else ""


def line_of(error: ErrorSummary) -> str:
    """As "ValueError: no", of a longer message the first line."""
    kind = error.type_name.rpartition(".")[2] or "error"
    return f"{kind}: {error.message}".partition("\n")[0]


def grouped_failures(total: int, failures: Sequence[tuple[int, str]], what: str) -> str:
    """What is said of those that failed, equal errors together.

    Parameters
    ----------
    total: how many there are.
    failures: position and error, as "ValueError: no", of each that failed.
    what: the word for one of them, as "element".
    """
    groups: dict[str, list[int]] = {}
    for position, error in failures:
        groups.setdefault(error, []).append(position)
    most = sorted(groups.items(), key=lambda group: -len(group[1]))
    told = [f"{len(at)} x {error} ({what} {_positions(at)})" for error, at in most[:GROUPS_TOLD]]
    if len(most) > GROUPS_TOLD:
        told.append(f"{sum(len(at) for _error, at in most[GROUPS_TOLD:])} others")
    return f"{len(failures)} of {total} {what}s failed: {'; '.join(told)}"


def _positions(at: Sequence[int]) -> str:
    return ", ".join(map(str, at[:POSITIONS_TOLD])) + (", ..." if len(at) > POSITIONS_TOLD else "")
