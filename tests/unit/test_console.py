"""`%rustray` with a shell that has no kernel: reading its line, what init decides, completion, errors in a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from rustray.clusters.connection_file import is_name
from rustray.driver import current
from rustray.errors import ClusterStartError, OptionError, SessionError
from rustray.jupyter.cell_magics import CellMagics
from rustray.jupyter.console import live_names, looking, opening, own_cluster
from rustray.jupyter.console.command import Command, read
from rustray.jupyter.console.commands import COMMANDS, WIDTH
from rustray.jupyter.console.completion import cell_magic_options, complete
from rustray.jupyter.console.magic import ConsoleMagics, evaluator
from rustray.jupyter.console.plan import Connect, Plan, StartNamed, StartOwn, plan
from rustray.jupyter.remote_magic import OPTIONS


@pytest.fixture
def magics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConsoleMagics:
    monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return ConsoleMagics(InteractiveShell())


# -- lines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "name", "given"),
    [
        ("", "help", {}),
        ("# what can it do?", "help", {}),
        ("status", "status", {}),
        ("init auto", "init", {"address": "auto"}),
        ("init h:1,g:2", "init", {"address": "h:1,g:2"}),
        ("init --num-cpus 3 --new", "init", {"num_cpus": 3, "new": True}),
        ("init --name=work  # mine", "init", {"name": "work"}),
        ("stop work", "stop", {"name": "work"}),
        ("dashboard tasks nodes", "dashboard", {"panels": ("tasks", "nodes")}),
        ("dashboard", "dashboard", {"panels": ()}),
        ("logs head-1 --lines 5", "logs", {"process": "head-1", "lines": 5}),
        ("explain refs[3]  # why?", "explain", {"what": "refs[3]  # why?"}),
        ("cancel [a, b]", "cancel", {"what": "[a, b]"}),
        ("cancel --all", "cancel", {"all": True}),
        ("cancel --all x", "cancel", {"all": True, "what": "x"}),
        ("timeline", "timeline", {}),
        ("tasks --all", "tasks", {"all": True}),
    ],
)
def test_lines(line: str, name: str, given: dict[str, Any]) -> None:
    command, arguments = read(COMMANDS, line)
    assert (command.name, arguments) == (name, given)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("halp", "'halp' is not an action of %rustray. Did you mean 'help'?"),
        ("stats", "Did you mean 'status'?"),
        ("status --verbose", "%rustray status takes no options; '--verbose' is one too many."),
        ("shutdown now", "%rustray shutdown takes no options; 'now' is one too many."),
        ("init --num-cpsu 2", "Did you mean '--num-cpus'?"),
        ("init auto auto", "is not an option of %rustray init"),
        ("init --num-cpus many", "it takes a whole number"),
        ("tasks --al", "Did you mean '--all'?"),
        ("cancel --al", "Did you mean '--all'?"),
        ("dashboard 'tasks", "No closing quotation"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(line: str, said: str) -> None:
    with pytest.raises(OptionError) as caught:
        read(COMMANDS, line)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_command_says_what_it_does_and_has_a_twin(
    magics: ConsoleMagics, capsys: pytest.CaptureFixture[str]
) -> None:
    magics.rustray("help")
    told = capsys.readouterr().out
    for command in COMMANDS:
        assert f"%rustray {command.usage}" in told
        assert command.about in " ".join(told.split())
        assert command.twin
    assert max(map(len, told.splitlines())) <= WIDTH


# -- init ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "running", "planned"),
    [
        ({}, (), StartOwn()),
        ({}, ("old", "new"), Connect("new")),
        ({"usual": "h:1"}, ("old",), Connect("h:1")),
        ({"new": True, "usual": "h:1"}, ("old",), StartOwn(new=True)),
        ({"new": True, "left": True}, (), StartOwn(new=True)),
        ({"num_cpus": 2}, ("old",), StartOwn()),
        ({"left": True}, ("old",), StartOwn()),  # the kernel before has a cluster for this one
        ({"left": True, "name": "old"}, ("old",), Connect("old")),
        ({"address": "h:1"}, ("old",), Connect("h:1")),
        ({"name": "old"}, ("old", "new"), Connect("old")),
        ({"name": "mine"}, ("old",), StartNamed("mine")),
        ({"name": "mine", "num_cpus": 2}, (), StartNamed("mine")),
        ({"name": "old", "new": True}, ("old",), StartNamed("old")),  # which says that the name is taken
    ],
)
def test_what_init_does(given: dict[str, Any], running: tuple[str, ...], planned: Plan) -> None:
    options: dict[str, Any] = {"address": "", "name": "", "new": False, "num_cpus": None, **given}
    assert plan(**options, running=running) == planned


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"address": "h:1", "num_cpus": 2}, "h:1 is a cluster that runs already"),
        ({"address": "h:1", "new": True}, "h:1 is a cluster that runs already"),
        ({"name": "old", "num_cpus": 2}, "leave --num-cpus out"),
    ],
)
def test_what_init_cannot_do(given: dict[str, Any], said: str) -> None:
    options: dict[str, Any] = {"address": "", "name": "", "new": False, "num_cpus": None, **given}
    with pytest.raises(OptionError, match=said):
        plan(**options, running=("old",))


def test_no_cluster_takes_the_place_of_one_that_was_named(
    monkeypatch: pytest.MonkeyPatch, magics: ConsoleMagics
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(current, "_auto_init", lambda: opened.append("own"))
    monkeypatch.setattr(current, "_no_auto_init", "")
    with pytest.raises(ClusterStartError, match="No running cluster was found"):
        magics.rustray("init auto")
    with pytest.raises(
        SessionError, match="%rustray init auto has failed, and no cluster .* No running cluster"
    ):
        CellMagics(InteractiveShell()).remote("", "1 + 1")
    assert opened == []
    current.set_current(SimpleNamespace())  # type: ignore[arg-type]
    current.set_current(None)
    current.auto_init()
    assert opened == ["own"]


def test_who_is_connected_already_is_told_to_what(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"socket": "/run/n", "heads": ["h:1", "h:2"], "role": "node", "folder": "/run"}
    monkeypatch.setattr(current, "_current", SimpleNamespace(info={"socket": "/run/n"}, ended=None))
    monkeypatch.setattr("rustray.driver.registry.clusters", lambda: [here])
    monkeypatch.setattr("rustray.driver.discovery.clusters", lambda: [here])
    told = opening.already_connected
    assert told("", False) == "RustRay is already connected, to the cluster of h:1,h:2."
    assert told("h:2", False) == "RustRay is already connected, to the cluster of h:1,h:2."
    assert "its options stay" in told("auto", True).lower()
    assert "not to g:1. %rustray shutdown leaves it." in told("g:1", False)


@pytest.mark.parametrize(
    ("notebook", "name"),
    [
        ("/home/me/My Data.ipynb", "my-data"),
        ("é.ipynb", "notebook"),
        ("kernel 17", "notebook"),
        ("x" * 90 + ".ipynb", "x" * 60),
        ("", "notebook"),
    ],
)
def test_the_notebooks_own_cluster_is_called_after_it(notebook: str, name: str) -> None:
    assert own_cluster.name_of(notebook) == name
    assert is_name(f"{name}-99")


# -- what needs a cluster ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status", "dashboard", "nodes", "tasks", "jobs", "timeline", "cancel x"])
def test_what_needs_a_cluster_says_how_to_get_one(magics: ConsoleMagics, command: str) -> None:
    with pytest.raises(UsageError, match="needs a cluster, and there is none: %rustray init starts one"):
        magics.rustray(command)


def test_stopping_needs_something_to_stop(magics: ConsoleMagics, capsys: pytest.CaptureFixture[str]) -> None:
    magics.rustray("stop")
    assert capsys.readouterr().out == "No cluster runs here.\n"
    with pytest.raises(UsageError, match="No cluster named 'work' runs here, nor any other"):
        magics.rustray("stop work")


def test_a_variable_that_is_not_there_is_told_with_the_nearest_one() -> None:
    shell = InteractiveShell(user_ns={"result": 7})
    evaluate = evaluator(shell)
    assert evaluate("result + 1") == 8
    assert evaluate("0" * 28) == "0" * 28
    with pytest.raises(
        OptionError, match=r"^'resutl' is not a variable of this notebook. Did you mean 'result'\?$"
    ):
        evaluate("resutl")


# -- completion ----------------------------------------------------------------------------------------------

EXISTING = {
    live_names.CLUSTERS: ["work", "test"],
    live_names.PANELS: ["tasks", "nodes", "heads"],
    live_names.LOGS: ["head-1", "node-7"],
    live_names.TASKS: ["ref", "00ab"],
    live_names.VALUES: ["ref", "counter", "00ab"],
    live_names.FILES: [],
}


def of(kind: str, _typed: str) -> list[str]:
    return EXISTING[kind]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("st", ["status", "stop"]),
        ("init --n", ["--name", "--num-cpus", "--new"]),
        ("init w", ["work"]),
        ("init ", ["--address", "--name", "--num-cpus", "--new", "work", "test"]),
        ("init --name ", ["work", "test"]),
        ("init --name t", ["test"]),
        ("init --num-cpus ", []),
        ("init --num-cpus 2 --n", ["--name", "--new"]),
        ("init work ", ["--address", "--name", "--num-cpus", "--new"]),
        ("stop ", ["work", "test"]),
        ("stop work ", []),
        ("dashboard tasks ", ["nodes", "heads"]),
        ("logs n", ["node-7"]),
        ("cancel r", ["ref"]),
        ("cancel -", ["--all"]),
        ("explain ", ["ref", "counter", "00ab"]),
        ("tasks ", ["--all"]),
        ("nosuch ", []),
    ],
)
def test_completion(typed: str, found: list[str]) -> None:
    assert complete(COMMANDS, typed, of) == found


def test_completion_of_commands() -> None:
    assert complete(COMMANDS, "", of) == [command.name for command in COMMANDS]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("%%remote --na", ["--name"]),
        ("%%remote -o a --na", ["--name"]),
        ("%%remote --name ", []),
        ("%%remote -b --no-", []),  # another name of it
        ("%%remote -o a -", list(OPTIONS)),
        ("%%time ", None),
        ("%%remote", None),
        ("x = 1", None),
    ],
)
def test_completion_of_cell_magics(line: str, found: list[str] | None) -> None:
    assert cell_magic_options(line, {"remote": OPTIONS}) == found


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    opened = InteractiveShell()
    opened.run_line_magic("load_ext", "rustray")
    yield opened
    opened.run_line_magic("unload_ext", "rustray")


def completed(shell: InteractiveShell, text: str) -> list[str]:
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(text, len(text))]


def test_the_shell_completes_our_lines_and_its_own(shell: InteractiveShell) -> None:
    assert completed(shell, "import os\nx = %rustray ti") == ["timeline"]
    assert completed(shell, "%rustray nodes -") == ["--all"]
    assert completed(shell, "%%remote --ti") == ["--timeout"]
    assert "print" in completed(shell, "pri")
    shell.run_line_magic("unload_ext", "rustray")
    assert "timeline" not in completed(shell, "%rustray ti")
    shell.run_line_magic("load_ext", "rustray")


def test_live_names_that_cannot_be_had_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "none" / "there"))
    for kind in live_names.KINDS:
        assert isinstance(live_names.names(kind, {"_": 1, "x": [2]}, "no such"), list)
    assert live_names.names(live_names.LOGS, {}, "") == []


def test_the_extension_is_unloaded_and_loaded_again() -> None:
    shell = InteractiveShell()
    for _ in range(2):
        shell.run_line_magic("load_ext", "rustray")
        assert shell.find_line_magic("rustray") and shell.find_cell_magic("remote")
        shell.run_line_magic("unload_ext", "rustray")
        assert not shell.find_line_magic("rustray") and not shell.find_cell_magic("remote")


def test_text_is_shown_line_by_line() -> None:
    text = looking.Text("a <b>\nc")
    assert (repr(text), text._repr_html_()) == ("a <b>\nc", "<pre>a &lt;b&gt;\nc</pre>")


def test_the_usage_of_a_command() -> None:
    assert [command.usage for command in COMMANDS if command.name in ("logs", "dashboard", "init")] == [
        "init [ADDRESS] [--address ADDRESS] [--name NAME] [--num-cpus N] [--new]",
        "dashboard [PANEL…]",
        "logs [PROCESS|REF] [--lines N]",
    ]
    assert all(isinstance(command, Command) for command in COMMANDS)
