"""Where the big arguments of tasks lie: tasks go to them, or else they are brought before they are asked for.

A lease's next task waits here, not at its worker, if it takes long (`scheduling_class`). So that its arguments travel
while the one before it runs, one of the first in the queue is *bound* to each lease's node, which is told of them.
Bound tasks go there if they can; that is no promise.
"""

from __future__ import annotations

from collections import deque
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


def place_of(entry: Entry) -> int:
    """The number of a node that has a copy, as far as this process knows."""
    return entry.node or home_of(entry.id)


def near(tasks: Iterable[Task]) -> dict[int, int] | None:
    """Bytes of the arguments of the first `tasks`, by the number of the node that has them; None if there are none."""
    found: dict[int, int] = {}
    for task in islice(tasks, LOOKED_AT):
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


def bring_forward(queue: deque[Task], node: int) -> None:
    """Let the first of the tasks at the head of the queue that is bound to `node`, or whose arguments lie there, be the
    very first."""
    for index, task in enumerate(islice(queue, LOOKED_AT)):
        if task.bound != node:
            places = None if task.bound else near((task,))
            if places is None or max(places, key=places.__getitem__) != node:
                continue
        if index:
            del queue[index]
            queue.appendleft(task)
        return


def bind(queue: Iterable[Task], leases: Mapping[int, int]) -> dict[int, list[bytes]]:
    """Bind one of the first tasks to each of the `leases`, counted by node; gives the arguments to bring, by node."""
    head = list(islice(queue, LOOKED_AT))
    free = dict(leases)
    for task in head:
        if task.bound in free:
            free[task.bound] -= 1
        else:
            task.bound = 0
    told: dict[int, list[bytes]] = {}
    for task in head:
        if task.bound or not has_big(task):
            continue
        nodes = [node for node, count in free.items() if count > 0]
        if not nodes:
            break
        places = near((task,)) or {}
        task.bound = node = max(nodes, key=lambda node: places.get(node, 0))
        free[node] -= 1
        if oids := missing(task, node):
            told.setdefault(node, []).extend(oids)
    return told
