"""`%%remote` and `%%actor` in a kernel: loops, background cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustray.model import colours
from tests.notebook import Notebook
from tests.support import Gate, eventually

OPEN = (
    "%load_ext rustray\nimport rustray, time\nfrom pathlib import Path\nfrom tests.support import Gate, tick\n"
    "%rustray init --num-cpus 4"
)
COLOUR = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    opened = Notebook()
    try:
        assert "is ready with 4 CPUs, after" in opened.run(OPEN).text["stdout"]
        yield opened
    finally:
        opened.close()


def gate_of(notebook: Notebook, path: Path) -> Gate:
    """A gate that cells know as `gate`."""
    notebook.run(f"gate = Gate(Path({str(path)!r}))")
    return Gate(path)


def test_what_a_flood_has_left_out_is_told_above_the_value(notebook: Notebook) -> None:
    shown = notebook.run("%%remote --name loud\nfor n in range(20_000): print('line', n)\nn")
    assert shown.value == "19999"
    assert "not shown; %rustray logs loud has more of it" in shown.text["stderr"]
    assert [kind for kind in shown.order if kind != "status"][-1] == "execute_result"


def test_what_the_keeper_refuses_is_the_error_of_the_cell(notebook: Notebook) -> None:
    refused = notebook.run("%%remote --name ''\n1")
    assert "--name cannot be ''; it takes a name that is not empty" in refused.text["stderr"]
    notebook.run(
        "from unittest import mock\nfrom rustray.jupyter import remote_magic\n"
        "unchecked = mock.patch.object(remote_magic, 'TaskOptions')\nunchecked.start()"
    )
    try:
        for how in ("", "-b", "--map 'n in range(2)'"):
            refused = notebook.run(f"%%remote {how} --priority 99\n1")
            assert refused.text["stderr"].startswith("UsageError: priority=99"), refused
    finally:
        notebook.run("unchecked.stop()")


# -- loops -------------------------------------------------------------------------------------------------


def test_a_cell_runs_for_each_element_and_gives_the_list(notebook: Notebook) -> None:
    notebook.run("k, pairs = 10, [(1, 'a'), (2, 'b'), (3, 'c')]")
    shown = notebook.run(
        "%%remote --map 'n, word in pairs' -o scaled --name scale\nprint(word)\nscaled = n * k\nn"
    )
    assert (shown.error, shown.value) == ("", "[1, 2, 3]")
    lines = shown.text["stdout"].splitlines()
    assert sorted(line.partition(") ")[2] for line in lines) == ["a", "b", "c"]
    assert all(line.startswith("(scale pid=") for line in lines)
    (card,) = shown.cards.values()
    assert card.startswith("scale: 3 of 3 done") and "done after" in card
    assert "width:100.0%" in next(iter(shown.html.values()))
    assert notebook.run("scaled").value == "[10, 20, 30]"
    assert notebook.run("%%remote --map 'n in []'\nn").value == "[]"
    assert notebook.run("%%remote --map 'n in range(3)'\nm = n * k").value is None
    assert notebook.run("list(_)").value == "[None, None, None]"
    assert notebook.run("%%remote --map 'n in range(2)'\nn or None").value == "[None, 1]"


def test_a_loop_over_many_elements(notebook: Notebook) -> None:
    # So many that they come to the keeper by the store, after the call that follows the cell.
    assert notebook.run("%%remote --map 'n in range(3000)'\nn").error == ""
    assert notebook.run("_ == list(range(3000))").value == "True"


def test_a_big_variable_is_sent_once(notebook: Notebook) -> None:
    notebook.run("data = bytearray(11 << 20)")
    shown = notebook.run("%%remote --map 'i in range(4)'\nlen(data) + i")
    assert shown.value == str([(11 << 20) + i for i in range(4)])
    assert shown.text["stdout"] == "%%remote: sent 11 MiB of variables: data 11 MiB\n"
    # It is not kept for as long as the keeper knows of the cell.
    notebook.run("from rustray.util import state")
    big = "[one for one in state.list_objects() if one['object_size'] > 10 << 20]"
    eventually(lambda: notebook.run(big).value == "[]")


def test_failures_of_elements_are_told_together(notebook: Notebook) -> None:
    shown = notebook.run("%%remote --map 'n in range(6)'\n1 / (n % 3)")
    assert "ZeroDivisionError" in shown.kind
    assert "2 of 6 elements failed: 2 x ZeroDivisionError: division by zero (element 0, 3)" in shown.error
    assert "line 2\n    1 / (n % 3)" in re.sub(r"\x1b\[[0-9;]*m", "", shown.error)


def test_values_of_elements_that_have_not_failed_are_kept(notebook: Notebook) -> None:
    shown = notebook.run("%%remote --map 'n in range(4)' --name thirds -o m\nm = n\n6 // (n % 3)")
    assert "rustray_cells['thirds'] has the values of the others, in order" in shown.error
    kept = "import sys\nsys.last_value.results is rustray_cells['thirds'], rustray_cells['thirds'][1:3], 'm' in dir()"
    assert notebook.run(kept).value == "(True, [6, 3], False)"
    assert "ZeroDivisionError" in (notebook.run("type(rustray_cells['thirds'][3]).__mro__").value or "")
    shown = notebook.run("%%remote --map 'n in range(2)' --name none\n1 / 0")
    assert "2 of 2 elements failed" in shown.error and "rustray_cells" not in shown.error


def test_the_card_of_a_cell_that_cannot_be_submitted_does_not_run_on(notebook: Notebook) -> None:
    notebook.run(
        "from rustray.jupyter import keeper_link\nkept = keeper_link.KeeperLink.submit\n"
        "def refuse(*_arguments): raise rustray.errors.RustRayError('no')\n"
        "keeper_link.KeeperLink.submit = refuse"
    )
    shown = notebook.run("%%remote -b --name refused\n1")
    notebook.run("keeper_link.KeeperLink.submit = kept")
    assert "no" in shown.error
    (card,) = shown.cards.values()
    assert card.startswith("refused: failed after")


def test_an_element_that_cannot_travel_is_named(notebook: Notebook) -> None:
    notebook.run("import threading")
    shown = notebook.run("%%remote --map 'n in [1, threading.Lock()]'\nn")
    assert shown.kind == "SerializationError" and "element 1 of [1, threading.Lock()]" in shown.error


# -- cells that nobody waits for ---------------------------------------------------------------------------


def test_a_background_cell_gives_refs_and_a_card_that_moves(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    cell = notebook.start("%%remote -b --name fit -o model\nprint('begins')\ngate.wait()\nmodel = 'm'\n42")
    shown = notebook.finish(cell)
    assert (shown.value or "").startswith("ObjectRef(")
    gate.wait_for_waiters()
    assert notebook.run("rustray.wait([rustray_cells['fit']], timeout=0)[0]").value == "[]"
    gate.open()
    assert notebook.run("rustray.get([rustray_cells['fit'], model])").value == "[42, 'm']"
    eventually(lambda: (notebook.run("1"), "fit: done after" in next(iter(shown.cards.values())))[1])
    assert shown.text["stdout"] == "begins\n"


def test_a_card_tells_when_a_cell_that_has_run_before_will_end(notebook: Notebook) -> None:
    body = "import time\ntime.sleep(5)"
    cell = notebook.start(f"%%remote --name first\n{body}")
    notebook.read(lambda message: message["msg_type"] == "display_data")  # it shows up when a cell takes long
    # Where the machine has other work its worker may not be up yet.
    begins = next(iter(notebook.shown[cell].cards.values()))
    assert re.match(r"first: (running|waiting for a worker) for [\d.]+ s", begins)
    (card,) = notebook.finish(cell).cards.values()
    took = re.fullmatch(r"first: done after ([\d.]+) s", card)
    assert took
    notebook.run("from rustray.driver.current import current")
    learned = "[f['name'] for f in current().requests.query('functions') if f['run_s']]"
    eventually(lambda: "'first'" in (notebook.run(learned).value or ""))
    shown = notebook.run(f"%%remote -b --name again\n{body}")
    told: set[str] = set()

    def is_over() -> bool:
        notebook.run("1")
        told.update(shown.cards.values())
        return any("done" in text for text in told)

    eventually(is_over)
    left = [found for text in told if (found := re.search(r"running for ([\d.]+) s, about ([\d.]+) s", text))]
    assert left, told
    assert all(4.5 < float(found[1]) + float(found[2]) < float(took[1]) + 30 for found in left), (took[1], told)


def test_no_card_stands_in_the_middle_of_what_a_cell_prints(notebook: Notebook) -> None:
    shown = notebook.run("%%remote\nimport time\nfor n in range(25):\n    print(n)\n    time.sleep(0.1)")
    assert shown.text["stdout"].endswith("24\n") and not shown.cards


def test_refs_of_background_cells_are_cancelled_and_have_logs(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    notebook.run("%%remote -b --name held -o extra\nprint('held on')\nextra = 1\ngate.wait()")
    gate.wait_for_waiters()
    notebook.run("held = rustray_cells['held']")
    eventually(lambda: notebook.run("str(rustray.logs(extra))").value == r"'held on\n'")
    notebook.run("rustray.cancel(extra)")
    assert "TaskCancelledError" in notebook.run("rustray.get(held)").kind
    loop = notebook.run("%%remote -b --map 'n in range(3)' --name some\ngate.wait()\nn")
    gate.wait_for_waiters(3)
    # One element, and no other.
    assert "1 task cancelled" in notebook.run("%rustray cancel rustray_cells['some'][1]").text["stdout"]
    gate.open()
    notebook.run("%xmode Minimal")
    shown = notebook.run("[rustray.get(rustray_cells['some'][n]) for n in (0, 2)]")
    assert shown.value == "[0, 2]"
    assert "TaskCancelledError" in notebook.run("rustray.get(rustray_cells['some'])").kind
    eventually(lambda: (notebook.run("1"), "2 of 3 done, 1 stopped, " in next(iter(loop.cards.values())))[1])
    assert "done after" not in next(iter(loop.cards.values()))


def test_a_loop_whose_elements_were_cancelled_is_not_told_as_done(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    loop = notebook.run("%%remote -b --map 'n in range(3)' --name none\ngate.wait()")
    gate.wait_for_waiters(3)
    notebook.run("for ref in rustray_cells['none']: rustray.cancel(ref)")
    eventually(
        lambda: (notebook.run("1"), "0 of 3 done, 3 stopped, after" in next(iter(loop.cards.values())))[1]
    )
    assert colours.CANCELLED in next(iter(loop.html.values())).partition("</span>")[0]  # the dot


def test_a_running_cell_is_not_told_as_one_that_has_not_begun(notebook: Notebook, tmp_path: Path) -> None:
    for number in range(3):
        gate = gate_of(notebook, tmp_path / f"gate{number}")
        notebook.run(f"%%remote -b --name run{number}\ngate.wait()")
        gate.wait_for_waiters()
        told = notebook.run(f"%rustray cancel run{number}").text["stdout"]
        assert re.fullmatch(rf"RustRay: run{number}: 1 task stopped \((1 interrupted|1 killed)\)\.\n", told)


def test_a_loop_in_the_background_gives_a_list_of_refs(notebook: Notebook) -> None:
    powers = notebook.run("%%remote -b --map 'n in range(5)' --name powers -o cube\ncube = n ** 3\nn ** 2")
    assert powers.value and powers.value.count("ObjectRef(") == 3 and powers.value.endswith(", …] (5 refs)")
    assert notebook.run("rustray.get(rustray_cells['powers']), rustray.get(cube)").value == (
        "([0, 1, 4, 9, 16], [0, 1, 8, 27, 64])"
    )


def test_a_cell_ends_with_its_time(notebook: Notebook) -> None:
    shown = notebook.run("%%remote --timeout 4 --name slow\nprint('begins')\nimport time\ntime.sleep(600)")
    assert shown.error == "GetTimeoutError: %%remote --timeout: slow was stopped after 4 s."
    assert shown.text["stdout"] == "begins\n"


# -- actors ------------------------------------------------------------------------------------------------


def test_the_class_of_a_cell_becomes_an_actor(notebook: Notebook) -> None:
    source = (
        "%%actor counter --args 'start, step=2'\nclass Counter:\n    def __init__(self, n, step):\n"
        "        self.n, self.step = n, step\n    def add(self):\n        self.n += self.step\n        return self.n"
    )
    notebook.run("start = 5")
    assert notebook.run(source).error == ""
    assert notebook.run("rustray.get(counter.add.remote())").value == "7"
    assert notebook.run(source).error == ""
    assert notebook.run("rustray.get(counter.add.remote())").value == "7"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%%actor\nclass A: pass", "needs the name of a variable"),
        ("%%actor a\nx = 1", "has other statements"),
        ("%%actor a\nclass A: pass\nclass B: pass", "has 2 classes"),
        ("%%remote -b\ndef f(): pass", "-b is for cells that run"),
        ("%%remote --map 'n in ns'\ndef f(): pass", "--map is for cells that run"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(notebook: Notebook, source: str, said: str) -> None:
    shown = notebook.run(source)
    assert said in shown.text["stderr"] and shown.error == ""


def test_an_error_of_the_constructor_is_that_of_the_cell(notebook: Notebook) -> None:
    shown = notebook.run("%%actor broken\nclass Broken:\n    def __init__(self):\n        1 / 0")
    told = COLOUR.sub("", shown.error)
    assert re.search(r"Cell In\[\d+\], line 4 in __init__\n +1 / 0", told) and "/tmp/" not in told
    assert notebook.run("'broken' in dir()").value == "False"
