"""One line in the cell or task that waits, when what it waits for may never come.

A `get` that has waited for ten seconds for tasks or calls without a slot is told what holds the slots, if waiting for
tasks of its own job to end will not do: actors keep theirs as long as they live. It is told after two seconds what
no node of the cluster has, and that no head answers as `head_contact` says.

Rule 1. Submitting and waiting cost nothing for it: the clock looks who waits.
Rule 2. One line in one cell, or in the output of one task, and where there are none for each class or actor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rustray.driver import cells
from rustray.driver.locality import first_of
from rustray.model.lacking import lacking_text

if TYPE_CHECKING:
    from rustray.driver.entry import Entry
    from rustray.driver.session import Session
    from rustray.driver.task import Task

PATIENCE_S = 10.0
LACKING_S = 2.0
"""Seconds after which it is asked whether any node has what is waited for."""
HEAD_ANSWERS_S = 0.25
"""Seconds for which an error is held up to ask for its reason,"""
ASK_FROM_S = 0.5
"""if whoever gets it has waited for so long."""

Write = Callable[[str], None]


def _cell() -> Any:
    return cells.running_cell()


class Patience:
    """Watches one session.

    Parameters
    ----------
    write: takes the line.
    waits: whether somebody waits for objects; None for whoever waits for anything.
    place: names the cell or task that waits, None where there is none.
    """

    def __init__(
        self,
        session: Session,
        write: Write,
        waits: Callable[[], bool] | None = None,
        place: Callable[[], Any] = _cell,
    ) -> None:
        self._session = session
        self._write = write
        self._waits = waits
        self._place = place
        self._last_place: Any = None
        self._since: dict[bytes, float] = {}
        self._waiting_since: float | None = None
        self._asked: set[tuple[bytes, Any, float]] = set()
        """What was asked: class or actor, cell, and after how long."""
        self._lacking: set[tuple[bytes, Any]] = set()
        """What no node was found to have, and the cell that was told."""
        self._told_in: Any = None
        self._short_told = ""
        """What was said last of room: where there are no cells, the same is not said twice."""

    def tick(self, now: float) -> None:
        """Time has passed."""
        session = self._session
        if not (session.reactor.is_waited_for if self._waits is None else self._waits()):
            self._waiting_since = None
            return
        if self._waiting_since is None:
            self._waiting_since = now
        if session.objects.short:
            self._tell_short()
        if not session.leases.waiting and not session.actors.has_unconnected:
            self._since.clear()
            return
        with session.objects.lock:
            stuck = self._stuck()
        self._since = {key: self._since.get(key, now) for key in stuck}
        if stuck and session.head.is_lost:
            session.head.tell(now, self._waiting_since)
            return
        place = self._place()
        if place != self._last_place:
            self._last_place = place
            self._asked.clear()
            self._lacking.clear()
        for patience in (LACKING_S, PATIENCE_S):
            if now - self._waiting_since < patience:
                return
            for key, since in self._since.items():
                asked = (key, place, patience)
                if now - since >= patience and asked not in self._asked:
                    self._asked.add(asked)
                    self._ask(key, stuck[key], patience)
                    return

    def _tell_short(self) -> None:
        """What is waited for finds no room in the store: the node has said so after some seconds."""
        cell = self._place()
        if cell is None or cell != self._told_in:
            with self._session.objects.lock:
                why = next(iter(self._session.objects.short.values()), "")
            if why and why != self._short_told:
                self._told_in, self._short_told = cell, why
                self._write(f"rustray: get() waits: {why}.\n")

    def _stuck(self) -> dict[bytes, Task]:
        """By class or actor, the first task of each that has no slot."""
        session = self._session
        stuck = {
            target.key: task
            for target in session.leases.waiting
            if (task := next((task for task in first_of(target.queue) if not task.cancelled), None))
            is not None
        }
        for channel in session.actors.channels():
            if channel.queue and not channel.connected:
                stuck[channel.id] = channel.queue[0]
        return stuck

    def _ask(self, key: bytes, task: Task, patience: float) -> None:
        session = self._session
        with session.objects.lock:
            about = session.explaining.of_task(task)
        number, reply = session.requests.begin()
        reply.add_waiter(lambda: self._on_answer(key, reply.fields, patience))
        session.tell(("query", number, "explained", (about,)))

    def _on_answer(self, key: bytes, fields: tuple[Any, ...], patience: float) -> None:
        if not fields or not fields[0]:
            return  # the session has ended, or the head has no word for it: nobody asked in earnest
        cell = self._place()
        line = _lacking(fields[1])
        if (key, cell) in self._lacking:
            return
        if line:
            self._lacking.add((key, cell))
            line = f"rustray: {line}. rustray.explain(ref) tells more.\n"
        elif patience == PATIENCE_S:
            line = warning(fields[1], self._session.info.get("job", 0))
        if line and (cell is None or cell != self._told_in):
            self._told_in = cell
            self._write(line)


def why_not_started(session: Session, entries: Iterable[Entry], waited_s: float) -> str:
    """Why the first task or call without a slot of those that make `entries` may wait for ever; "" if it need not.

    Parameters
    ----------
    waited_s: for how long they were waited for; the head is asked only if that is worth it.
    """
    with session.objects.lock:
        without_slot = (entry.task for entry in entries if _has_no_slot(session, entry.task))
        task = next(without_slot, None)
        about = None if task is None else session.explaining.of_task(task)
    if about is None:
        return ""
    if session.head.is_lost:
        return f"{about['function']}() has no slot yet, and {session.head.text(time.monotonic())}"
    if waited_s < ASK_FROM_S:
        return ""
    number, reply = session.requests.begin()
    session.tell(("query", number, "explained", (about,)))
    if not session.reactor.wait(reply, HEAD_ANSWERS_S) or not reply.fields or not reply.fields[0]:
        return ""  # that it was not ready in time must do
    about = reply.fields[1]
    waits = about.get("lease", {}).get("state") == "waiting"
    return _lacking(about) or (_waits_for(about) if waits else "")


def _has_no_slot(session: Session, task: Any) -> bool:
    target = getattr(task, "target", None)
    if target is None or task.where is not None:
        return False  # another's, or it was sent
    return target in session.leases.waiting or getattr(target, "connected", True) is False


def _lacking(about: Mapping[str, Any]) -> str:
    """That no node has what a task or its actor asks for, as `head.explaining` tells of it; "" if one has."""
    lease: Mapping[str, Any] = about.get("lease", {})
    if lease.get("state") != "infeasible":
        return ""
    whose = "The actor of " if "actor" in about else ""
    why = lacking_text(lease.get("missing", {}), lease.get("reason", ""))
    return f"{whose}{about['function']}() cannot start: {why}"


def warning(about: Mapping[str, Any], job: int) -> str:
    """What is to be said of a task of `job` without a slot, as `head.explaining` tells of it; "" if its turn comes."""
    lease: Mapping[str, Any] = about.get("lease", {})
    if lease.get("state") != "waiting":
        return ""
    holders = lease.get("holders", ())
    # Tasks that one has submitted oneself end, and others of the job end or lend their CPU. Else a task may wait for
    # what the one has that waits for it.
    cpu_only = not lease.get("missing", {}).keys() - {"CPU"}
    for row in holders:
        if not row["pinned"] and (row["client"] == about.get("client") or cpu_only and row["job"] == job):
            return ""
    line = f"rustray: get() has waited {PATIENCE_S:g} s: {_waits_for(about)}"
    return f"{line}. rustray.explain(ref) tells more.\n"


def _waits_for(about: Mapping[str, Any]) -> str:
    """What a task or its actor waits for, and who has that."""
    lease: Mapping[str, Any] = about["lease"]
    holders = lease.get("holders", ())
    what = f"{about['function']}()"
    if "actor" in about:
        what = f"{what} waits for its actor, which"
    missing = ", ".join(f"{amount:g} {name}" for name, amount in lease.get("missing", {}).items())
    kept = ", ".join(
        f"{row['leases']} {'actor' if row['pinned'] else 'task'}{'' if row['leases'] == 1 else 's'} {row['class']}"
        + ("" if row["pinned"] else f" of job {row['job']}")
        for row in holders
    )
    line = f"{what} waits for {missing or 'a slot'}"
    if kept:
        line += f", held by {kept}"
    if holders and all(row["pinned"] for row in holders):
        line += ". Actors keep what they have until they end"
    if lease.get("reason"):
        line += f"; {lease['reason']}"
    return line


def attach(
    session: Session, waits: Callable[[], bool] | None = None, place: Callable[[], Any] = _cell
) -> None:
    """Watch a session; the line goes to the cell that runs, or to standard error. For the parameters see `Patience`."""

    def write(line: str) -> None:
        cells.writer()("stderr", line)

    patience = Patience(session, write, waits, place)
    session.on_tick.append(lambda: patience.tick(time.monotonic()))
