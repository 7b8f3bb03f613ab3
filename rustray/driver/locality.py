"""Where the big arguments of tasks lie, so that tasks go to them rather than they to the tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
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


def bring_forward(queue: deque[Task], node: int) -> None:
    """Let the first of the tasks at the head of the queue whose arguments lie on `node` be the very first."""
    for index, task in enumerate(islice(queue, LOOKED_AT)):
        places = near((task,))
        if places is not None and max(places, key=places.__getitem__) == node:
            if index:
                del queue[index]
                queue.appendleft(task)
            return
