"""Names that RustRay gives a notebook, and those that its cells have left on their workers; with a shell that has no
kernel."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

import rustray
from rustray.jupyter import left_on_workers, loading
from rustray.jupyter.named_cells import KEPT, NamedCells, named_cells
from rustray.task_error import TaskError


def test_loading_takes_no_name_that_is_taken() -> None:
    for variables, found in (({}, rustray), ({"rustray": "mine"}, "mine")):
        shell = InteractiveShell(user_ns=variables)
        loading.load(shell)
        assert shell.user_ns["rustray"] is found
        cells = shell.user_ns["rustray_cells"]
        loading.load(shell)
        assert shell.user_ns["rustray_cells"] is cells
        assert shell.events.callbacks["post_run_cell"].count(left_on_workers.tell) == 1
        loading.unload(shell)
        assert left_on_workers.tell not in shell.events.callbacks["post_run_cell"]


def test_the_oldest_of_the_named_cells_is_forgotten_first() -> None:
    space = {"rustray_cells": "the user's own"}
    cells = named_cells(space)
    assert named_cells(space) is cells and isinstance(space["rustray_cells"], NamedCells)
    cells.update({f"cell_{number}": number for number in range(KEPT)})
    cells["cell_0"] = "again"
    cells["one more"] = 1
    assert "cell_1" not in cells and cells["cell_0"] == "again" and len(cells) == KEPT


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NameError("name 'model' is not defined"), "%%remote fit has assigned model"),
        (TaskError("f", "", NameError("name 'model' is not defined")), "-o model brings it back"),
        (NameError("name 'other' is not defined"), ""),
        (KeyError("model"), ""),
        (None, ""),
    ],
)
def test_where_a_missed_name_is(error: BaseException | None, said: str) -> None:
    left_on_workers.note("fit", ["model"])
    told = left_on_workers.hint(error)
    assert said in told and bool(told) == bool(said)


def test_names_on_workers_are_forgotten_the_oldest_first() -> None:
    left_on_workers.note("fit", ["model", *(f"x{number}" for number in range(left_on_workers.KEPT))])
    assert not left_on_workers.hint(NameError("name 'model' is not defined"))
    assert left_on_workers.hint(NameError("name 'x0' is not defined"))
