"""Samples as columns and captions, and the status of a cluster as text and HTML."""

from __future__ import annotations

from typing import Any

from rustray.dashboard.tables import resource_captions, resource_columns
from rustray.status import cluster_status

GIB = 2**30


def sample(**changes: Any) -> dict[str, Any]:
    made = {
        "time": 1_000.5,
        "cpu": 62.5,
        "memory": 2 * GIB,
        "memory_total": 8 * GIB,
        "tasks_per_s": 12_345.6,
        "failed_per_s": 0.0,
        "workers": 3,
        "busy": 2,
        "store": 5 * 2**20,
        "store_capacity": GIB,
        "waiting": 0,
    }
    return {**made, **changes}


def test_one_row_a_sample() -> None:
    columns = resource_columns([sample(), sample(time=1_001.0, busy=0)])
    assert columns["time"] == [1_000_500.0, 1_001_000.0]
    assert columns["memory"] == [2.0, 2.0]
    assert columns["busy"] == [2.0, 0.0]
    assert {len(column) for column in columns.values()} == {2}


def test_no_samples_are_empty_columns() -> None:
    assert set(resource_columns([])) == {"time", "cpu", "memory", "tasks", "workers", "busy"}
    assert not any(resource_columns([]).values())


def test_captions_tell_the_latest_sample() -> None:
    assert resource_captions(sample()) == [
        ("CPU", "62 %", ""),
        ("Memory", "2.0 GiB", "of 8.0, store 5 MiB"),
        ("Tasks", "12,346/s", ""),
        ("Workers", "2 busy", "of 3"),
    ]
    assert resource_captions(sample(failed_per_s=3.0))[2] == ("Tasks", "12,346/s", "3/s failed")
    assert [value for _name, value, _more in resource_captions(None)] == ["–"] * 4


NODE = {
    "name": "node-1",
    "hostname": "box<1>",
    "alive": True,
    "resources": {"CPU": 4.0, "memory": 8.0 * GIB},
    "available": {"CPU": 1.5, "memory": 8.0 * GIB},
}
WORKERS = [{"leases": 1}, {"leases": 1}]  # one of which lies idle
STORE = {"used": 3 * 2**20, "capacity": GIB}


def test_status_as_text() -> None:
    text = repr(cluster_status([NODE], WORKERS, STORE, [sample(cpu=1.0), sample(busy=1)]))
    assert "node-1  box<1>\n  CPU               2.5 of 4 in use\ncluster" in text
    assert "1 busy of 2" in text
    assert "3 MiB of 1.0 GiB" in text
    assert "62 %" in text
    assert "12,346 a second" in text


def test_status_before_the_first_sample_leaves_out_what_is_not_measured() -> None:
    text = repr(cluster_status([{**NODE, "alive": False}], WORKERS, STORE, []))
    assert "(lost)" in text
    assert "CPU load" not in text
    assert "Workers           2" in text and "busy" not in text


def test_status_as_html_is_escaped_and_has_a_row_a_node() -> None:
    asked = {**NODE, "name": "node-2", "available": {"CPU": 4.0, "memory": 6.0 * GIB}}
    html = cluster_status([NODE, asked], WORKERS, STORE, [sample()])._repr_html_()
    assert "box&lt;1&gt;" in html
    assert html.count("<tr>") == 3
    assert "2.0 GiB of 8.0 GiB" in html
    assert "<td>–</td>" in html
