"""One line in the cell that waits, when what it waits for may never come.

A `get` that has waited for ten seconds for tasks or calls without a slot is told what holds the slots, if waiting for
the session's own tasks to end will not do: actors keep theirs as long as they live.

Rule 1. Submitting and waiting cost nothing for it: the clock looks who waits.
Rule 2. One line in one cell, and one for each class or actor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rustray.driver import cells

if TYPE_CHECKING:
    from rustray.driver.session import Session
    from rustray.driver.task import Task

PATIENCE_S = 10.0

Write = Callable[[str], None]


class Patience:
    """Watches one session.

    Parameters
    ----------
    write: takes the line.
    """

    def __init__(self, session: Session, write: Write) -> None:
        self._session = session
        self._write = write
        self._since: dict[bytes, float] = {}
        self._waiting_since: float | None = None
        self._told: set[bytes] = set()
        self._told_in: Any = None

    def tick(self, now: float) -> None:
        """Time has passed."""
        session = self._session
        if not session.reactor.is_waited_for:
            self._waiting_since = None
            return
        if self._waiting_since is None:
            self._waiting_since = now
        if not session.leases.waiting and not session.actors.has_unconnected:
            self._since.clear()
            return
        with session.objects.lock:
            stuck = self._stuck()
        self._since = {key: self._since.get(key, now) for key in stuck}
        if stuck:
            session.head.tell(now, self._waiting_since)
        if now - self._waiting_since < PATIENCE_S:
            return
        for key, since in self._since.items():
            if now - since >= PATIENCE_S and key not in self._told:
                self._told.add(key)
                self._ask(stuck[key])
                return

    def _stuck(self) -> dict[bytes, Task]:
        """By class or actor, the first task of each that has no slot."""
        session = self._session
        stuck = {target.key: target.queue[0] for target in session.leases.waiting if target.queue}
        for channel in session.actors.channels():
            if channel.queue and not channel.connected:
                stuck[channel.id] = channel.queue[0]
        return stuck

    def _ask(self, task: Task) -> None:
        session = self._session
        with session.objects.lock:
            about = session.explaining.of_task(task)
        number, reply = session.new_request()
        reply.add_waiter(lambda: self._on_answer(reply.fields))
        session.tell(("query", number, "explained", (about,)))

    def _on_answer(self, fields: tuple[Any, ...]) -> None:
        if not fields or not fields[0]:
            return  # the session has ended, or the head has no word for it: nobody asked in earnest
        cell = cells.running_cell()
        line = warning(fields[1])
        if line and (cell is None or cell != self._told_in):
            self._told_in = cell
            self._write(line)


def warning(about: Mapping[str, Any]) -> str:
    """What is to be said of a task that has no slot, as `head.explaining` tells of it; "" if it is its turn soon."""
    lease: Mapping[str, Any] = about.get("lease", {})
    if lease.get("state") != "waiting":
        return ""
    holders = lease.get("holders", ())
    if any(not row["pinned"] and row["client"] == about.get("client") for row in holders):
        return ""  # tasks of its own: they end
    what = f"{about['function']}()"
    if "actor" in about:
        what = f"{what} waits for its actor, which"
    missing = ", ".join(f"{amount:g} {name}" for name, amount in lease.get("missing", {}).items())
    kept = ", ".join(
        f"{row['leases']} {'actor' if row['pinned'] else 'task'}{'' if row['leases'] == 1 else 's'} {row['class']}"
        + ("" if row["pinned"] else f" of job {row['job']}")
        for row in holders
    )
    line = f"rustray: get() has waited {PATIENCE_S:g} s: {what} waits for {missing or 'a slot'}"
    if kept:
        line += f", held by {kept}"
    if holders and all(row["pinned"] for row in holders):
        line += ". Actors keep what they have until they end"
    return f"{line}. rustray.explain(ref) tells more.\n"


def attach(session: Session) -> None:
    """Watch the session of a driver."""

    def write(line: str) -> None:
        cells.writer()("stderr", line)

    patience = Patience(session, write)
    session.on_tick.append(lambda: patience.tick(time.monotonic()))
