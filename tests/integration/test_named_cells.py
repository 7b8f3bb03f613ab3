"""What a notebook has by itself, and what its named cells leave there; what goes wrong is told without RustRay's own
frames."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration.test_cells import COLOUR
from tests.notebook import Notebook


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    opened = Notebook()
    try:
        assert "ready with 2 CPUs" in opened.run("%load_ext rustray\n%rustray init --num-cpus 2").text["stdout"]
        yield opened
    finally:
        opened.close()


def test_the_extension_brings_the_module_and_the_named_cells(notebook: Notebook) -> None:
    assert notebook.run("rustray.__name__, rustray_cells").value == "('rustray', {})"
    assert notebook.run("%%remote\nrustray.__name__").value == "'rustray'"


def test_named_cells_leave_their_values(notebook: Notebook) -> None:
    notebook.run("%%remote --name one\n41 + 1")
    notebook.run("%%remote --name sweep --map 'n in range(3)'\nn * n")
    notebook.run("%%remote -b --name later\n'later'")
    notebook.run("%%remote\n'has no name'")
    found = "dict(rustray_cells) | {'later': rustray.get(rustray_cells['later'])}"
    assert notebook.run(found).value == "{'one': 42, 'sweep': [0, 1, 4], 'later': 'later'}"
    assert notebook.run("%%remote --name one\nrustray_cells['one'] + 1").value == "43"  # goes on from the last one
    notebook.run("%%remote --name one\n1 / 0")
    assert notebook.run("'one' in rustray_cells").value == "False"


def test_cancelling_what_has_ended_says_so(notebook: Notebook) -> None:
    notebook.run("%%remote -b --name 'to end'\n1")
    notebook.run("rustray.get(rustray_cells['to end'])\ndef train(): pass")
    notebook.run("%%remote --name train\n1")
    for name in ("to end", "train", "train"):
        shown = notebook.run(f"%rustray cancel {name}")
        told = rf"RustRay: {name} has ended \(done [\d.]+ m?s ago\)\.\n"
        assert re.fullmatch(told, shown.text["stdout"]), shown


# -- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('%%remote --map "x in undefined_list"\nx', "NameError: name 'undefined_list' is not defined"),
        ("%%actor c --args undefined\nclass C: pass", "NameError: name 'undefined' is not defined"),
        ("%%actor c --args 1\nclass C:\n    def __init__(self): pass", "TypeError: C.remote(): too many positional"),
    ],
)
def test_a_line_tells_of_what_is_evaluated_for_a_magic(notebook: Notebook, source: str, said: str) -> None:
    shown = notebook.run(source)
    assert shown.error.startswith(said) and "\n" not in shown.error


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("%%remote\nimport nopackage", "----> 2 import nopackage", "ModuleNotFoundError: No module named 'nopackage'"),
        ('%%remote --map "x in broken()"\nx', "in broken()", "ValueError: no more"),
        ("%%remote\n1 / 0", "line 2\n    1 / 0", "ZeroDivisionError: division by zero"),
        ("one.typo", "----> 1 one.typo", "AttributeError: Actor One has no method 'typo'; it has same. Attributes"),
        ("rustray.get(one.same.remote(1, 2))", "rustray.get(one.", "TypeError: One.same() takes 2 positional"),
        ("One.remote(1)", "----> 1 One.remote(1)", "TypeError: One.remote(): too many positional arguments"),
        ("rustray.get(5)", "----> 1 rustray.get(5)", "TypeError: get() takes an ObjectRef or a list of them"),
        ("one.same.remote([lock])", "----> 1 one.same", "SerializationError: argument 1 of One"),
        ("rustray.get(give.remote())", "in give(), worker", "SerializationError: the result of give(): cannot pickle"),
    ],
)
def test_errors_have_a_header_the_users_frames_and_a_message(
    notebook: Notebook, source: str, line: str, message: str
) -> None:
    notebook.run(
        "import threading\nlock = threading.Lock()\n"
        "def broken():\n    raise ValueError('no more')\n    yield\n"
        "@rustray.remote\nclass One:\n    def same(self, x): return x\n"
        "@rustray.remote\ndef give(): return threading.Lock()\n"
        "one = One.remote()"
    )
    told = COLOUR.sub("", notebook.run(source).error)
    kind = message.partition(":")[0]
    assert re.match(rf"-{{75}}\n{kind} +Traceback \(most recent call last\)\n", told), told
    assert line in told and message in told, told
    assert "rustray/" not in told and told.count("Traceback") == 1, told


def test_causes_in_the_users_code_are_told(notebook: Notebook) -> None:
    notebook.run("class Mine:\n    def __getstate__(self): raise KeyError('q')")
    told = COLOUR.sub("", notebook.run("rustray.put(Mine())").error)
    assert "in Mine.__getstate__(self)" in told and "KeyError: 'q'" in told and "SerializationError" in told
    assert "----> 1 None.foo" in COLOUR.sub("", notebook.run("None.foo").error)


# -- what is told beside ---------------------------------------------------------------------------------


def test_who_misses_a_variable_of_a_cell_is_told_where_it_was(notebook: Notebook) -> None:
    notebook.run("%%remote --name first\nfar = 5; print(far)")
    said = "rustray: %%remote first has assigned far, on its worker only; -o far brings it back.\n"
    for source in ("far + 1", "%%remote\nfar + 1"):
        shown = notebook.run(source)
        assert "name 'far' is not defined" in shown.error and shown.text["stderr"] == said, shown
    assert notebook.run("nowhere").text["stderr"] == ""


def test_explaining_a_list(notebook: Notebook) -> None:
    notebook.run("@rustray.remote\ndef same(x): return x\nrefs = [same.remote(n) for n in range(3)]\nrustray.get(refs)")
    assert notebook.run("%rustray explain refs").text["stdout"] == "All 3 are done; this is the first of them:\n"
    notebook.run("import time\nnap = rustray.remote(time.sleep).remote(60)")
    shown = notebook.run("%rustray explain [*refs, nap]")
    assert shown.text["stdout"] == "1 of 4 are not done; this is the first of them:\n"
    assert "sleep" in (shown.value or "")
    notebook.run("%rustray cancel nap")
    assert "is empty" in notebook.run("%rustray explain []").text["stderr"]


def test_an_unknown_action_is_told_in_few_words(notebook: Notebook) -> None:
    said = "UsageError: 'statu' is not an action of %rustray. Did you mean 'status'? %rustray help lists them all.\n"
    assert notebook.run("%rustray statu").text["stderr"] == said


def test_a_variable_that_a_cell_has_not_set_is_told_without_frames(notebook: Notebook) -> None:
    shown = notebook.run("%%remote -o y --name unset\nif False: y = 1")
    told = COLOUR.sub("", shown.error).rstrip()
    assert told.endswith("rustray.errors.OptionError: -o y: the cell has not set y.") and ".py" not in told
