"""The text that Prometheus reads, and what says which names there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rustray.metrics import prometheus
from rustray.metrics.functions import FUNCTIONS, OTHER, Functions
from rustray.metrics.names import METRICS
from tests.unit.metrics.test_functions import owned, ran

DOCS = Path(__file__).resolve().parents[3] / "docs"
EVERY = "rustray_[a-z_]+[a-z]"

NODE = {
    "time": 1000.0,
    "cpu": 50.0,
    "cpus": 4.0,
    "memory": 1.0,
    "memory_total": 2.0,
    "disk_read_per_s": 0.0,
    "disk_write_per_s": 0.0,
    "net_in_per_s": 0.0,
    "net_out_per_s": 0.0,
    "spilled_per_s": 5.0,
    "restored_per_s": 6.0,
    "tasks_per_s": 3.0,
    "failed_per_s": 1.0,
    "workers": 2,
    "busy": 1,
    "suspended": 0,
    "gpus": [{"index": 0, "utilisation": 25.0, "memory": 10, "memory_total": 40}],
}
CLUSTER = {**NODE, "leases": 5, "waiting": 1}
HEAD = {"address": "h:1", "state": "leads", "term": 3, "committed": 9, "lag": 0, "rtt_s": None, "epoch": 2}


def answers() -> dict[str, Any]:
    functions = Functions()
    functions.ran([ran('odd "name"\n', seconds=0.5, count=3)], 1000.0)
    functions.owned("n", [owned('odd "name"\n', failed=1)], 1000.0)
    return {
        "metrics": [CLUSTER],
        "node_metrics": {"n1": [NODE], "silent": []},
        "function_metrics": functions.rows(),
        "levels": [{"level": 0, "waiting": 1, "running": 2, "suspended": 0, "quantum_s": 0.02}],
        "heads": [HEAD],
        "network": [{"from": "h:1", "to": "n1", "rtt_s": 0.001, "bytes_per_s": None}],
        "objects": [{"node": "n1", "used": 1, "capacity": 2, "spilled": 0, "count": 1, "objects": []}],
    }


def rendered(**more: Any) -> dict[str, str]:
    """Samples by name and labels."""
    told = answers() | more
    text = prometheus.render(lambda what, *_args: told[what])
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_values_are_in_base_units_with_their_labels() -> None:
    samples = rendered()
    assert samples["rustray_cluster_cpu_ratio"] == "0.5"
    assert samples["rustray_cluster_success_ratio"] == "0.75"
    assert samples['rustray_node_gpu_ratio{node="n1",gpu="0"}'] == "0.25"
    assert samples['rustray_level_waiting_leases{level="0"}'] == "1"
    assert (
        samples['rustray_head_leads{head="h:1"}'] == "1"
        and samples['rustray_head_follows{head="h:1"}'] == "0"
    )
    assert samples['rustray_network_round_trip_seconds{source="h:1",target="n1"}'] == "0.001"
    assert not any(name.startswith("rustray_network_bytes") for name in samples), "it was not measured"


def test_histograms_are_cumulative_and_labels_escaped() -> None:
    samples = rendered()
    label = 'function="odd \\"name\\"\\n"'
    buckets = [(k, int(v)) for k, v in samples.items() if k.startswith("rustray_task_run_seconds_bucket")]
    assert [count for _name, count in buckets] == sorted(count for _name, count in buckets)
    assert buckets[-1] == (f'rustray_task_run_seconds_bucket{{{label},le="+Inf"}}', 3)
    assert samples[f"rustray_task_run_seconds_count{{{label}}}"] == "3"
    assert samples[f"rustray_task_run_seconds_sum{{{label}}}"] == "1.5"
    assert samples[f"rustray_task_failed_total{{{label}}}"] == "1"


def test_a_name_that_is_no_text_spoils_nothing() -> None:
    head = {**HEAD, "address": "h\udc80"}
    text = prometheus.render(lambda what, *_args: (answers() | {"heads": [head]})[what])
    assert b'"h?"' in text.encode()


def test_a_cluster_that_has_not_measured_yet_says_little() -> None:
    empty = {what: [] for what in answers()} | {"node_metrics": {}}
    assert rendered(**empty) == {}


def test_prometheus_itself_can_read_it() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    told = answers()
    families = list(parser.text_string_to_metric_families(prometheus.render(lambda what, *_args: told[what])))
    by_name = {family.name: family for family in families}
    assert len(by_name) == len(METRICS)
    assert {metric.name.removesuffix("_total"): metric.kind for metric in METRICS} == {
        family.name: family.type for family in families
    }
    assert all(family.documentation for family in families)
    assert by_name["rustray_task_run_seconds"].type == "histogram"
    assert by_name["rustray_task_finished"].type == "counter"


def test_metrics_keep_the_rules_of_promtool() -> None:
    """What `promtool check metrics` complains of: suffixes, units, and texts that say nothing."""
    for metric in METRICS:
        assert re.fullmatch("rustray_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not metric.name.endswith(("_count", "_sum", "_bucket", "_info"))
        assert metric.kind not in metric.name.split("_")
        units = {"milliseconds", "ms", "percent", "kilobytes", "megabytes", "mb", "kb", "minutes", "hours"}
        assert not units & set(metric.name.split("_"))
        assert metric.help.endswith(".") and not metric.help[0].islower()
        assert "le" not in metric.labels and "quantile" not in metric.labels
        assert len(metric.labels) <= 2


def test_the_text_is_bounded_however_many_functions_and_nodes_there_are() -> None:
    functions = Functions()
    for minute in range(100):
        now = 1000.0 + 60 * minute
        functions.ran([ran(f"some.package.function_{minute}_{at}") for at in range(1000)], now)
    nodes = range(60)
    links = [
        {"from": f"n{a}", "to": f"n{b}", "rtt_s": a + b / 100, "bytes_per_s": 1.0} for a in nodes for b in nodes
    ]
    samples = rendered(function_metrics=functions.rows(), network=links)
    assert len({name for name in samples if name.startswith("rustray_task_finished_total")}) == FUNCTIONS + 1
    assert samples[f'rustray_task_finished_total{{function="{OTHER}"}}'] == str(100_000 - FUNCTIONS)
    assert samples['rustray_network_round_trip_seconds{source="n3",target="(all)"}'] == "3.59"
    assert samples['rustray_network_bytes_per_second{source="n3",target="(all)"}'] == "60.0"
    assert len(samples) < 20_000


def exported() -> set[str]:
    return {metric.name for metric in METRICS}


def test_names_are_told_once() -> None:
    assert len(exported()) == len(METRICS)


def test_the_grafana_dashboard_uses_what_is_exported() -> None:
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    expressions += [row["query"] for row in dashboard["templating"]["list"]]
    used = {
        re.sub("_(bucket|sum|count)$", "", name) for text in expressions for name in re.findall(EVERY, text)
    }
    assert len(used) > 30 and used <= exported()
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(places)) == len(places) == len({panel["id"] for panel in dashboard["panels"]})


def test_the_documentation_has_every_name() -> None:
    text = (DOCS / "metrics.md").read_text()
    assert set(re.findall(f"`({EVERY})`", text)) == exported()
    for metric in METRICS:
        assert f"`{metric.name}` | {metric.kind} |" in text
