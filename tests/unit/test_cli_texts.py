"""How commands and errors name clusters, and which nodes `rustray status` still tells of."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest

import rustray.clusters
from rustray.cli import main, measured, named, read, status, stopping
from rustray.cluster.commands import NODE_LEFT
from rustray.clusters import registry
from rustray.clusters.connection_file import ConnectionFile, Process
from rustray.driver import discovery
from rustray.errors import ClusterStartError, OptionError
from rustray.pids import here

NODE = Process(11, 1.0, "node", "node-11", "/rr/node-11")
WORK = ConnectionFile("work", 1.0, here(), heads=("127.0.0.1:1", "127.0.0.1:3"), processes=(NODE,))
NOTES = ConnectionFile("notes", 2.0, here(), processes=(Process(12, 1.0, "embedded", "node-1", "/rr/notes"),))


def running(role: str, folder: str, *heads: str) -> dict[str, Any]:
    return {
        "role": role,
        "folder": folder,
        "heads": list(heads),
        "socket": f"{folder}/node.sock",
        "address": "h:9",
    }


RUNNING = [
    running("head", "/rr/head-1", *WORK.heads),
    running("head", "/rr/head-2", *WORK.heads),
    running("node", "/rr/node-11", *WORK.heads),
    running("embedded", "/rr/notes"),
    running("head", "/rr/other-head", "10.0.0.1:1"),
    running("node", "/rr/other-node", "10.0.0.1:1"),
    running("embedded", "/rr/script"),
]


@pytest.fixture(autouse=True)
def clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "files", lambda: [WORK, NOTES])
    monkeypatch.setattr(registry, "find", lambda _name=None: None)
    monkeypatch.setattr(discovery, "clusters", lambda: RUNNING)
    monkeypatch.setattr(stopping, "clusters", lambda: RUNNING)


def test_an_unknown_cluster_is_answered_with_each_that_runs_once() -> None:
    with pytest.raises(ClusterStartError) as error:
        discovery.find_node("nosuch")
    assert str(error.value).endswith("Running: work, notes, 10.0.0.1:1, /rr/script.")


@pytest.fixture
def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("token", ["", "a" * 64])
def test_a_head_that_cannot_be_there_is_said_so_at_once(
    token: str, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUSTRAY_TOKEN", token)
    monkeypatch.setattr(discovery, "REFUSED_FOR_S", 0.0)
    with pytest.raises(ClusterStartError, match=f"No program listens at 127.0.0.1:{free_port}"):
        discovery.start_gateway(f"127.0.0.1:{free_port}")

    def unknown(*_where: object, **_kind: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ClusterStartError, match="There is no host 'nosuchhost'.*Clusters that run here: work, notes"):
        discovery.start_gateway("nosuchhost:6380")


def test_where_a_head_is_starting_it_is_waited_for(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port}"
    monkeypatch.setattr(discovery, "REFUSED_FOR_S", 0.0)
    monkeypatch.setattr(discovery, "clusters", lambda: [running("head", "/rr/head-3", address)])
    discovery._check_hosts(address, [address])


def test_an_address_of_rays_kind_is_told_what_to_give() -> None:
    with pytest.raises(OptionError, match="'ray://head:10001' is a URL.* 'HOST:PORT,...' of the heads"):
        discovery.find_node("ray://head:10001")


def test_stop_names_the_clusters_among_which_it_cannot_choose() -> None:
    with pytest.raises(OptionError, match=r"Several clusters run here: 10\.0\.0\.1:1; work\. Give the name"):
        stopping.run(read(["stop"]))


def test_the_name_that_is_nearest_to_that_of_no_cluster_is_told() -> None:
    with pytest.raises(ClusterStartError, match=r"this machine\. Did you mean 'work'\? Running: work, notes"):
        discovery.find_node("wrok")
    with pytest.raises(ClusterStartError, match=r"'ntoes' runs here\. Did you mean 'notes'\? There are: work, notes"):
        rustray.clusters.find("ntoes")


@pytest.mark.parametrize(
    "arguments", [["status"], ["explain", "train"], ["metrics"], ["timeline"], ["timeline", "trace.json"]]
)
@pytest.mark.parametrize("option", ["--name", "--address"])
def test_what_asks_a_cluster_takes_its_name(arguments: list[str], option: str) -> None:
    options = read([*arguments, option, "work"])
    assert options is not None and options.address == "work"


@pytest.mark.parametrize("arguments", [["logs", "work"], ["logs", "--name", "work"]])
def test_logs_takes_a_name(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(named, "show_logs", lambda name, *_more: asked.append(name))
    options = read(arguments)
    options.run(options)
    assert asked == ["work"]


@pytest.mark.parametrize("arguments", [["stop", "work"], ["stop", "--name", "work"]])
def test_stop_takes_a_name(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(stopping, "stop_cluster", lambda name, _drain: asked.append(name))
    options = read(arguments)
    options.run(options)
    assert asked == ["work"]


def test_a_trace_is_not_written_to_a_file_called_as_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find", lambda name=None: WORK if name == "work" else None)
    with pytest.raises(OptionError, match=r"'work' is a cluster: 'rustray timeline --name work'.* \./work"):
        measured.run_timeline(read(["timeline", "work"]))


@pytest.mark.parametrize("arguments", [["status", "work"], ["status", "--address", "work"]])
def test_status_takes_a_name(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(status, "show", lambda address, _as_json: asked.append(address))
    options = read(arguments)
    options.run(options)
    assert asked == ["work"]


def test_status_names_the_cluster() -> None:
    assert status._name({"heads": ["127.0.0.1:3"], "folder": "/rr/node-11"}) == "work"
    assert status._name({"heads": ["10.0.0.1:1"], "folder": "/rr/other-node"}) == ""


def test_status_has_the_pids_of_the_heads_that_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    here_now = [{"role": "head", "address": "127.0.0.1:1", "pid": 7}, {"role": "node", "address": "h:9", "pid": 8}]
    monkeypatch.setattr(status, "clusters", lambda: here_now)
    monkeypatch.setattr(status, "reached", lambda addresses: dict.fromkeys(addresses, True))
    heads = status._heads(["127.0.0.1:1", "h:9"], "127.0.0.1:1")
    assert [head["pid"] for head in heads] == [7, None]
    assert [status._head(head) for head in heads] == ["127.0.0.1:1 leads (pid 7)", "h:9 answers"]


def test_who_has_left_in_order_is_told_of_for_a_minute_who_died_for_longer() -> None:
    rows = [
        {"name": name, "removed": 1000.0 - age, "cause": cause}
        for name, age, cause in (
            ("left long ago", 61.0, NODE_LEFT),
            ("left", 59.0, NODE_LEFT),
            ("died", 369.0, "it was silent for 3 s"),
            ("died long ago", 901.0, "it was silent for 3 s"),
        )
    ]
    assert [row["name"] for row in status.gone_of_late(rows, 1000.0)] == ["left", "died"]


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only there a process can be called something"
)
def test_a_process_can_be_called_something() -> None:
    program = "from rustray import pids; pids.call_this_process('rustray-node'); print(open('/proc/self/comm').read())"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "rustray-node"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sttaus"], "'sttaus' is not a command. Did you mean 'status'?"),
        (["start", "--hed"], "start takes no --hed. Did you mean '--head'? See: rustray start --help"),
        (["start", "--head", "--bogus"], "start takes no --bogus. See: rustray start --help"),
        (["start", "--head", "--num-cpus", "two"], "'two' is not a number. See: rustray start --help"),
        (["logs", "work", "more"], "logs takes no more. See: rustray logs --help"),
        (["scale", "3.5"], "'3.5' is not a whole number"),
    ],
)
def test_a_command_line_that_is_wrong_is_told_so_in_a_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith("rustray: ") and said in told and told.count("\n") == 1


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "start a head with a node" in capsys.readouterr().err
