"""The notebook's face in a real kernel: magics, output in the right cell, the stop button, the quickstart."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook import Notebook
from tests.support import eventually


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    opened = Notebook()
    try:
        shown = opened.run("%load_ext rustray\n%rustray init --num-cpus 2\nimport rustray, time, threading")
        assert "ready with 2 CPUs" in shown.text["stdout"], shown
        yield opened
        assert opened.run("%rustray shutdown").text["stdout"] == "RustRay is shut down.\n"
    finally:
        opened.close()


def test_a_cell_runs_elsewhere_prints_here_and_has_a_value(notebook: Notebook) -> None:
    notebook.run("import os\nhere, n = os.getpid(), 20\ndef helper(x):\n    return x + n")
    shown = notebook.run(
        "%%remote\nimport sys\nprint(os.getpid() != here)\nprint('aside', file=sys.stderr)\nhelper(1) * 2"
    )
    assert shown.error == ""
    assert (shown.text["stdout"], shown.text["stderr"], shown.value) == ("True\n", "aside\n", "42")
    assert notebook.run("_ + 1").value == "43"
    assert notebook.run("%%remote\nn;").value is None


def test_variables_come_back(notebook: Notebook) -> None:
    notebook.run("%%remote -o squares,kept --name squaring\nkept = 'k'\nsquares = [x * x for x in range(3)]")
    assert notebook.run("squares, kept").value == "([0, 1, 4], 'k')"
    assert "Did you mean 'made'" in notebook.run("%%remote -o mode\nmade = 1").text["stderr"]


def test_a_cell_of_definitions_makes_them_remote(notebook: Notebook) -> None:
    source = (
        "%%remote\ndef double(x):\n    return 2 * x\n"
        "@rustray.remote(num_cpus=0)\ndef already():\n    return 'as it was'\n"
        "class Counter:\n    n = 0\n    def add(self):\n        self.n += 1\n        return self.n"
    )
    assert notebook.run(source).error == ""
    shown = notebook.run(
        "c = Counter.remote()\nrustray.get([double.remote(4), already.remote(), c.add.remote()])"
    )
    assert shown.value == "[8, 'as it was', 1]"


def test_an_error_shows_the_lines_of_the_cell(notebook: Notebook) -> None:
    shown = notebook.run("%%remote\ndef inner(x):\n    return 1 / x\ninner(0)")
    assert "ZeroDivisionError" in shown.kind
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown.error)
    assert re.search(r"Cell In\[\d+\], line 3 in inner\n\s+return 1 / x", plain), plain
    assert "remote_magic" not in shown.error


def test_what_cannot_travel_is_named(notebook: Notebook) -> None:
    notebook.run("class Box: pass\nbox = Box(); box.lock = threading.Lock()")
    shown = notebook.run("%%remote\nbox")
    assert shown.kind == "SerializationError" and "box.lock cannot be sent" in shown.error
    shown = notebook.run("%%remote\nimport threading\nthreading.Lock()")
    assert "the value of its last line cannot be sent" in shown.error


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%rustray stats", "Did you mean 'status'"),
        ("%rustray status --verbose", "takes no options"),
        ("%rustray init --num-cpsu 2", "Did you mean '--num-cpus'"),
        ("%%remote --num-gpu 1\n1", "Did you mean '--num-gpus'"),
        ("%%remote\nx = 1\n!ls", "line 3 is for the notebook's own kernel: '!ls'"),
    ],
)
def test_bad_input_is_one_line_that_helps(notebook: Notebook, source: str, said: str) -> None:
    shown = notebook.run(source)
    assert said in shown.text["stderr"]
    assert shown.error == ""


def test_a_syntax_error_is_shown_as_that_of_a_cell(notebook: Notebook) -> None:
    shown = notebook.run("%%remote\nx = 1\ndef f(:\n    pass")
    assert shown.kind == "SyntaxError" and shown.text["stderr"] == ""
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown.error)
    assert re.fullmatch(
        r"\s*Cell In\[\d+\], line 3\n\s+def f\(:\n\s+\^\nSyntaxError: invalid syntax\n?", plain
    ), plain


def test_errors_of_rustray_show_the_frames_of_the_user_only(notebook: Notebook) -> None:
    shown = notebook.run("def mine():\n    return rustray.get_actor('none')\nmine()")
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown.error)
    assert shown.kind == "ActorNotFoundError" and ".py" not in plain
    assert "----> 2     return rustray.get_actor('none')" in plain


def test_init_again_keeps_the_cluster(notebook: Notebook) -> None:
    assert "already connected" in notebook.run("%rustray init").text["stdout"]


def test_tasks_print_in_the_cell_that_submitted_them(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run(
        "from pathlib import Path\nfrom tests.support import Gate\n"
        f"gate = Gate(Path({str(tmp_path / 'gate')!r}))\n"
        "@rustray.remote\ndef say(word, gate=None):\n    if gate:\n        gate.wait()\n    print(word)"
    )
    first = notebook.start("late = say.remote('late', gate)\nprint('first is over')")
    second = notebook.start(
        "rustray.get(say.remote('early'))\ngate.open()\nrustray.get(late)\nprint('second is over')"
    )
    notebook.finish(second)
    assert notebook.shown[first].text["stdout"].splitlines()[0] == "first is over"
    assert notebook.shown[first].text["stdout"].endswith(") late\n")
    early, over = notebook.shown[second].text["stdout"].splitlines()
    assert early.startswith("(say pid=") and early.endswith(") early")
    assert over == "second is over"


def test_output_that_the_user_captures_is_captured(notebook: Notebook) -> None:
    notebook.run("%%capture caught\nrustray.get(say.remote('caught'))")
    assert ") caught" in (notebook.run("caught.stdout").value or "")


def test_the_stop_button_ends_the_task(notebook: Notebook) -> None:
    # It would go on for long.
    cell = notebook.start("%%remote\nprint('started')\nimport time\ntime.sleep(60)")
    notebook.read(lambda message: "started" in message["content"].get("text", ""))
    pressed = time.monotonic()
    notebook.manager.interrupt_kernel()
    shown = notebook.finish(cell)
    assert shown.kind == "KeyboardInterrupt"
    assert time.monotonic() - pressed < 30
    assert notebook.run("%%remote\n'free again'").value == "'free again'"


def test_status_and_dashboard(notebook: Notebook) -> None:
    eventually(lambda: "0 of 2 in use" in (notebook.run("%rustray status").value or ""))
    told = notebook.run("%rustray dashboard").value or ""
    assert told.startswith("<live dashboard of resources, progress, tasks: CPU")


def test_panels_move_while_the_kernel_waits(notebook: Notebook) -> None:
    notebook.run("shown = rustray.dashboard('resources', 'tasks', 'nodes')\nshown")
    # Samples in the widget are newer after a cell that waits for longer than from one to the next, and the task that
    # it waited for meanwhile is among the bars. It waits several times only where the machine has other work.
    shown = notebook.run(
        "def newest(): return shown.widget.tables['resources']['samples']['time'][-1:]\n"
        "def bars(): return shown.widget.tables['tasks']['bars']['function']\n"
        "@rustray.remote\ndef brief(): time.sleep(0.2)\n"
        "before = newest()\n"
        "for _ in range(20):\n    rustray.get([brief.remote(), rustray.remote(time.sleep).remote(2.5)])\n"
        "    if newest() > before and 'brief' in bars(): break\n"
        "newest() > before, 'brief' in bars(), shown.values()['nodes.nodes'], list(shown.widget.tables)"
    )
    assert shown.value == "(True, True, 1, ['resources', 'tasks', 'nodes'])", shown.error


def test_panels_rest_when_nobody_looks(notebook: Notebook) -> None:
    notebook.run(
        "from rustray.dashboard import watch, widget\nfrom tests.support import eventually\n"
        "kept, watch.LOOKED_S = watch.LOOKED_S, 0.0"
    )
    # No page is open here, so that nobody has looked when this cell begins.
    shown = notebook.run(
        "eventually(lambda: shown not in widget._feeder._dashboards); before = newest()\n"
        # That no picture comes cannot be awaited: longer than from one to the next.
        "time.sleep(2 * widget.UPDATE_S); rested = newest() == before\n"
        "watch.LOOKED_S = kept\n"
        "shown.widget._handle_custom_msg({'look': True}, [])  # as a page sends it\n"
        "while newest() == before: time.sleep(0.05)\n"
        "rested"
    )
    assert shown.value == "True", shown.error


def test_a_panel_that_there_is_not_is_one_line_that_helps(notebook: Notebook) -> None:
    assert "Did you mean 'tasks'" in notebook.run("%rustray dashboard task").text["stderr"]
