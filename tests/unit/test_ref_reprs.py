"""What refs say of themselves, without asking anybody."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from rustray.driver.entry import BLOCK, ERROR, VALUE, Entry
from rustray.driver.explaining import Explaining
from rustray.driver.refs import ObjectRef
from rustray.driver.target import KeepsOrder
from rustray.driver.task import Task
from rustray.driver.tasks import cancelled
from rustray.error_packing import pack_error
from rustray.errors import TaskCancelledError
from rustray.jupyter.cell_state import DONE, FAILED, RUNNING, STOPPED, CellState
from rustray.jupyter.known_cells import KEPT, KnownCells
from rustray.model.ids import make_object_id

MINE, ANOTHERS = 7, 8


class AnActor(KeepsOrder):
    @staticmethod
    def method_name(_function: object) -> str:
        return "Counter.add"


@pytest.fixture
def session() -> Any:
    found: Any = SimpleNamespace(
        objects=SimpleNamespace(lock=threading.RLock()), lineage=SimpleNamespace(tasks={}), on_behalf=[]
    )
    found.explaining = Explaining(found)
    return found


def a_ref(session: Any, number: int = 1, owner: int = MINE, target: Any = None) -> tuple[ObjectRef, Task]:
    task = Task(number, target or SimpleNamespace(name="f"), b"", b"", 1, 0, None)
    entry = Entry(make_object_id(owner, number, 0), owner == MINE, task if owner == MINE else None)
    task.entries = (entry,)
    return ObjectRef(SimpleNamespace(session=session, dropped=[]), entry), task  # type: ignore[arg-type]


def told(ref: ObjectRef) -> str:
    return repr(ref).removeprefix(f"ObjectRef({ref.hex()}").removesuffix(")").removeprefix(", ")


def test_a_ref_of_ones_own_task_says_where_that_is(session: Any) -> None:
    ref, task = a_ref(session, 2)
    assert told(ref) == "f(), waits for a worker"
    task.missing = 1
    assert told(ref) == "f(), waits for its arguments"
    task.where = SimpleNamespace(page=SimpleNamespace(started=1))
    assert told(ref) == "f(), sent to a worker"
    task.where.page.started = 2
    assert told(ref) == "f(), running"
    assert ref._repr_html_().endswith("<small>f() running</small>")
    task.cancelled = True
    assert told(ref) == "f(), being cancelled"
    assert told(a_ref(session, target=AnActor())[0]) == "Counter.add(), waits for its actor"


def test_a_ref_says_how_its_task_has_ended(session: Any) -> None:
    for state, payload, said in (
        (VALUE, b"", "ready"),
        (BLOCK, None, "ready, in the store"),
        (ERROR, pack_error(ValueError("no"), "f"), "f(), failed: ValueError"),
        (ERROR, cancelled(a_ref(session)[1]), "cancelled"),
        (ERROR, pack_error(TaskCancelledError("another was"), "f"), "f(), failed: TaskCancelledError"),
    ):
        ref, _task = a_ref(session)
        ref._entry.task = None
        ref._entry.settle(state, payload)
        assert told(ref) == said


def test_a_ref_of_anothers_task_says_no_more_than_is_known(session: Any) -> None:
    ref, _task = a_ref(session, 5, ANOTHERS)
    assert repr(ref) == f"ObjectRef({ref.hex()})"
    known = KnownCells()
    now = 0.5
    session.on_behalf = [SimpleNamespace(submitted=lambda ref: True, told=lambda ref: known.told(5, now))]
    assert repr(ref) == f"ObjectRef({ref.hex()})"
    known.submitted("c", [[ref]])
    waits = CellState.begins("c", "train", 0.0)
    known.heard(waits)
    assert told(ref) == "train, submitted"
    now = 2.0
    for state, said in (
        (waits, "train, waits for a worker"),
        (a_state(waits, RUNNING, running=1), "train, running"),
        (a_state(waits, DONE, done=1), "train, ready"),
        (a_state(waits, FAILED, failed=1), "train, failed"),
        (a_state(waits, STOPPED, failed=1), "train, stopped"),
        (a_state(waits, RUNNING, mapped=True, total=2, done=1), "train"),
        (a_state(waits, DONE, mapped=True, total=2, done=2), "train, ready"),
        (a_state(waits, FAILED, mapped=True, total=2, done=1, failed=1), "train"),
        (a_state(waits, DONE, mapped=True, total=2, done=1, stopped=1), "train"),
    ):
        known.heard(state)
        assert told(ref) == said


def a_state(state: CellState, how: str, **changes: Any) -> CellState:
    return CellState(**{**state.__dict__, "how": how, **changes})


def test_cells_are_forgotten_the_oldest_first(session: Any) -> None:
    known = KnownCells()
    for number in range(1, KEPT + 2):
        known.submitted(str(number), [[a_ref(session, number, ANOTHERS)[0]]])
        known.heard(CellState.begins(str(number), f"cell_{number}", 0.0))
    assert known.told(1, 2.0) == ("", "") and known.told(2, 2.0)[1] == "cell_2"
