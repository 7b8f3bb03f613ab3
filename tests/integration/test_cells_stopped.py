"""The stop button, pressed while a cell runs tasks: `%%remote` cells and others."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_cells import COLOUR, OPEN, gate_of
from tests.notebook import Notebook
from tests.support import eventually, ticks

STOP_S = 20.0
"""Far less than the cells would run: a machine may have other work. Two seconds is what is promised."""
STOPPED = re.compile(r": 1 task stopped \(1 (interrupted|killed)\)")
"""It is killed where its worker is given no processor for a second."""


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    opened = Notebook()
    try:
        opened.run(OPEN)
        yield opened
    finally:
        opened.close()


def test_stop_ends_the_cell_and_nothing_else(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    notebook.run("@rustray.remote\ndef hold(gate):\n    gate.wait()\n    return 'held'")
    notebook.run("other = hold.remote(gate)")
    notebook.run("%%remote -b --name background\ngate.wait()\n'background'")
    gate.wait_for_waiters(2)
    cell = notebook.start("%%remote\nprint('begins')\nimport time\ntime.sleep(60)")
    notebook.read_text("begins")
    pressed = notebook.interrupt()
    shown = notebook.finish(cell)
    assert time.monotonic() - pressed < STOP_S
    assert shown.kind == "KeyboardInterrupt" and STOPPED.search(shown.error)
    gate.open()
    assert notebook.run("rustray.get([other, rustray_cells['background']])").value == "['held', 'background']"


def test_stop_kills_what_does_not_listen(notebook: Notebook) -> None:
    source = (
        "%%remote\nimport time\nprint('begins')\nwhile True:\n    try:\n        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n        print('goes on')"
    )
    took: list[float] = []
    while len(took) < 5 and min(took, default=9.0) > 2.0:  # again only where the machine has other work
        cell = notebook.start(source)
        notebook.read_text("begins")
        pressed = notebook.interrupt()
        shown = notebook.finish(cell)
        took.append(time.monotonic() - pressed)
        assert ": 1 task stopped (1 killed)" in shown.error
    assert min(took) < 2.0, took
    assert notebook.run("%%remote\n'free again'").value == "'free again'"


@pytest.mark.parametrize("magic", [True, False])
def test_who_presses_stop_again_is_told_too_what_was_stopped(
    notebook: Notebook, tmp_path: Path, magic: bool
) -> None:
    notebook.run(f"begun = Path({str(tmp_path / 'begun')!r})")
    body = (
        "tick(begun)\nwhile True:\n    try:\n        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n        print('no')"
    )
    if magic:
        cell = notebook.start(f"%%remote -o x\nimport time\n{body}\nx = 1")
    else:
        notebook.run("@rustray.remote\ndef deaf():\n    " + body.replace("\n", "\n    "))
        cell = notebook.start("rustray.get([deaf.remote() for _ in range(2)])")
    eventually(lambda: ticks(tmp_path / "begun") == (1 if magic else 2))
    pressed = notebook.interrupt()
    notebook.read_text("no")
    notebook.interrupt()
    shown = notebook.finish(cell)
    assert time.monotonic() - pressed < STOP_S
    told = shown.error if magic else shown.text["stderr"]
    assert ("1 task stopped (1 killed)" if magic else "rustray: 2 tasks stopped (2 killed)") in told


def test_what_a_flood_has_left_out_is_told_above_the_stop(notebook: Notebook) -> None:
    cell = notebook.start("%%remote --name loud\nfor n in range(10_000_000): print('line', n)")
    notebook.read_text("line 3000\n")
    notebook.interrupt()
    shown = notebook.finish(cell)
    assert shown.kind == "KeyboardInterrupt" and "not shown; %rustray logs loud" in shown.text["stderr"]
    assert [kind for kind in shown.order if kind != "status"][-1] == "error"


def test_stop_ends_all_elements_of_a_loop(notebook: Notebook) -> None:
    cell = notebook.start("%%remote --map 'n in range(9)'\nprint('begins')\nimport time\ntime.sleep(60)")
    notebook.read_text("begins")
    pressed = notebook.interrupt()
    shown = notebook.finish(cell)
    assert time.monotonic() - pressed < STOP_S
    assert ": 9 tasks stopped: " in shown.error
    assert "9 stopped, after" in next(iter(shown.cards.values()))


def test_stop_ends_the_tasks_that_a_plain_cell_has_submitted(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    notebook.run("@rustray.remote\ndef hold(gate):\n    gate.wait()\n    return 'held'")
    notebook.run("earlier = hold.remote(gate)")
    # One more, from a thread that was there before the cell.
    notebook.run(
        "import threading\ngo, refs = threading.Event(), []\n"
        "def later():\n    go.wait(30)\n    refs.append(hold.remote(gate))\n"
        "threading.Thread(target=later, daemon=True).start()"
    )
    notebook.run("%xmode Context")
    cell = notebook.start(
        "@rustray.remote\ndef long(n):\n    print('begins')\n    time.sleep(60)\n"
        "mine = [long.remote(n) for n in range(6)]\ngo.set()\nprint('all submitted')\nrustray.get(mine)"
    )
    notebook.read_texts("begins", "all submitted")
    pressed = notebook.interrupt()
    shown = notebook.finish(cell)
    assert time.monotonic() - pressed < STOP_S
    assert shown.kind == "KeyboardInterrupt"
    assert "rustray.get(mine)" in COLOUR.sub("", shown.error) and ".py" not in shown.error
    assert "rustray: 6 tasks stopped: " in shown.text["stderr"]
    gate.open()
    assert notebook.run("rustray.get([earlier, *refs])").value == "['held', 'held']"
    assert notebook.run("len(rustray.wait(mine, num_returns=6, timeout=0)[0])").value == "6"


def test_a_cell_that_handles_the_interrupt_keeps_its_tasks(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    notebook.run("@rustray.remote\ndef hold(gate):\n    gate.wait()\n    return 'held'")
    cell = notebook.start(
        "ref = hold.remote(gate)\ntry:\n    print('waits')\n    rustray.get(ref)\n"
        "except KeyboardInterrupt:\n    print('handled')"
    )
    notebook.read_text("waits")
    notebook.interrupt()
    assert notebook.finish(cell).text["stdout"] == "waits\nhandled\n"
    gate.open()
    assert notebook.run("rustray.get(ref)").value == "'held'"


@pytest.mark.parametrize("background", [False, True])
def test_an_interrupt_right_after_the_submission_leaves_nothing_running(
    notebook: Notebook, tmp_path: Path, background: bool
) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    notebook.run(
        "from rustray.jupyter import keeper_link, remote_magic\n"
        "def interrupted(*_arguments, **_more): raise KeyboardInterrupt\n"
        + (
            "place, name = remote_magic, '_bind'"
            if background
            else "place, name = keeper_link.KeeperLink, 'follow'"
        )
        + "\nkept = getattr(place, name)\nsetattr(place, name, interrupted)"
    )
    shown = notebook.run(f"%%remote {'-b' if background else ''} --name pressed{background}\ngate.wait()")
    notebook.run("setattr(place, name, kept)")
    assert shown.kind == "KeyboardInterrupt" and f"pressed{background}: " in shown.error
    told = notebook.run(
        "from rustray.driver.current import current\n"
        "[cell.how for link in keeper_link.known_keepers(current()) for cell in link.cells()"
        f" if cell.name == 'pressed{background}' and cell.how != 'stopped']"
    )
    assert told.value == "[]", told
    gate.open()


def test_a_loop_that_is_stopped_before_it_has_come_to_its_keeper(notebook: Notebook) -> None:
    notebook.run(
        "from rustray.jupyter.keeper_link import KeeperLink\nkept = KeeperLink.submit\n"
        "def interrupted(*_arguments): raise KeyboardInterrupt\nKeeperLink.submit = interrupted"
    )
    shown = notebook.run("%%remote --map 'n in range(3)' --name unsent\nn")
    notebook.run("KeeperLink.submit = kept")
    assert "KeyboardInterrupt: unsent: 3 tasks stopped (3 not begun)" in shown.error


def test_an_interrupt_of_the_shell_itself_ends_the_tasks_of_its_cell(
    notebook: Notebook, tmp_path: Path
) -> None:
    gate_of(notebook, tmp_path / "gate")
    notebook.run("@rustray.remote\ndef hold(gate):\n    gate.wait()")
    # What IPython tells when the button is pressed while its own code runs around the cell's: there is no result.
    shown = notebook.run("ref = hold.remote(gate)\nget_ipython().events.trigger('post_run_cell', None)")
    assert (shown.error, shown.text["stdout"]) == ("", "")
    assert (
        shown.text["stderr"].startswith("rustray: 1 task stopped (") and shown.text["stderr"].count("\n") == 1
    )


def test_a_cell_is_stopped_while_many_elements_of_it_are_being_submitted(
    notebook: Notebook, tmp_path: Path
) -> None:
    gate_of(notebook, tmp_path / "gate")
    # The keeper is asked directly: a kernel would pack so many elements for longer than they are submitted.
    notebook.run(
        "import uuid\nfrom rustray.driver.current import current\nfrom rustray.jupyter import keeper_link\n"
        "from rustray.jupyter.cell_tasks import CellRequest\nfrom rustray.jupyter.parcel import parcel\n"
        "session = current(); link = keeper_link.keeper_of(session)\n"
        "names, element = parcel(session, {'gate': gate})[0], parcel(session, 1)[0]\n"
        "def big(name, count):\n"
        "    request = CellRequest(uuid.uuid4().hex, name, 'gate.wait()', 'c', (), names, {}, 'n',"
        " (element,) * count)\n"
        "    link.submit(request)\n"
        "    return request.cell\n"
        "def state_of(cell): return {state.cell: state for state in link.cells()}.get(cell)\n"
    )
    shown = notebook.run(
        "first = big('crowd', 300_000)\n"
        "while not (state_of(first) and state_of(first).running): pass\n"
        "behind = big('behind', 5)\n"
        "while not state_of(behind): pass\n"
        "begun = time.monotonic(); told = [str(link.stop(behind)), str(link.stop(first))]\n"
        "print(time.monotonic() - begun); print(*told, state_of(behind).told(time.time()), sep='\\n')\n"
    )
    assert shown.error == ""
    spent, of_behind, of_first, state = shown.text["stdout"].splitlines()
    assert float(spent) < STOP_S
    assert of_behind == "5 tasks stopped (5 not begun)"
    assert re.match(r"(299,999|300,000) tasks stopped: ", of_first)
    assert state.startswith("0 of 5 done, 5 stopped, after")
    assert notebook.run("%%remote\n'free again'").value == "'free again'"
