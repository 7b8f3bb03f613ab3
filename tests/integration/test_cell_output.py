"""What tasks print, display and raise comes to the cell that submitted them, in a real kernel."""

from __future__ import annotations

import base64
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipykernel
import pytest

from tests.notebook import CELL_S, Notebook, Shown, is_idle
from tests.support import Gate, eventually


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    opened = Notebook()
    try:
        opened.run("import rustray, time, threading\nrustray.init(num_cpus=2)")
        opened.run("from pathlib import Path\nfrom tests.support import Gate, eventually")
        yield opened
        opened.run("rustray.shutdown()")
    finally:
        opened.close()


@pytest.fixture
def gate(tmp_path: Path, notebook: Notebook) -> Gate:
    path = tmp_path / "gate"
    notebook.run(f"gate = Gate(Path({str(path)!r}))")
    return Gate(path)


def test_two_cells_at_once(notebook: Notebook, gate: Gate) -> None:
    notebook.run(
        "@rustray.remote\ndef say(word, gate):\n    print(word, 'begins', flush=True)\n    gate.wait()\n"
        "    print(word, 'ends')"
    )
    first = notebook.start("a = say.remote('a', gate)\nb = say.remote('b', gate)")
    notebook.finish(first)
    notebook.run("rustray.wait([a, b], num_returns=2, timeout=1)")
    second = notebook.start(
        "def later():\n    gate.wait()\n    rustray.get(say.remote('c', gate))\n"
        "thread = threading.Thread(target=later)\nthread.start()"
    )
    notebook.finish(second)
    third = notebook.start("gate.open()\nrustray.get([a, b, say.remote('d', gate)])\nthread.join()")
    notebook.finish(third)
    expected = {
        first: {"a begins", "a ends", "b begins", "b ends"},
        second: {"c begins", "c ends"},
        third: {"d begins", "d ends"},
    }

    def words() -> dict[str, set[str]]:
        return {
            cell: {
                line.split(") ")[1]
                for line in notebook.shown[cell].text["stdout"].splitlines()
                if ") " in line
            }
            for cell in expected
        }

    if words() != expected:  # some lines are on their way yet
        notebook.read(lambda _message: words() == expected)


def test_displays_and_figures(notebook: Notebook) -> None:
    pytest.importorskip("matplotlib")
    notebook.run(
        "@rustray.remote\ndef draw():\n"
        "    import matplotlib.pyplot as plt\n    from IPython.display import HTML\n"
        "    print('before', end='')\n    display(HTML('<b>rich</b>'))\n"
        "    plt.plot([1, 2])\n    plt.show()\n    assert not plt.get_fignums()\n"
        "    plt.figure().add_subplot().plot([2, 1])\n    return len(plt.get_fignums())"
    )
    cell = notebook.start("ref = draw.remote()")
    notebook.finish(cell)
    assert notebook.run("rustray.get(ref)").value == "1"
    shown = notebook.shown[cell]
    assert shown.text["stdout"].rstrip().endswith(") before")
    assert [sorted(data) for data in shown.displays] == [
        ["text/html", "text/plain"],
        ["image/png", "text/plain"],
        ["image/png", "text/plain"],
    ]
    assert shown.displays[0]["text/html"] == "<b>rich</b>"
    again = notebook.run("rustray.logs(ref)")
    assert [sorted(data) for data in again.displays] == [sorted(data) for data in shown.displays]


def test_figures_of_cells_are_drawn_as_those_of_the_notebook(notebook: Notebook) -> None:
    pytest.importorskip("matplotlib")
    notebook.run("%load_ext rustray\n%matplotlib inline\nimport matplotlib, matplotlib.pyplot as plt")
    draw = "%%remote\nimport matplotlib.pyplot as plt\nplt.figure(figsize=(2, 1)).add_subplot().plot([1, 2])"
    plain = notebook.run(draw + "\nplt.rcParams['figure.dpi'], plt.rcParams['lines.linewidth']")
    assert plain.displays[0].keys() == {"image/png", "text/plain"}
    notebook.run(
        "%config InlineBackend.figure_formats = ['svg', 'retina']\n"
        "%config InlineBackend.print_figure_kwargs = {'bbox_inches': None}\n"
        "plt.rcParams.update({'figure.dpi': 50, 'lines.linewidth': 7})"
    )
    shown = notebook.run(draw + "\nplt.rcParams['figure.dpi'], plt.rcParams['lines.linewidth']")
    assert shown.value == "(50.0, 7.0)"
    assert shown.displays[0]["image/svg+xml"].startswith("<?xml")
    png = base64.b64decode(shown.displays[0]["image/png"])
    assert struct.unpack(">II", png[16:24]) == (200, 100)
    reset = notebook.run("%config InlineBackend.figure_formats = ['png']\nplt.rcdefaults()")
    assert reset.error == ""
    again = notebook.run(draw + "\nplt.rcParams['figure.dpi'], plt.rcParams['lines.linewidth']")
    assert again.value == plain.value and "image/svg+xml" not in again.displays[0]


def test_a_value_that_begins_with_a_drawing_comes_home(notebook: Notebook) -> None:
    pytest.importorskip("matplotlib")
    begin = "import matplotlib.pyplot as plt\nfig = plt.figure(figsize=(1, 1))\nline, = plt.plot([1, 2])\n"
    shown = notebook.run("%%remote\n" + begin + "plt.close(fig)\n(fig, 42)")
    assert (shown.error, shown.value) == ("", "(<Figure size 100x100 with 1 Axes>, 42)")
    assert [sorted(data) for data in shown.displays] == [["image/png", "text/plain"]]
    only_drawn = notebook.run("%%remote\n" + begin + "fig")
    assert only_drawn.order.count("execute_result") == 0 and len(only_drawn.displays) == 1
    loop = notebook.run("%%remote --map 'x in range(2)'\n" + begin + "[line, x]")
    assert loop.error == "" and notebook.run("[element[1] for element in _]").value == "[0, 1]"
    notebook.run("%%remote -b --name scored\n" + begin + "(fig, {'score': 1})")
    figure = notebook.run("figure, score = rustray.get(rustray_cells['scored'])\nprint(score)\nfigure")
    assert figure.text["stdout"] == "{'score': 1}\n" and figure.value == "<Figure size 100x100 with 1 Axes>"


def test_a_display_is_updated(notebook: Notebook) -> None:
    shown = notebook.run(
        "@rustray.remote\ndef count():\n    handle = display('one', display_id=True)\n    handle.update('two')\n"
        "rustray.get(count.remote())"
    )
    assert list(shown.cards.values()) == ["'two'"]


def test_displays_are_captured(notebook: Notebook) -> None:
    notebook.run(
        "%%capture caught\n@rustray.remote\ndef one():\n    print('text')\n    display({'a': 1})\n"
        "rustray.get(one.remote())"
    )
    value = notebook.run("caught.stdout.endswith(') text\\n'), caught.outputs[0].data['text/plain']").value
    assert value == """(True, "{'a': 1}")"""


def test_workers_that_say_the_same(notebook: Notebook, gate: Gate) -> None:
    # They may be started one after the other, on a machine that has other work.
    notebook.run("gate.open()\nfrom rustray.driver import folding\nkept, folding.WINDOW_S = folding.WINDOW_S, 60.0")
    shown = notebook.run(
        "@rustray.remote(num_cpus=0.1)\nclass Speaker:\n    def say(self, gate):\n        gate.wait()\n"
        "        print('loaded')\n"
        "speakers = [Speaker.remote() for _ in range(4)]\nrustray.get([s.say.remote(gate) for s in speakers])"
    )
    lines = shown.text["stdout"].splitlines()
    assert len(lines) == 2 and lines[0].endswith(") loaded"), lines
    assert lines[1].endswith(") loaded  [3 more times, by 4 workers in all]")
    notebook.run("del speakers\nfolding.WINDOW_S = kept")


def test_a_bar_is_one_line(notebook: Notebook) -> None:
    shown = notebook.run(
        "@rustray.remote\ndef bar():\n    import sys\n    for n in range(30):\n"
        "        print(f'\\r{n}%', end='', file=sys.stderr, flush=True)\n        time.sleep(0.03)\n"
        "    print('\\rdone', file=sys.stderr)\nrustray.get(bar.remote())"
    )
    steps = shown.text["stderr"].split("\r")
    assert 3 <= len(steps) < 12 and shown.text["stderr"].count("\n") == 1
    assert steps[-1].rstrip().endswith(") done")


def test_a_flood_does_not_drown_the_notebook(notebook: Notebook) -> None:
    notebook.run("@rustray.remote\ndef flood(n):\n    for i in range(n):\n        print('line', i)")
    cell = notebook.start("rustray.get([flood.remote(100_000), flood.remote(100_000)])")
    shown = notebook.finish(cell)
    lines = shown.text["stdout"].splitlines()
    assert len(lines) < 6000 and lines[-1].endswith(") line 99999")
    assert "not shown; rustray.logs(ref) has more of it" in shown.text["stderr"]
    asked = time.monotonic()
    assert notebook.run("1 + 1").value == "2"
    assert time.monotonic() - asked < 20, "what was left out is not on its way any more"
    notebook.run("%load_ext rustray")
    of_cell = notebook.run("%%remote --name loud\nfor n in range(20_000): print('line', n)")
    assert "not shown; %rustray logs loud has more of it" in of_cell.text["stderr"]


def test_errors_show_the_users_frames(notebook: Notebook) -> None:
    notebook.run(
        "@rustray.remote\ndef inner(x):\n    return 1 / x\n\n"
        "@rustray.remote\ndef outer(x):\n    return rustray.get(inner.remote(x))"
    )
    notebook.run("%colors nocolor")
    shown = notebook.run("rustray.get([outer.remote(0) for _ in range(5)] + [outer.remote(1)])")
    assert shown.kind == "TaskError(ZeroDivisionError)"
    lines = [line.strip() for line in shown.error.splitlines()]
    assert [line for line in lines if not line.startswith(("--", "Cell In["))] == [
        "ZeroDivisionError                         Traceback (most recent call last)",
        "rustray.get([outer.remote(0) for _ in range(5)] + [outer.remote(1)])",
        "return rustray.get(inner.remote(x))",
        "return 1 / x",
        "ZeroDivisionError: division by zero",
        "5 of 6 objects failed: 5 x ZeroDivisionError: division by zero (object 0, 1, 2, ...)",
    ]
    assert sum(line.startswith("Cell In[") for line in lines) == 3


def test_who_asks_an_actor_that_could_not_be_made_sees_why(notebook: Notebook) -> None:
    notebook.run("%colors nocolor")
    notebook.run(
        "@rustray.remote\nclass Broken:\n    def __init__(self, x):\n        1 / x\n    def ask(self): ...\n"
        "broken = Broken.remote(0)"
    )
    shown = notebook.run("rustray.get(broken.ask.remote())")
    assert shown.kind == "ActorDiedError"
    lines = [line.strip() for line in shown.error.splitlines()]
    assert [re.sub(r"\d+", "N", line) for line in lines[1:]] == [
        "ActorDiedError                            Traceback (most recent call last)",
        "Cell In[N], line N",
        "rustray.get(broken.ask.remote())",
        "-- in Broken.__init__(), worker process N",
        "Cell In[N], line N in __init__",
        "N / x",
        "ZeroDivisionError: division by zero",
        "ActorDiedError: Actor Broken is dead: its constructor failed.",
    ]
    notebook.run("%load_ext rustray")
    in_cell = notebook.run("%%remote\nimport rustray\nrustray.get(broken.ask.remote())").error
    assert in_cell.count("ZeroDivisionError") == 1 and "ipykernel" not in in_cell


def test_a_task_without_displays_loads_nothing_for_them(notebook: Notebook) -> None:
    loaded = "[name for name in ('IPython', 'matplotlib', 'traitlets') if name in sys.modules]"
    fresh = "runtime_env={'env_vars': {'FRESH': '1'}}"
    shown = notebook.run(
        f"import sys\nrustray.get(rustray.remote(lambda: {loaded}).options({fresh}).remote())"
    )
    assert shown.value == "[]"


def test_a_background_cell_shows_in_its_place_and_again(notebook: Notebook, gate: Gate) -> None:
    notebook.run("%load_ext rustray")
    cell = notebook.start(
        "%%remote -b --name behind\ngate.wait()\nprint('from behind')\ndisplay({'n': 1})\n'value'"
    )
    notebook.finish(cell)
    other = notebook.run("%%remote --map 'n in [1, 2]'\nprint('of an element')\ngate.open()\nn")
    assert other.value == "[1, 2]" and "from behind" not in other.text["stdout"]
    eventually(lambda: (notebook.run("1"), notebook.shown[cell].displays)[1])
    assert notebook.shown[cell].text["stdout"] == "from behind\n"
    again = notebook.run("%rustray logs behind")
    assert again.text["stdout"] == "from behind\n" and again.displays == [{"text/plain": "{'n': 1}"}]


@pytest.mark.skipif(ipykernel.version_info < (7,), reason="kernels have subshells since ipykernel 7")
def test_cells_that_run_at_once_in_subshells(notebook: Notebook, gate: Gate) -> None:
    client = notebook.client
    client.control_channel.send(client.session.msg("create_subshell_request", {}))
    subshell = client.get_control_msg(timeout=CELL_S)["content"]["subshell_id"]
    source = "for n in range(3):\n    rustray.get(say.remote(f'{where}{n}', gate))"
    notebook.run("@rustray.remote\ndef say(word, gate):\n    gate.wait()\n    print(word)")
    first = notebook.start(source.replace("{where}", "main"))
    gate.wait_for_waiters(1)
    request = client.session.msg(
        "execute_request", {"code": source.replace("{where}", "sub"), "silent": False, "store_history": False}
    )
    request["header"]["subshell_id"] = subshell
    second = request["header"]["msg_id"]
    notebook.shown[second] = Shown()
    client.shell_channel.send(request)
    gate.wait_for_waiters(2)
    gate.open()
    ended: set[str] = set()

    def both_have_ended(message: dict[str, Any]) -> bool:
        ended.update(
            cell for cell in (first, second) if message["msg_type"] == "status" and is_idle(message, cell)
        )
        return len(ended) == 2

    notebook.read(both_have_ended)
    for cell, word in ((first, "main"), (second, "sub")):
        lines = notebook.shown[cell].text["stdout"].splitlines()
        assert [line.split(") ")[1] for line in lines] == [f"{word}{n}" for n in range(3)]
