"""Where tasks go, and what is brought to them."""

from __future__ import annotations

from collections import deque

from rustray.driver.entry import BLOCK, VALUE, Entry
from rustray.driver.locality import LOOKED_AT, bind, bring_forward, missing
from rustray.driver.task import Task
from rustray.model.ids import make_object_id, node_client

HERE, THERE, FAR = 1, 2, 3


def argument(number: int, home: int = HERE, made: int = 0, state: int = BLOCK) -> Entry:
    entry = Entry(make_object_id(node_client(home) + 1, number, 0), True)
    entry.state, entry.node = state, made
    return entry


def task(number: int, *arguments: Entry) -> Task:
    made = Task(number, None, b"f", b"", 1, 0, None)
    made.deps = tuple(enumerate(arguments))
    return made


def test_what_a_node_lacks() -> None:
    here, there, small = argument(1), argument(2, made=THERE), argument(3, state=VALUE)
    wants = task(1, here, there, small)
    assert missing(wants, HERE) == [there.id]
    assert missing(wants, THERE) == [here.id]
    wants.args = (BLOCK, here.id)  # arguments that are big together are an object of their own
    assert missing(wants, FAR) == [here.id, there.id, here.id]
    wants.args = (b"pickle", (b"buffer",))
    assert missing(wants, HERE) == [there.id]


def test_one_task_is_bound_to_each_lease() -> None:
    objects = [argument(number) for number in range(6)]
    queue = deque(task(number, entry) for number, entry in enumerate(objects))
    told = bind(queue, {THERE: 2, FAR: 1})
    assert [each.bound for each in queue] == [THERE, THERE, FAR, 0, 0, 0]
    assert told == {THERE: [objects[0].id, objects[1].id], FAR: [objects[2].id]}
    assert bind(queue, {THERE: 2, FAR: 1}) == {}  # all have one
    queue.popleft()
    assert bind(queue, {THERE: 2, FAR: 1}) == {THERE: [objects[3].id]}
    assert bind(queue, {FAR: 3}) == {FAR: [objects[1].id, objects[3].id]}  # the leases there are gone


def test_a_task_is_bound_to_where_its_arguments_are() -> None:
    queue = deque([task(1, argument(1, made=THERE)), task(2, argument(2, made=FAR)), task(3), task(4)])
    assert bind(queue, {HERE: 1, FAR: 1, THERE: 1}) == {}
    assert [each.bound for each in queue] == [THERE, FAR, 0, 0]


def test_what_must_travel_is_not_bound_before_what_is_there() -> None:
    """Only one node has leases yet; one where the other arguments are may follow."""
    queue = deque(task(number, argument(number, made=THERE if number % 2 else FAR)) for number in range(6))
    assert bind(queue, {FAR: 2}) == {}
    assert [each.bound for each in queue] == [FAR, 0, FAR, 0, 0, 0]
    bring_forward(queue, THERE)
    assert queue[0].number == 1


def test_a_long_queue_is_looked_at_in_part() -> None:
    queue = deque(task(number, argument(number)) for number in range(1000))
    assert len(bind(queue, {THERE: 500})[THERE]) == LOOKED_AT


def test_a_bound_task_goes_first_where_it_is_bound_to() -> None:
    queue = deque(task(number, argument(number)) for number in range(4))
    queue[2].bound = THERE
    bring_forward(queue, THERE)
    assert [each.number for each in queue] == [2, 0, 1, 3]
    bring_forward(queue, HERE)  # where the arguments of all lie: the first that is not bound elsewhere
    assert [each.number for each in queue] == [0, 2, 1, 3]
    queue.appendleft(task(4, argument(4, made=THERE)))
    for each in queue:
        each.bound = FAR
    bring_forward(queue, HERE)  # if all are bound elsewhere, still one whose arguments are here
    assert [each.number for each in queue] == [0, 4, 2, 1, 3]
