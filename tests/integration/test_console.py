"""`%rustray` in a real kernel: its commands and their twins, completion as front ends ask for it, bars, reprs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rustray.clusters
from rustray.jupyter.console.commands import COMMANDS
from tests.notebook import CELL_S, Notebook


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    opened = Notebook(JPY_SESSION_NAME=str(tmp_path_factory.mktemp("books") / "My Data.ipynb"))
    try:
        shown = opened.run(
            "%load_ext rustray\n%rustray init --num-cpus 2\nimport rustray, time, threading\n"
            "from rustray.util import state\nfrom rustray.util.tqdm import tqdm"
        )
        assert "ready with 2 CPUs" in shown.text["stdout"], shown
        yield opened
    finally:
        opened.close()


def completed(notebook: Notebook, code: str) -> list[str]:
    """What a front end offers at the end of `code`."""
    request = notebook.client.complete(code)
    while True:
        reply: dict[str, Any] = notebook.client.get_shell_msg(timeout=CELL_S)
        if reply["parent_header"]["msg_id"] == request:
            matches: list[str] = reply["content"]["matches"]
            return matches


def test_front_ends_complete_commands_options_and_live_names(notebook: Notebook) -> None:
    notebook.run(
        "@rustray.remote\ndef nap(s):\n    time.sleep(s)\n    return s\n"
        "@rustray.remote\nclass Counter:\n    def one(self):\n        return 1\n"
        "counter = Counter.options(name='the-counter').remote()\nrustray.get(counter.one.remote())\n"
        "dozing = nap.options(num_cpus=2).remote(60)\nqueued = [nap.remote(60)]"
    )
    assert completed(notebook, "%rustray st") == ["status", "stop"]
    assert completed(notebook, "%rustray init --n") == ["--name", "--num-cpus", "--new"]
    assert completed(notebook, "%rustray stop my") == ["my-data"]
    assert completed(notebook, "%rustray dashboard tasks ne") == ["network"]
    assert completed(notebook, "%rustray explain the-") == ["the-counter"]
    assert completed(notebook, "%rustray cancel do") == ["dozing"]
    assert completed(notebook, "%rustray cancel que") == ["queued"]
    task = (notebook.run("print(dozing.task_id())").text["stdout"]).strip()
    assert task in completed(notebook, f"%rustray cancel {task[:4]}")
    assert completed(notebook, "%%remote --time") == ["--timeout"]
    assert completed(notebook, "%%actor x --deta") == ["--detached"]
    assert completed(notebook, "rustray.get_a") == ["get_actor"]  # Python's own goes on


def test_commands_are_their_twins(notebook: Notebook) -> None:
    looking = ("status", "nodes", "tasks", "actors", "objects", "jobs", "attach")
    pairs = {f"%rustray {command.name}": command.twin for command in COMMANDS if command.name in looking}
    assert len(pairs) == len(looking)
    pairs |= {
        "%rustray dashboard tasks": "rustray.dashboard('tasks')",
        "%rustray tasks --all": "state.list_tasks(detail=True)",
        "%rustray actors --all": "state.list_actors(detail=True)",
        "%rustray explain dozing": "rustray.explain(dozing)",
    }
    for magic, twin in pairs.items():
        shown = notebook.run(f"told = {magic}\ntype(told) is type({twin})")
        assert shown.value == "True", (magic, shown)
        if magic in ("%rustray nodes", "%rustray actors", "%rustray actors --all", "%rustray jobs"):
            assert notebook.run(f"repr(told) == repr({twin})").value == "True", magic
        if "dashboard" not in magic and "attach" not in magic:  # which are shown in other ways
            assert notebook.run("told._repr_html_().startswith('<')").value == "True", magic
    assert "2 CPU" in (notebook.run("%rustray nodes").value or "")
    actors = notebook.run("%rustray actors").value or ""
    assert "the-counter" in actors and "ALIVE" in actors
    assert notebook.run("%rustray tasks --all").value
    assert "RUNNING" in (notebook.run("%rustray jobs").value or "")
    assert "Task nap()" in (notebook.run("%rustray explain dozing").value or "")
    assert "is up" in (notebook.run("%rustray explain the-counter").value or "")
    assert "logs" in (notebook.run("%rustray logs").value or "")


def test_cancelling(notebook: Notebook) -> None:
    assert "1 task cancelled" in notebook.run("%rustray cancel queued").text["stdout"]
    notebook.run("rustray.wait(queued, timeout=20)")  # it may have begun, in the place of the other
    stopped = notebook.run("%rustray cancel --all").text["stdout"]
    assert stopped.startswith("RustRay: 1 task stopped (")
    shown = notebook.run("(queued[0], dozing)")
    assert (shown.value or "").count("cancelled)") == 2
    again = notebook.run("late = nap.options(num_cpus=2).remote(60)\ntask = late.task_id()")
    assert again.error == ""
    notebook.run("rustray.cancel(task)")
    assert "TaskCancelledError" in notebook.run("rustray.get(late)").kind


def test_cancelling_cells(notebook: Notebook) -> None:
    for how in ("long", "ref", "ref2", "--all"):
        started = notebook.run("%%remote -b --name long -o ref2\nimport time\nref2 = 1\ntime.sleep(60)")
        assert started.error == ""
        notebook.run("ref = rustray_cells['long']")
        assert completed(notebook, "%rustray cancel lo") == ["long"]
        told = notebook.run(f"%rustray cancel {how}").text["stdout"]
        assert "RustRay: long: 1 task stopped (" in told, (how, told)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%rustray cancel", "needs a ref, a list of refs, a task's id, a cell's name, or --all"),
        ("%rustray cancel counter", "counter is an ActorHandle, and no ref"),
        ("%rustray cancel " + "0" * 28, "is the id of none of this one"),
        ("%rustray explain dozin", "Did you mean 'dozing'?"),
        ("%rustray logs nod", "'nod' is not a process of the cluster my-data"),
        ("%rustray stop mydata", "Did you mean 'my-data'?"),
        ("%rustray dashboard taks", "Did you mean 'tasks'?"),
    ],
)
def test_what_goes_wrong_is_a_line_with_the_nearest_name(notebook: Notebook, source: str, said: str) -> None:
    shown = notebook.run(source)
    assert shown.error == ""
    assert said in shown.text["stderr"]
    assert len(shown.text["stderr"].strip().splitlines()) == 1


def test_a_timeline_is_written(notebook: Notebook, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    assert str(file) in notebook.run(f"%rustray timeline {file}").text["stdout"]
    assert file.read_text().startswith('{"traceEvents":')


def test_progress_moves_and_gives_the_refs_back(notebook: Notebook) -> None:
    shown = notebook.run(
        "refs = [nap.remote(0.05) for _ in range(20)]\nsum(rustray.get(rustray.progress(refs, desc='naps')))"
    )
    assert shown.value == str(sum([0.05] * 20))
    (text,) = shown.cards.values()
    assert text.startswith("naps: 100 %") and "20 of 20" in text
    (html,) = shown.html.values()
    assert "width:100.0%;background:#14976f" in html


def test_progress_goes_on_by_itself_while_the_kernel_waits(notebook: Notebook) -> None:
    shown = notebook.run(
        "refs = [nap.remote(0.1) for _ in range(20)]\nrustray.progress(refs, block=False)\nrustray.get(refs);"
        "time.sleep(0.6)"  # the kernel is to be busy until the last picture has come: more than from one to the next
    )
    (text,) = shown.cards.values()
    assert "20 of 20" in text


def test_progress_that_is_stopped_stays_as_it_was(notebook: Notebook) -> None:
    cell = notebook.start("refs = [nap.remote(30) for _ in range(2)]\nrustray.progress(refs)")
    notebook.read(lambda message: message["msg_type"] == "update_display_data")
    notebook.interrupt()
    shown = notebook.finish(cell)
    assert shown.kind == "KeyboardInterrupt"
    assert all("0 of 2" in text for text in shown.cards.values())
    assert notebook.run("1 + 1").value == "2"


def test_bars_of_tasks_come_to_their_cell_one_each(notebook: Notebook) -> None:
    shown = notebook.run(
        "@rustray.remote\ndef train(name):\n    for _ in tqdm(range(10), desc=name):\n        time.sleep(0.03)\n"
        "rustray.get([train.remote(name) for name in ('a', 'b')]);"
    )
    assert sorted(text[:8] for text in shown.cards.values()) == ["a: 100 %", "b: 100 %"]
    assert shown.text == {"stdout": "", "stderr": ""}


def test_bars_of_a_remote_cell_come_to_it(notebook: Notebook) -> None:
    notebook.run("import os")
    shown = notebook.run("%%remote\nfor _ in tqdm(range(3), desc='steps'):\n    pass\n'done'")
    assert [text[:12] for text in shown.cards.values()] == ["steps: 100 %"]
    assert shown.value == "'done'"


def test_objects_are_shown_as_text_and_html(notebook: Notebook) -> None:
    for source, text, html in (
        ("nap.options(num_cpus=2)", "RemoteFunction(nap, num_cpus=2)", "nap.remote(s)"),
        ("Counter", "ActorClass(Counter)", "one"),
        ("counter", "Actor(Counter, ", "connected"),
        ("rustray.put(1)", "ObjectRef(", "ready"),
        ("rustray.util.placement_group([{'CPU': 1}], name='g')", "PlacementGroup(", "PACK"),
        ("rustray.clusters.find('my-data')", "<Cluster my-data: state running", ">my-data</td>"),
        ("rustray.status().nodes[0]", "NodeStatus(", ">node</th>"),
    ):
        shown = notebook.run(f"found = {source}\nprint(found._repr_html_())\nfound")
        assert (shown.value or "").startswith(text), shown
        assert html in shown.text["stdout"], shown


def test_a_named_cluster_is_started_used_and_stopped() -> None:
    opened = Notebook()
    try:
        shown = opened.run("%load_ext rustray\n%rustray init --name console-test --num-cpus 1")
        assert "on the new cluster console-test, which goes on until it is stopped" in shown.text["stdout"], (
            shown
        )
        assert "console-test" in opened.run("%rustray init").text["stdout"]
        assert [one.name for one in rustray.clusters.list() if one.heads] == ["console-test"]
        told = opened.run("%rustray shutdown").text["stdout"]
        assert told == "This notebook has left the cluster console-test, which goes on.\n"
        assert "on cluster console-test" in opened.run("%rustray init").text["stdout"]  # the newest that runs
        told = opened.run("%rustray stop").text["stdout"]
        assert told == "Stopped the cluster console-test: 1 head, 1 node.\n"
        assert [one.name for one in rustray.clusters.list() if one.heads] == []
    finally:
        for cluster in rustray.clusters.list():
            if cluster.name == "console-test":
                cluster.stop()
        opened.close()
