"""The tasks whose results lie in the store: kept, to make a result again when its last copy is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rustray.driver import failures
from rustray.driver.entry import BLOCK, ERROR, PENDING
from rustray.driver.objects import published

if TYPE_CHECKING:
    from rustray.driver.session import Session
    from rustray.driver.task import Task


class Lineage:
    """The lineage of one session's objects. Changed under the lock of the object table.

    Attributes
    ----------
    tasks: by object, the task that made it.
    lost: pending objects that the store has asked for.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.tasks: dict[bytes, Task] = {}
        self.lost: set[bytes] = set()

    def on_freed(self, oids: Sequence[bytes]) -> None:
        """Nobody refers to these any more: they need not be made again."""
        for oid in oids:
            if self._session.actors.on_freed(oid):
                continue
            task = self.tasks.pop(oid, None)
            if task is not None:
                self._session.tasks.end_lineage(task, oid)

    def on_recover(self, oid: bytes) -> None:
        """The store has lost the value of an object that we own, or has never had one: make it again."""
        with self._session.objects.lock:
            entry = self._session.objects.entries.get(oid)
            if entry is not None and entry.owned and entry.state != BLOCK:
                if entry.state == PENDING:
                    self.lost.add(oid)  # what was lost may be what an answer on its way tells of
                else:
                    self._session.tell(published(entry))
                return
        task = self.tasks.get(oid)
        if task is None or not self._session.tasks.run_again(task, oid):
            error = failures.object_lost(oid)
            with self._session.objects.lock:
                self._session.tell(("publish", oid, ERROR, error, []))
                entry = self._session.objects.entries.get(oid)
                if entry is not None:
                    entry.settle(ERROR, error)
