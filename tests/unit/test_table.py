"""Rows as text and HTML, and rows of tasks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rustray.errors import OptionError, SessionError
from rustray.model.quantities import byte_size
from rustray.model.table import SHOWN, Column, Table
from rustray.util import list_named_actors, state
from rustray.util.task_states import ended_rows

COLUMNS = {"name": Column("name"), "size": Column("bytes", lambda size: f"{size:,}")}


def test_a_table_is_text_and_html_and_rows() -> None:
    table = Table([{"name": "<a>", "size": 1000}, {"name": "b", "size": None}], COLUMNS)
    assert repr(table) == "name  bytes\n<a>   1,000\nb"
    html = table._repr_html_()
    assert ">bytes</th>" in html and '<td style="text-align:left">&lt;a&gt;</td>' in html
    assert '<td style="text-align:right">1,000</td>' in html and "color" not in html
    assert table[0]["size"] == table[0].size == 1000
    with pytest.raises(AttributeError, match="This row has no 'sise'; it has name, size"):
        _ = table[0].sise


def test_a_table_without_rows_says_so() -> None:
    table = Table([], COLUMNS, "No <row>.")
    assert repr(table) == "No <row>."
    assert table._repr_html_() == "<em>No &lt;row&gt;.</em>"


def test_of_many_rows_the_first_are_shown() -> None:
    table = Table(({"name": str(n), "size": n} for n in range(SHOWN + 1_000)), COLUMNS)
    assert repr(table).splitlines()[-1] == "and 1,000 more"
    assert table._repr_html_().count("<tr>") == SHOWN + 1
    assert len(table) == SHOWN + 1_000


def test_columns_without_anything_to_show_are_left_out() -> None:
    table = Table([{"name": "a", "size": None}, {"name": "b", "size": None}], COLUMNS)
    assert repr(table) == "name\na\nb" and "bytes" not in table._repr_html_()


def test_numbers_end_below_each_other() -> None:
    table = Table([{"name": "a", "size": 1}, {"name": "b", "size": 20_000}], COLUMNS)
    assert repr(table) == "name   bytes\na          1\nb     20,000"


def test_a_table_fits_into_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustray.model.table._terminal_width", lambda: 24)
    ids = [f"0000100000010000000000000{n:03d}0000" for n in (1, 2)]
    lines = repr(Table([{"name": one, "size": 1} for one in ids], COLUMNS)).splitlines()
    assert max(map(len, lines)) == 24
    assert lines[1] != lines[2] and "…" in lines[1]
    monkeypatch.setattr("rustray.model.table._terminal_width", lambda: 9)
    lines = repr(Table([{"name": one, "size": 1} for one in ids], COLUMNS)).splitlines()
    assert len({line.split()[0] for line in lines}) == 3, "they differ, and are too wide rather than alike"
    monkeypatch.setattr("rustray.model.table._terminal_width", lambda: 0)
    assert ids[0] in repr(Table([{"name": ids[0], "size": 1}], COLUMNS))


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (1023, "1023 B"), (1_600_000, "1.5 MiB"), (2**21, "2 MiB"), (15_000_000, "14 MiB")],
)
def test_sizes(count: int, told: str) -> None:
    assert byte_size(count) == told


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a cluster answers to each question."""
    told: dict[str, Any] = {}
    requests = SimpleNamespace(
        query_within=lambda _timeout, what, *_args: told[what], query=lambda what, *_args: told[what]
    )
    monkeypatch.setattr(
        "rustray.driver.current._current", SimpleNamespace(requests=requests, info={"namespace": "n"})
    )
    return told


def an_actor(name: str, how: str) -> dict[str, Any]:
    return {
        "id": f"{name}1",
        "class_name": "C",
        "state": how,
        "name": name,
        "namespace": "n",
        "job": 1,
        "node": "x",
        "pid": 7,
        "restarts": 0,
        "detached": False,
        "cause": "",
        "created": 1.0,
    }


def test_rows_are_filtered_and_limited(answers: dict[str, Any]) -> None:
    answers["actors"] = [an_actor("a", "DEAD"), an_actor("b", "ALIVE"), an_actor("c", "ALIVE")]
    assert [row.name for row in state.list_actors()] == ["b", "c", "a"]
    assert [row.name for row in state.list_actors(filters=[("state", "=", "alive")], limit=1)] == ["b"]
    assert [row.name for row in state.list_actors(filters=[("state", "!=", "ALIVE")])] == ["a"]
    assert state.list_actors()[0].job_id == "00000001"
    assert "namespace" in repr(state.list_actors(detail=True)) and "namespace" not in repr(
        state.list_actors()
    )


def test_what_rustray_runs_itself_is_shown_to_who_asks_for_it(answers: dict[str, Any]) -> None:
    keeper = {**an_actor("rustray-keeper-1", "ALIVE"), "class_name": "NotebookKeeper", "detached": True}
    answers["actors"] = [an_actor("a", "ALIVE"), keeper]
    assert [row.name for row in state.list_actors()] == ["a"]
    assert len(state.list_actors(detail=True)) == 2
    answers["function_metrics"] = [{"name": "NotebookKeeper.news"}, {"name": "f"}]
    assert [row.name for row in state.summarize_tasks()] == ["f"]
    assert len(state.summarize_tasks(detail=True)) == 2
    job = {"id": 1, "end": None, "name": "", "namespace": "", "detached": 2, "start": 1.0, "cause": ""}
    answers["jobs"] = [job]
    assert state.list_jobs()[0].detached_actors == 1
    assert state.list_jobs(detail=True)[0].detached_actors == 2
    events = [(1.0, 0.5, "n1", 7, name, "ok", "aa") for name in ("NotebookKeeper.news", "f")]
    assert [row["name"] for row in ended_rows(events, False)] == ["f"] and len(ended_rows(events, True)) == 2
    answers["actor_names"] = [("n", "a"), ("n", "rustray-keeper-1")]
    assert list_named_actors(all_namespaces=True) == [{"name": "a", "namespace": "n"}]


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (("stat", "=", "x"), "'stat' is not a field of these rows. Did you mean 'state'"),
        (("state", "<", "x"), "'<' is not a relation"),
        ("state=x", "is not \\(field"),
    ],
)
def test_filters_that_mean_nothing_are_refused(answers: dict[str, Any], one: Any, said: str) -> None:
    answers["actors"] = [an_actor("a", "DEAD")]
    with pytest.raises(OptionError, match=said):
        state.list_actors(filters=[one])


def test_nodes_that_left_are_among_them(answers: dict[str, Any]) -> None:
    lives = {
        "name": "n1",
        "hostname": "h",
        "resources": {"CPU": 2.0},
        "available": {"CPU": 1.0},
        "labels": {},
    }
    answers["nodes"] = [lives]
    answers["gone_nodes"] = [{"name": "n2", "hostname": "h", "labels": {}, "cause": "left", "removed": 5.0}]
    table = state.list_nodes()
    assert [(row.node_id, row.state) for row in table] == [("n1", "ALIVE"), ("n2", "DEAD")]
    assert "2 CPU" in repr(table) and "left" in repr(table)


def test_one_by_its_id(answers: dict[str, Any]) -> None:
    answers["actors"] = [an_actor("a", "DEAD"), an_actor("b", "ALIVE")]
    found = state.get_actor("b1")
    assert found is not None and found.state == "ALIVE" and state.get_actor("c1") is None
    group = {
        "id": b"g" * 16,
        "name": "",
        "namespace": "n",
        "strategy": "PACK",
        "state": "PENDING",
        "bundles": [{"CPU": 1.0}],
        "detached": False,
        "reason": "it waits for room",
    }
    answers["group_table"] = [group]
    (row,) = state.list_placement_groups()
    assert state.get_placement_group((b"g" * 16).hex()) == row and row.bundles == 1
    assert "it waits for room" in repr(state.list_placement_groups())


def test_the_largest_objects_come_first(answers: dict[str, Any]) -> None:
    def one(size: int) -> dict[str, Any]:
        return {"id": "ab", "size": size, "place": "memory", "owner": 1, "references": 1}

    answers["objects"] = [{"node": "n1", "objects": [one(5)]}, {"node": "n2", "objects": [one(9), one(1)]}]
    assert [(row.object_size, row.node_id) for row in state.list_objects()] == [
        (9, "n2"),
        (5, "n1"),
        (1, "n2"),
    ]


def test_tasks_that_ended_come_newest_first() -> None:
    events = [(1.0, 0.5, "n1", 7, "f", "ok", "aa"), (2.0, 0.1, "n1", 8, "f", "cancelled", "bb")]
    rows = ended_rows(events, False)
    assert [(row["task_id"], row["state"], row["start_time_ms"]) for row in rows] == [
        ("bb", "CANCELLED", 2000),
        ("aa", "FINISHED", 1000),
    ]


def test_without_a_cluster_there_is_nothing_to_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustray.driver.current._current", None)
    for listed in (state.list_nodes, state.list_tasks, state.list_jobs, state.summarize_tasks):
        with pytest.raises(SessionError):
            listed()  # type: ignore[operator]
