"""The status of a cluster as text and HTML."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.status import cluster_status

from .dashboard_rows import GIB, sample

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
    text = repr(
        cluster_status([NODE], WORKERS, STORE, [sample(cpu=1.0), sample(workers=2, busy=1, store=3 * 2**20)])
    )
    assert "node-1  box<1>\n  CPU               2.5 of 4 in use\ncluster" in text
    assert "1 busy of 2" in text
    assert "3 MiB of 1.0 GiB" in text
    assert "62 %" in text
    assert "12,346 a second" in text


@pytest.mark.parametrize("nodes", [[], [NODE], [NODE, NODE]])
def test_workers_and_stores_are_those_of_the_nodes_not_of_the_gateway_that_is_asked(nodes: list[Any]) -> None:
    text = repr(cluster_status(nodes, WORKERS, STORE, [sample(workers=9, busy=4, store=7 * 2**20)]))
    assert "4 busy of 9" in text and "7 MiB of 1.0 GiB" in text


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
    assert ">–</td>" in html
