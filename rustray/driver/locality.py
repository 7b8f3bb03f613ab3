"""Where the big arguments of tasks lie: tasks go to them, or else they are brought before they are asked for.

A lease's next task waits here, not at its worker, if it takes long (`scheduling_class`). So that its arguments travel
while the one before it runs, one of the first in the queue is *bound* to each lease's node, which is told of them.
Bound tasks go there if they can; that is no promise.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from rustray.driver.entry import BLOCK, Entry
from rustray.model.ids import home_of

if TYPE_CHECKING:
    from rustray.driver.task import Task

LOOKED_AT = 16
"""Tasks at the head of a queue whose arguments are told with a demand."""
NOMINAL_BYTES = 1 << 20
"""What an object in a store counts whose size this process does not know."""


def first_of(queue: Iterable[Task]) -> list[Task]:
    """Those at the head of a queue, to which other threads may be adding."""
    return list(islice(queue, LOOKED_AT))  # in one step of the interpreter


def place_of(entry: Entry) -> int:
    """The number of a node that has a copy, as far as this process knows."""
    return entry.node or home_of(entry.id)


def near(tasks: Iterable[Task]) -> dict[int, int] | None:
    """Bytes of the arguments of the first `tasks`, by the number of the node that has them; None if there are none."""
    found: dict[int, int] = {}
    for task in first_of(tasks):
        for _at, entry in task.deps:
            if entry.state == BLOCK:
                size = entry.payload[2] if entry.payload is not None else NOMINAL_BYTES
                node = place_of(entry)
                found[node] = found.get(node, 0) + size
    return found or None


def missing(task: Task, node: int) -> list[bytes]:
    """The big arguments that `node` does not have, as far as this process knows."""
    found = [entry.id for _at, entry in task.deps if entry.state == BLOCK and place_of(entry) != node]
    if type(task.args) is tuple and task.args[0] == BLOCK and home_of(task.args[1]) != node:
        found.append(task.args[1])
    return found


def has_big(task: Task) -> bool:
    """Whether an argument may lie in a store."""
    return bool(task.deps) or type(task.args) is tuple and bool(task.args) and task.args[0] == BLOCK


def _nearest(task: Task) -> int:
    """The node that has most of its big arguments, 0 if it has none."""
    places = near((task,))
    return max(places, key=places.__getitem__) if places else 0


def bring_forward(queue: deque[Task], node: int) -> None:
    """Let that of the tasks at the head of the queue be the very first that is best run on `node`: the first that is
    bound there, or whose arguments lie there; rather one that is not bound elsewhere."""
    best = -1
    for index, task in enumerate(first_of(queue)):
        if task.bound == node or _nearest(task) == node:
            if task.bound in (0, node):
                best = index
                break
            if best < 0:
                best = index
    if best > 0:
        task = queue[best]
        del queue[best]
        queue.appendleft(task)


def bind(queue: Iterable[Task], leases: Mapping[int, int]) -> dict[int, list[bytes]]:
    """Bind one of the first tasks to each of the `leases`, counted by node; gives the arguments to bring, by node."""
    head = [task for task in first_of(queue) if has_big(task)]
    free = Counter(leases)
    for task in head:
        if task.bound in leases:
            free[task.bound] -= 1
        else:
            task.bound = 0
    told: dict[int, list[bytes]] = {}
    # Those whose arguments lie beside a lease come first: what must travel may yet find a lease where it is.
    for to_them in (True, False):
        for task in head:
            if task.bound:
                continue
            node = _nearest(task) if to_them else next((node for node in free if free[node] > 0), 0)
            if free[node] <= 0:
                continue
            task.bound = node
            free[node] -= 1
            if oids := missing(task, node):
                told.setdefault(node, []).extend(oids)
    return told
