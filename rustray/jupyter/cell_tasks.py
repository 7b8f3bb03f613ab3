"""The tasks of one `%%remote` cell in the process that submits them."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rustray.driver.code_hash import HASH_BYTES
from rustray.driver.entry import ERROR, Entry
from rustray.driver.grouping import line_of
from rustray.driver.refs import ObjectRef
from rustray.driver.remote_function import scheduling_class
from rustray.driver.scheduling_class import SchedulingClass
from rustray.driver.session import Session
from rustray.driver.task import Task
from rustray.error_packing import read_summary
from rustray.jupyter import remote_cell
from rustray.jupyter.parcel import Parcel
from rustray.model.options import TaskOptions
from rustray.progress.counting import Count, Expected
from rustray.progress.forecast import Group
from rustray.serialization import serialize_code

Sent = Parcel | ObjectRef
NOTHING = Parcel(b"")
CLIP = 50
"""Characters of a line of code that are shown."""


@dataclass(frozen=True)
class CellRequest:
    """A cell that is to be run.

    Parameters
    ----------
    cell: names this run of it, in the kernel and everywhere else.
    name: what the user calls it.
    source, file: its code, and how tracebacks call that.
    wanted: variables to bring back.
    names: the variables that it reads.
    options: of its tasks.
    target, elements: of `--map`: what is assigned, and the elements; None without.
    timeout: seconds after which it is stopped.
    background: whether nobody waits for it.
    figures: the style of the notebook's figures, if it is not the plain one.
    """

    cell: str
    name: str
    source: str
    file: str
    wanted: tuple[str, ...]
    names: Sent
    options: dict[str, Any] = field(default_factory=dict)
    target: str = ""
    elements: tuple[Sent, ...] | None = None
    timeout: float | None = None
    background: bool = False
    figures: Parcel | None = None

    @property
    def total(self) -> int:
        """How many tasks it is to have."""
        return 1 if self.elements is None else len(self.elements)

    @property
    def origin(self) -> str:
        """Where its code was and how it begins, as "In[5] model = train(data)"."""
        lines = [line.strip() for line in self.source.splitlines()]
        code = [line for line in lines if line and not line.startswith("#")]
        first = next((line for line in code if not line.startswith(("import ", "from "))), *code[:1] or [""])
        clipped = first if len(first) <= CLIP else first[: CLIP - 1] + "…"
        return f"{self.file.removeprefix('Cell ')} {clipped}"


class CellTasks:
    """See the module.

    Parameters
    ----------
    on_change: called, from any thread and under the session's lock, when a task has ended.

    Attributes
    ----------
    request: without its variables and elements, once all tasks have been submitted.
    rows: the refs of each task: its value, then the wanted variables.
    total: how many there are to be. left_out: of these, how many were not submitted.
    """

    def __init__(self, session: Session, request: CellRequest, on_change: Callable[[], object]) -> None:
        self._session = session
        self.request = request
        self._on_change = on_change
        self._begun = False
        self._submitted = False
        self._stopping = False
        self.total = request.total
        self.left_out = 0
        self.done = 0
        self.failed = 0
        self.stopped = 0
        """Were cancelled, and are not among the failed."""
        self.failure = ""
        """What the first that has failed has raised, in a line."""
        self.ended_at: float | None = None
        """Seconds since the epoch."""
        self.rows: list[list[ObjectRef]] = []
        self._live: dict[Entry, Task] = {}
        self._target: SchedulingClass | None = None

    def submit(self) -> None:
        """Submit them all, or as many as there are until `end_submission`."""
        with self._session.objects.lock:
            if self._stopping:
                return
            self._begun = True
        try:
            self._submit_each(self.request)
        finally:
            self._over()

    def _submit_each(self, request: CellRequest) -> None:
        body = functools.partial(
            remote_cell.task,
            request.source,
            request.file,
            request.wanted,
            request.target,
            figures=request.figures,
            waited_for=request.elements is None and not request.background,
        )
        options = TaskOptions.build({**request.options, "name": request.name})
        # A function of its own for each cell; its run times are those of all cells that have its source.
        code = serialize_code(body, f"cell {request.name}")
        key, self._target = scheduling_class(
            self._session, code, request.name, options, content_hash(request)
        )
        returns = 1 + len(request.wanted)
        for element in ((),) if request.elements is None else zip(request.elements, strict=True):
            if self._stopping:
                break
            args = (request.names, *element)
            submitted = self._session.tasks.submit(
                self._target, key, args, {}, returns, options.max_retries, options, body
            )
            self._watch([submitted] if returns == 1 else submitted)

    def _over(self) -> None:
        """There will be no more rows."""
        with self._session.objects.lock:
            self._submitted = True
            elements = None if self.request.elements is None else ()
            self.request = replace(self.request, names=NOTHING, elements=elements)
            self.left_out = self.total - len(self.rows)
            if self._ended >= len(self.rows):
                self.ended_at = self.ended_at or time.time()
        self._on_change()

    def _watch(self, refs: list[ObjectRef]) -> None:
        entry = refs[0]._entry
        with self._session.objects.lock:
            task = entry.task
            if task is not None:
                self._live[entry] = task
        self.rows.append(refs)
        self._session.objects.when_ready(entry, lambda: self._on_ended(entry))
        if self._stopping and task is not None:
            self._session.tasks.cancel(task, False, True)  # who stopped the others did not know of it

    def _on_ended(self, entry: Entry) -> None:
        with self._session.objects.lock:
            self._live.pop(entry, None)
            if entry.state != ERROR:
                self.done += 1
            elif (error := read_summary(entry.payload)).cancelled:
                self.stopped += 1
            else:
                self.failed += 1
                self.failure = self.failure or line_of(error)
            if self._submitted and self._ended >= len(self.rows):
                self.ended_at = time.time()
        self._on_change()

    @property
    def _ended(self) -> int:
        return self.done + self.failed + self.stopped

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Those of its scheduling class, of which there is one from `submit` on."""
        return () if self._target is None or self.ended_at is not None else (self._target.key,)

    def count(self, now: float, expected: Expected) -> Count:
        """How things are.

        Parameters
        ----------
        now: monotonic seconds.
        expected: of scheduling classes.
        """
        ran, places = [], 0
        with self._session.objects.lock:
            for lease in () if self._target is None or self.ended_at is not None else self._target.leases:
                places += any(task.entries[0] in self._live for task in lease.in_flight.values())
                task = lease.in_flight.get(lease.page.started)
                if task is not None and task.entries[0] in self._live:
                    ran.append(now - lease.since if lease.first == task.number else 0.0)
            left = self.total - self._ended
            known = expected.get(self._target.key) if self._target is not None else None
        groups = () if known is None else (Group(left - len(ran), tuple(ran), *known),)
        unknown = left if known is None else 0
        return Count(self.total, self.done, self.failed, len(ran), places, groups, unknown, self.stopped)

    def unfinished(self) -> list[Task]:
        """Those that have not ended."""
        with self._session.objects.lock:
            return list(self._live.values())

    def end_submission(self) -> bool:
        """Submit no more; whether the last one may be on its way still.

        This is the end of a cell that has not begun, as one behind the submission of a big loop.
        """
        with self._session.objects.lock:
            self._stopping = True
            if self._begun:
                return not self._submitted
        self._over()
        return False

    def let_results_go(self) -> None:
        """Whoever wants them has refs of his own."""
        self.rows = []


def content_hash(request: CellRequest) -> bytes:
    """What a cell does, whatever its number is: its run times are known by this."""
    content = repr((request.source.strip(), request.wanted, request.target))
    return hashlib.sha1(content.encode(errors="surrogateescape"), usedforsecurity=False).digest()[:HASH_BYTES]
