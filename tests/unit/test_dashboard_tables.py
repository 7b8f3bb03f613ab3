"""What a cluster answers, as what panels show; and every panel drawn from nothing and from much."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rustray import dashboard
from rustray.dashboard.feed import Feed, empty_tables
from rustray.dashboard.panels import PANELS
from rustray.dashboard.tables import network
from rustray.dashboard.tables.axes import BYTES, COUNTS, axis
from rustray.dashboard.tables.samples import NODES
from rustray.dashboard.tables.tasks import OPEN_ALPHA
from rustray.dashboard.tables.words import number, short, short_node
from rustray.errors import OptionError
from rustray.model.colours import FUNCTIONS

from .dashboard_rows import ANSWERS, GIB, NOW, function, of_node, sample

TABLES = Feed(lambda: NOW).take(lambda what, *_args: ANSWERS[what], PANELS)


def value(table: dict[str, Any], key: str) -> tuple[str, str, float | None]:
    """(text, what goes with it, number)."""
    values = table["values"]
    row = values["key"].index(key)
    return values["text"][row], values["more"][row], values["number"][row]


@pytest.mark.parametrize("panel", PANELS)
def test_columns_of_a_source_are_of_one_length_and_always_the_same(panel: str) -> None:
    empty = empty_tables(panel)
    assert TABLES[panel].keys() == empty.keys()
    for source, columns in TABLES[panel].items():
        if source != "set":
            assert columns.keys() == empty[source].keys()
            assert len({len(column) for column in columns.values()}) == 1, source
    json.dumps(TABLES[panel], allow_nan=False)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_without_anything_says_so(panel: str) -> None:
    assert len(empty_tables(panel)["note"]["text"]) == 1
    assert TABLES[panel]["note"]["text"] == []


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_is_drawn_from_nothing_and_from_much(panel: str) -> None:
    embed = pytest.importorskip("bokeh.embed")
    from rustray.dashboard.figures import sources

    for table in (empty_tables(panel), TABLES[panel]):
        item = embed.json_item(PANELS[panel].draw(sources(table)))
        text = json.dumps(item)
        for name in (*sources(table), *table.get("set", ())):
            assert f'"name": "{name}"' in text, "what is to be moved can be found"
        assert "CustomJS" not in text, "pages allow no scripts but their own"


def test_resources() -> None:
    table = TABLES["resources"]
    assert table["samples"]["time"] == [999_500, 1_000_500]
    assert table["samples"]["ago"] == [-1.0, 0.0]
    assert table["nodes"]["name"] == ["node-1", "node-2"]
    assert value(table, "cpu") == ("62 %", "of 16 cores", 62.5)
    assert value(table, "memory")[:2] == ("2.0 GiB", "of 8.0 GiB")
    assert value(table, "tasks")[:2] == ("12.3k/s", "")
    assert value(empty_tables("resources"), "cpu") == ("–", "", None)


def test_one_node_has_no_line_beside_that_of_the_cluster() -> None:
    feed = Feed(lambda: NOW)
    answers = {"metrics": [sample()], "node_metrics": {"node-1": [of_node()]}}
    assert feed.take(lambda what, *_args: answers[what], ["resources"])["resources"]["nodes"]["name"] == []


def test_tasks_are_bars_by_worker_and_failures_are_marked() -> None:
    table = TABLES["tasks"]
    bars = table["bars"]
    assert table["set"]["lanes"]["factors"] == ["3 13", "2 12", "1 11"]
    assert list(zip(bars["function"], bars["took"], bars["outcome"], strict=True)) == [
        ("long", "100 s so far", "running"),
        ("slow", "4 s", "ok"),
        ("slow", "1 s", "failed"),
        ("quick", "50 tasks, 10 ms each", "ok"),
        ("slow", "2 s so far", "running"),
    ]
    assert (bars["left"][1], bars["right"][1]) == (-9.0, -5.0)
    assert (bars["right"][0], bars["right"][4]) == (0.0, 0.0)
    assert bars["alpha"] == [OPEN_ALPHA, 1.0, 1.0, 1.0, OPEN_ALPHA]
    assert table["failures"] == {"lane": ["1 11"], "ago": [-3.9]}
    assert value(table, "failed")[2] == 1
    assert value(table, "waiting")[2] == value(TABLES["progress"], "waiting")[2] == 3
    assert "7 more tasks not drawn" in value(table, "tasks")[1]


def test_progress_is_a_bar_a_function() -> None:
    table = TABLES["progress"]
    assert table["rows"]["name"] == ["slow", "quick"]
    assert table["rows"]["told"] == ["6/14 · 1 failed · 2 stopped · 10 s left", "50/50"]
    parts = table["parts"]
    assert [parts["state"][at] for at in range(5)] == [
        "done",
        "failed",
        "stopped",
        "running",
        "waiting",
    ]
    assert (parts["left"][0], parts["right"][4]) == (0.0, pytest.approx(1.0))
    assert table["rows"]["color"][0] == TABLES["tasks"]["bars"]["color"][1], (
        "a function has one colour everywhere"
    )


def test_queues_have_their_levels() -> None:
    table = TABLES["queues"]
    assert table["samples"]["level0"] == [4, 4]
    assert table["rows"]["name"][0] == "Level 0"
    assert table["rows"]["told"][3] == "3 running · 1 suspended · 1 asked for"
    assert value(table, "waiting")[2] == 10


def test_nodes_are_tiles() -> None:
    table = TABLES["nodes"]
    states = dict(zip(table["tiles"]["name"], table["tiles"]["state"], strict=True))
    assert states == {"node-0": "lost", "node-1": "busy", "node-2": "nearly full", "node-y": "left"}
    assert value(table, "nodes")[2] == 2
    assert value(table, "lost")[:2] == ("1", "in 2 min"), "who left in order is not lost"


def test_the_store_shows_its_largest_objects_first() -> None:
    table = TABLES["store"]
    assert table["object_rows"]["told"] == ["300 B · node-1", "100 B · node-1"]
    assert table["node_parts"]["state"] == ["in memory", "spilled to disk", "free"]
    assert table["node_rows"]["told"] == ["300 of 1000 B · 100 B spilled"]
    assert value(table, "used")[:2] == ("300 B", "of 1000 B")


def test_heads_have_strips() -> None:
    table = TABLES["heads"]
    assert table["rows"]["told"] == ["leads · term 3", "follows · term 3 · lag 1", "does not answer"]
    assert value(table, "leader")[0] == "h:1"
    assert value(table, "lag")[2] == 1


def test_the_network_has_a_field_for_each_pair_that_was_measured() -> None:
    table = TABLES["network"]
    assert table["latency"]["text"] == ["300 µs", "20 ms"]
    assert list(zip(table["traffic"]["from"], table["traffic"]["to"], strict=True)) == [("node-1", "node-2")]
    assert value(table, "sent")[2] == 3e6
    ranges = {name: set_to["factors"] for name, set_to in table["set"].items() if "factors" in set_to}
    assert ranges == {
        "latency_x": ["1", "2"],  # the head is measured by none
        "latency_y": ["1", ":1"],  # from below
        "traffic_x": ["2"],
        "traffic_y": ["1"],
    }


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (["127.0.0.1:6379", "127.0.0.1:6380", "node-7f3a"], [":6379", ":6380", "7f3a"]),
        (["10.0.0.1:6379", "10.0.0.2:6379", "node-1"], ["10.0.0.1", "10.0.0.2", "1"]),
        (["10.0.0.1:6379", "10.0.0.1:6380", "10.0.0.2:6379"], ["….0.1:6379", "….0.1:6380", "10.0.0.2"]),
        (["head-1.example:6379", "head-2.example:6379"], ["head-1", "head-2"]),
        (["gpu-worker-rack-1", "gpu-worker-rack-2"], ["…er-rack-1", "…er-rack-2"]),
        (["alpha-worker-01.example", "beta-worker-01.example"], ["alph…er-01", "beta…er-01"]),
        (["worker-0001.rack1", "worker-0001.rack2"], ["…001.rack1", "…001.rack2"]),
        (["a" * 20 + middle + "b" * 20 for middle in "12"], ["aaaaaaa…1", "aaaaaaa…2"]),
        (["node-a", "node-b"], ["a", "b"]),
    ],
)
def test_names_of_places_fit_and_no_two_are_alike(names: list[str], called: list[str]) -> None:
    found = network.labels(names)
    assert list(found.values()) == called
    assert all(len(label) <= network.LABEL for label in called)


def test_numbers_are_short() -> None:
    assert [number(n) for n in (0, 3, 2.99, 3.14, 9.97, 950, 12_345, 1_200_000)] == [
        "0",
        "3",
        "3",
        "3.1",
        "10",
        "950",
        "12.3k",
        "1.2M",
    ]
    assert short("package.module.Actor.method", 12) == "Actor.method"
    assert short("a" * 30 + "z", 10) == "…" + "a" * 8 + "z"
    assert short_node("worker-17.rack.example", 12) == "worker-17"
    assert short_node("some-long-name-17", 10) == "…g-name-17"


@pytest.mark.parametrize(
    ("values", "ends", "top"),
    [
        ([], COUNTS, 2),
        ([0.0, 0.4], COUNTS, 2),
        ([7], COUNTS, 8),
        ([101, 3], COUNTS, 120),
        ([29_500], COUNTS, 40_000),
        ([], BYTES, 2**20),
        ([5 * 2**20], BYTES, 6 * 2**20),
        ([1000 * 2**20], BYTES, GIB),
        ([33 * GIB], BYTES, 48 * GIB),
        ([31.2 * GIB], (), 31.2 * GIB),
        ([], (), 1),
    ],
)
def test_axes_end_at_round_numbers_above_all_values(values: list[float], ends: Any, top: float) -> None:
    found = axis("a", values, ends)
    assert found["a_ticks"]["ticks"] == [0, top / 2, top]
    assert top < found["a_y"]["end"] < 1.1 * top


def test_many_nodes_have_one_colour_and_few_have_each_their_own() -> None:
    for count in (len(FUNCTIONS), len(FUNCTIONS) + 1, 40):
        nodes = {f"node-{at}": [of_node()] for at in range(count)}
        answers = {"metrics": [sample()], "node_metrics": nodes}
        table = Feed(lambda: NOW).take(lambda what, *_args, told=answers: told[what], ["resources"])
        lines, words = table["resources"]["nodes"], table["resources"]["legend"]["label"]
        assert len(lines["name"]) == min(count, NODES)
        assert len(set(lines["color"])) == (count if count <= len(FUNCTIONS) else 1)
        assert (words[0] == "node-0") == (count <= len(FUNCTIONS))


def test_the_legend_of_tasks_has_a_colour_once() -> None:
    events = [(NOW - 9.0, 4.0, "node-1", at, f"function_{at}", "ok", "aa") for at in range(30)]
    answers = {**ANSWERS, "task_events": {"next": 1, "events": events, "skipped": 0, "running": []}}
    table = Feed(lambda: NOW).take(lambda what, *_args: answers[what], ["tasks"])["tasks"]
    colours = table["legend"]["color"]
    assert len(colours) == len(set(colours)) > 3


def test_panels_say_when_they_do_not_show_all() -> None:
    many = [{**ANSWERS["objects"][0], "node": f"node-{at}"} for at in range(40)]
    functions = [function(f"f{at}", running=1) for at in range(60)]
    rows = [{"from": "h:1", "to": f"n{at}", "rtt_s": 0.001, "bytes_per_s": None} for at in range(40)]
    answers = {**ANSWERS, "objects": many, "function_metrics": functions, "network": rows}
    tables = Feed(lambda: NOW).take(lambda what, *_args: answers[what], ["store", "progress", "network"])
    assert value(tables["store"], "nodes")[:2] == ("40", "12 shown")
    assert value(tables["progress"], "functions")[:2] == ("60", "12 shown")
    assert value(tables["network"], "places")[:2] == ("41", "16 shown")


def test_a_panel_that_there_is_not_is_told_before_anything_else() -> None:
    with pytest.raises(OptionError, match="Did you mean 'tasks'"):
        dashboard("task")  # type: ignore[operator]
    with pytest.raises(OptionError, match="is no panel"):
        dashboard.show(["tasks"])  # type: ignore[arg-type]
