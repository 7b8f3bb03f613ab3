"""``rustray explain``: why tasks or an actor wait."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any

from rustray.cli.asking import add_address, connected
from rustray.explanation import Explanation
from rustray.model import ids
from rustray.model.lacking import lacking_text
from rustray.model.option_checks import meant
from rustray.model.quantities import amounts, counted

ID_DIGITS = (2 * ids.OBJECT_ID_BYTES - 4, 2 * ids.OBJECT_ID_BYTES)
"""Of a task's id, and of that of an object or actor."""


def add_commands(commands: Any) -> None:
    """Add ``explain``."""
    explain: argparse.ArgumentParser = commands.add_parser(
        "explain", help="why a task waits", description="Say why tasks or an actor wait."
    )
    explain.add_argument(
        "task",
        metavar="TASK",
        help="the id of a task, object or actor (ref.task_id(), ref.hex()), or a function's name",
    )
    explain.add_argument("--json", action="store_true", help="for programs")
    explain.set_defaults(run=run)
    add_address(explain)


def run(options: argparse.Namespace) -> int:
    """Print where the task with this id is, or what waits under this name, and why; status 1 when nothing does."""
    with connected(options.address) as (query, _facts):
        if _is_id(options.task):
            told = Explanation(query("explain_task", options.task))
            print(json.dumps(told.plain(), indent=2) if options.json else told)
            return 0
        waiting = (row for row in query("tasks") if row["state"] == "waiting")
        tasks = {row["function"]: row["count"] for row in waiting}
        found = [
            {"tasks": tasks.get(row["class"], 0), **row, **query("explain", row["key"], row["client"])}
            for row in query("waiting")
            if row["class"] == options.task
        ]
        known = query("names")
    for row in found:
        del row["key"]
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(map(_sentence, found)) or _none(options.task, known))
    return 0 if found else 1


def _is_id(name: str) -> bool:
    """Whether it is meant as an id: no function has so long a name of such letters only."""
    return len(name) in ID_DIGITS and all(digit in "0123456789abcdefABCDEF" for digit in name)


def _none(name: str, known: Iterable[str]) -> str:
    known = list(known)
    if name in known:
        return f"No task of the name {name!r} waits: those that there are run, or are over."
    none = f"No task of the name {name!r} waits, and no running job has a function or actor of that name."
    return none + meant(name, known)


def _sentence(row: dict[str, Any]) -> str:
    has = f"it has {row['held']} of {row['wanted']} slots asked for"
    what = f"{row['class']} of job {row['job']} is {row['state']}: {has}"
    if row.get("tasks"):
        what = f"{counted(row['tasks'], 'task')} of {row['class']} without a worker; {what}"
    missing, reason = row.get("missing", {}), row.get("reason", "")
    if row["state"] == "infeasible":
        return f"{what}; {lacking_text(missing, reason)}."
    if row["promised"]:
        what += f", and {row['promised']} are being freed for it"
    if missing:
        what += f"; the node that comes closest lacks {amounts(missing)}"
    if reason:
        what += f"; {reason}"
    if row.get("ahead"):
        first = ", ".join(sorted({str(other["class"]) for other in row["first_ahead"]}))
        what += f"; {row['ahead']} are served before it ({first})"
    return what + "."
