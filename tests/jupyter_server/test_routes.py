"""What each route answers, against a cluster."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families  # of jupyter_server
from tornado.httpclient import HTTPClientError

import rustray
from rustray import clusters
from rustray.clusters import Cluster

from .conftest import NAME, Fetch

pytestmark = pytest.mark.usefixtures("cluster")
API = ("rustray", "api", "clusters")


def value(response: Any) -> Any:
    assert response.headers["Content-Type"].startswith("application/json")
    return json.loads(response.body)


async def refusal(answer: Any) -> tuple[int, dict[str, str]]:
    with pytest.raises(HTTPClientError) as error:
        await answer
    return error.value.code, value(error.value.response)


# -- looking ---------------------------------------------------------------------------------------------


async def test_clusters_are_listed(jp_fetch: Fetch, cluster: Cluster) -> None:
    (row,) = value(await jp_fetch(*API))
    assert row == {
        "name": NAME,
        "state": "running",
        "remark": "",
        "address": cluster.address,
        "started": cluster.started,
        "heads": 1,
        "nodes": 1,
    }


async def test_the_token_is_never_told(jp_fetch: Fetch, cluster: Cluster) -> None:
    with open(cluster.token_file) as file:
        token = file.read().strip()
    for path in ((), (NAME,), (NAME, "nodes"), (NAME, "logs")):
        assert token not in (await jp_fetch(*API, *path)).body.decode()


async def test_one_cluster_has_its_last_sample(jp_fetch: Fetch) -> None:
    row = value(await jp_fetch(*API, NAME))
    assert row["name"] == NAME
    assert row["metrics"]["cpu"] >= 0 and row["metrics"]["memory_total"] > 0


async def test_nodes_jobs_and_actors_are_rows(jp_fetch: Fetch, cluster: Cluster, session: None) -> None:
    @rustray.remote
    class Counter:
        def ready(self) -> bool:
            return True

    counter = Counter.options(num_cpus=0).remote()
    rustray.get(counter.ready.remote())
    (node,) = value(await jp_fetch(*API, NAME, "nodes"))
    assert node["name"] == cluster.processes[1].name and node["resources"]["CPU"] == 1
    actors = value(await jp_fetch(*API, NAME, "actors"))
    assert [actor["state"] for actor in actors][-1] == "ALIVE"
    assert len(value(await jp_fetch(*API, NAME, "jobs"))) >= 1


async def test_metrics_are_those_since_a_time(jp_fetch: Fetch) -> None:
    samples = value(await jp_fetch(*API, NAME, "metrics"))
    assert samples and samples[-1]["time"] <= time.time()
    since = samples[-1]["time"]
    newer = value(await jp_fetch(*API, NAME, "metrics", params={"since": since}))
    assert all(sample["time"] > since for sample in newer)


async def test_heads_tasks_and_objects_are_rows(jp_fetch: Fetch, cluster: Cluster, session: None) -> None:
    ref = rustray.put(bytes(1_000_000))

    @rustray.remote
    def seen() -> None:
        pass

    rustray.get(seen.remote())
    (head,) = value(await jp_fetch(*API, NAME, "heads"))
    assert (head["address"], head["state"]) == (cluster.address, "leads")
    (store,) = value(await jp_fetch(*API, NAME, "objects"))
    assert store["used"] >= 1_000_000 and isinstance(value(await jp_fetch(*API, NAME, "tasks")), list)
    del ref


async def test_prometheus_reads_metrics(jp_fetch: Fetch) -> None:
    for params in ({}, {"cluster": NAME}):
        answer = await jp_fetch("rustray", "metrics", params=params)
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        names = {family.name for family in text_string_to_metric_families(answer.body.decode())}
        assert len(names) > 10 and all(name.startswith("rustray_") for name in names)
    code, told = await refusal(jp_fetch("rustray", "metrics", params={"cluster": "nobody"}))
    assert code == 404 and told["reason"] == "NoSuchClusterError"


@pytest.mark.parametrize(
    ("variable", "found"), [("", "newer"), ("auto", "newer"), ("gone", "newer"), (NAME, ""), ("ADDRESS", "")]
)
async def test_metrics_are_those_of_the_cluster_that_is_meant(
    jp_fetch: Fetch, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, variable: str, found: str
) -> None:
    newer = SimpleNamespace(
        name="newer", state="running", remark="", address="", started=0.0, heads=1, nodes=1
    )
    monkeypatch.setattr(clusters, "list", lambda: [cluster, newer])
    monkeypatch.setenv("RUSTRAY_ADDRESS", cluster.address if variable == "ADDRESS" else variable)
    asked = jp_fetch("rustray", "metrics")
    if found:
        assert repr(found) in (await refusal(asked))[1]["message"], "that this one is asked, and is not there"
    else:
        assert b"rustray_node_cpus" in (await asked).body


async def test_metrics_without_a_cluster_say_how_to_get_one(
    jp_fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "list", list)
    text = (await jp_fetch("rustray", "metrics")).body.decode()
    assert "Start one: jupyter rustray start" in text
    assert list(text_string_to_metric_families(text)) == []
    monkeypatch.setenv("RUSTRAY_ADDRESS", "127.0.0.1:1")
    code, told = await refusal(jp_fetch("rustray", "metrics"))
    assert code == 503 and "No cluster of yours runs at '127.0.0.1:1'" in told["message"]


async def test_logs_are_text(jp_fetch: Fetch, cluster: Cluster) -> None:
    node = cluster.processes[1].name
    everything = value(await jp_fetch(*API, NAME, "logs"))["text"]
    of_node = value(await jp_fetch(*API, NAME, "logs", params={"process": node, "lines": 5}))["text"]
    assert "head.log" in everything and node in everything
    assert "head.log" not in of_node and node in of_node


# -- changing --------------------------------------------------------------------------------------------


async def test_a_cluster_is_started_scaled_and_stopped(jp_fetch: Fetch) -> None:
    options = json.dumps({"name": "made", "num_cpus": 1, "heads": 1, "nodes": 1})
    asked = [jp_fetch(*API, method="POST", body=options, request_timeout=60) for _ in range(2)]  # at once
    made, refused = sorted(
        await asyncio.gather(*asked, return_exceptions=True), key=lambda answer: isinstance(answer, Exception)
    )
    assert (made.code, refused.code) == (201, 409)
    assert value(made)["name"] == "made"
    assert [cluster.name for cluster in clusters.list()] == [NAME, "made"]

    scaled = await jp_fetch(*API, "made", "scale", method="POST", body='{"nodes": 2}', request_timeout=60)
    assert value(scaled)["nodes"] == 2
    assert len(value(await jp_fetch(*API, "made", "nodes"))) == 2

    code, last = await refusal(jp_fetch(*API, "made", "scale", method="POST", body='{"nodes": 0}'))
    assert code == 400 and "0 programs connected now" in last["message"]

    code, taken = await refusal(jp_fetch(*API, method="POST", body='{"name": "made"}'))
    assert code == 409 and taken["reason"] == "NameTakenError"

    stopped = await jp_fetch(*API, "made", method="DELETE", request_timeout=60)
    assert stopped.code == 204 and not stopped.body
    assert [cluster.name for cluster in clusters.list()] == [NAME]
    code, _gone = await refusal(jp_fetch(*API, "made"))
    assert code == 404


# -- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [(), ("nodes",), ("metrics",), ("logs",)])
async def test_an_unknown_cluster_is_not_found(jp_fetch: Fetch, rest: tuple[str, ...]) -> None:
    code, told = await refusal(jp_fetch(*API, "nobody", *rest))
    assert code == 404
    assert told["reason"] == "NoSuchClusterError" and "'nobody'" in told["message"]


async def test_what_cannot_be_is_a_bad_request(jp_fetch: Fetch) -> None:
    for path, body, message in [
        ((), "{", "The body is not JSON"),
        ((), '{"colour": "red"}', "colour is not known"),
        ((), '{"name": "100%s", "nodes": 1}', 'name="100%s"'),
        ((), '{"name": "new", "heads": true}', "heads=true is not allowed: give 1 or 3."),
        ((NAME, "scale"), "{}", "lacks nodes"),
        ((NAME, "scale"), '{"nodes": -1}', "nodes=-1"),
    ]:
        code, told = await refusal(jp_fetch(*API, *path, method="POST", body=body))
        assert code == 400
        assert told["reason"] == "OptionError" and message in told["message"]
    for what, params in [
        ("metrics", {"since": "today"}),
        ("logs", {"lines": "1.5"}),
        ("logs", {"process": "x"}),
    ]:
        code, told = await refusal(jp_fetch(*API, NAME, what, params=params))
        assert code == 400 and told["reason"] == "OptionError"


async def test_an_unknown_route_is_not_found(jp_fetch: Fetch) -> None:
    with pytest.raises(HTTPClientError) as error:
        await jp_fetch(*API, NAME, "secrets")
    assert error.value.code == 404


# -- the server and its clusters -------------------------------------------------------------------------


async def test_a_server_that_ends_leaves_clusters_alone(
    jp_fetch: Fetch, jp_serverapp: Any, cluster: Cluster
) -> None:
    await jp_fetch(*API, NAME, "nodes")
    before = cluster.processes
    await jp_serverapp.extension_manager.stop_all_extensions()
    assert cluster.processes == before and cluster.state == "running"
    for path, method in (((NAME, "nodes"), "GET"), ((NAME, "scale"), "POST")):
        body = '{"nodes": 1}' if method == "POST" else None
        code, told = await refusal(jp_fetch(*API, *path, method=method, body=body))
        assert code == 503 and "The Jupyter server is ending" in told["message"]
    # Each test has a server of its own, so that the next ones find it again is seen there.


async def test_looking_is_no_activity_and_running_tasks_are(
    jp_fetch: Fetch, jp_serverapp: Any, session: None
) -> None:
    app = jp_serverapp.web_app
    extension = jp_serverapp.extension_manager.extension_points["rustray_jupyter"].app
    before = app.last_activity()
    await jp_fetch(*API, NAME)
    assert app.last_activity() == before

    @rustray.remote
    def nap() -> None:
        time.sleep(1.2)

    ref = nap.remote()
    async with asyncio.timeout(20):
        while app.last_activity() == before:
            await extension.note_activity()
            await asyncio.sleep(0.1)
    assert (app.last_activity() - before).total_seconds() > 0
    rustray.get(ref)


# -- what is not there -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "bogus", "bogus/", "clusters/x/bogus", f"clusters/{NAME}/live/a", "clusters//"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_unknown_paths_are_refused_as_json(jp_fetch: Fetch, path: str, method: str) -> None:
    body = "{}" if method == "POST" else None
    code, told = await refusal(jp_fetch("rustray", "api", path, method=method, body=body))
    assert code == 404 and told["message"]


async def test_live_data_without_a_websocket_is_refused_as_json(jp_fetch: Fetch) -> None:
    code, told = await refusal(jp_fetch(*API, NAME, "live", params={"panels": "tasks"}))
    assert code == 400 and "WebSocket" in told["message"]
    code, told = await refusal(jp_fetch(*API, "nobody", "live", params={"panels": "tasks"}))
    assert code == 404 and "nobody" in told["message"]
