"""``rustray start``: a head with a node on this machine, or a node that joins a cluster."""

from __future__ import annotations

import argparse
import os
import signal
import time
from typing import Any

from rustray import private_files
from rustray.cli.option_texts import (
    check_gaps,
    number,
    read_addresses,
    read_labels,
    read_resources,
    whole_number,
)
from rustray.cli.telling import tell
from rustray.clusters import entering
from rustray.driver import launch
from rustray.driver.discovery import TLS_VARIABLE, TOKEN_FILE_VARIABLE
from rustray.driver.registry import TOKEN_FILE, clusters, head_storage, keep_token
from rustray.errors import ClusterStartError, OptionError
from rustray.wire.security import (
    join_address,
    leads_to_loopback,
    plain_address,
    reachable_address,
    read_token,
)

DEFAULT_PORT = 6380
OTHER_HEADS_TIMEOUT_S = 300.0
"""Seconds for which the first of several heads waits for the others, before it gives up its own node."""


def add_commands(commands: Any) -> None:
    """Add ``start``."""
    start: argparse.ArgumentParser = commands.add_parser(
        "start",
        help="start a head with a node, or a node that joins a cluster",
        description="Start a head and a node on this machine (--head), or a node that joins a cluster (--address). "
        "They run until 'rustray stop'.",
    )
    which = start.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--head", action="store_true", help="start a cluster, or one head of several (--heads)"
    )
    which.add_argument("--address", metavar="HOST:PORT,...", help="heads of the cluster to join")
    start.add_argument(
        "--heads",
        metavar="HOST:PORT,...",
        help="all 3 or 5 heads, this one among them; the same list at each",
    )
    start.add_argument(
        "--host",
        help="where to listen (a head: 127.0.0.1, this machine only; a node: where the head reaches it)",
    )
    start.add_argument(
        "--port",
        type=whole_number,
        metavar="N",
        help=f"of the head ({DEFAULT_PORT}; several heads also use the next one), or of the node (any free one)",
    )
    start.add_argument("--num-cpus", type=number, metavar="N", help="slots that the node offers (as counted)")
    start.add_argument("--num-gpus", type=number, metavar="N", help="GPUs that the node offers (as counted)")
    start.add_argument("--resources", metavar="JSON", help='what else the node offers, as {"disk": 2}')
    start.add_argument(
        "--labels", default="", metavar="KEY=VALUE,...", help="of the node, for label selectors"
    )
    start.add_argument(
        "--object-store-memory",
        type=whole_number,
        metavar="BYTES",
        help="shared memory for objects (30 %% of the machine's)",
    )
    start.add_argument(
        "--token-file",
        metavar="FILE",
        default=os.environ.get(TOKEN_FILE_VARIABLE),
        help="a file that only you can read, with the cluster's token ($RUSTRAY_TOKEN; a new cluster makes one)",
    )
    start.add_argument(
        "--tls-dir",
        metavar="DIR",
        default=os.environ.get(TLS_VARIABLE, ""),
        help="certificates, see 'rustray certs' ($RUSTRAY_TLS_DIR)",
    )
    start.add_argument(
        "--insecure", action="store_true", help="listen to other machines even without token or TLS"
    )
    start.add_argument(
        "--storage",
        metavar="DIR",
        default="",
        help="the head's memory on disk, kept when the cluster is stopped",
    )
    start.add_argument(
        "--name",
        help="of the cluster on this machine, as in rustray.init(NAME) (default, or the next that is free)",
    )
    start.add_argument("--block", action="store_true", help="stay, and end all that was started with Ctrl-C")
    start.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start what the options say."""
    if options.tls_dir:
        options.tls_dir = os.path.abspath(options.tls_dir)
    options.resources = read_resources(options.resources) if options.resources else {}
    options.labels = read_labels(options.labels) if options.labels else {}
    start = _start_head if options.head else _start_node
    options.entered = None
    started: list[launch.StartedProcess] = []
    for ends in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ends) != signal.SIG_IGN:  # as with nohup
            signal.signal(ends, signal.default_int_handler)
    try:
        start(options, started)
        if not options.block:
            started.clear()  # they go on
            return 0
        while all(process.process.poll() is None for process in started):
            time.sleep(0.5)
        return 1  # one has ended by itself
    except KeyboardInterrupt:
        return 0 if options.block else 130
    finally:  # a head does not stay behind whose node could not be started
        for process in reversed(started):
            process.stop()
        if options.entered is not None:
            entering.settle(options.entered, [process.settings.folder for process in started])


def _start_head(options: argparse.Namespace, started: list[launch.StartedProcess]) -> None:
    heads = read_addresses(options.heads) if options.heads else []
    port = DEFAULT_PORT if options.port is None else options.port
    if heads and len(heads) not in (1, 3, 5):
        raise OptionError(f"--heads names {len(heads)} heads: a cluster has 1, 3 or 5.")
    check_gaps(heads)
    host = options.host or "127.0.0.1"
    _refuse_second(host, port)
    storage = os.path.abspath(options.storage) if options.storage else ""
    kept = _kept_token(storage or head_storage(join_address(host, port)))
    token = read_token(options.token_file) or kept
    if len(heads) > 1 and not token:
        raise OptionError(
            "Several heads need one token: give the same --token-file or RUSTRAY_TOKEN at each."
        )
    settings = launch.HeadSettings(
        host,
        port,
        heads,
        token or "",
        options.tls_dir,
        options.insecure,
        storage,
        lifeline=options.block,
    )
    node_settings = _node_settings(options)
    expected = heads or ([reachable_address(join_address(host, port))] if port else [])
    name = options.entered = entering.take(options.name, expected, token or "")
    head = launch.start(settings)
    started.append(head)
    facts = _facts(head)
    token_file = keep_token(facts["storage"], head.settings.token)
    entering.add(
        name,
        [head],
        heads=tuple(facts["heads"]),
        token=head.settings.token,
        tls_dir=options.tls_dir,
        token_file=token_file,
        node=node_settings,
    )
    address = facts["address"]
    tell(f"Head at {address}" + (f", TLS from {options.tls_dir}" if options.tls_dir else ""))
    others = [other for other in facts["heads"] if other != address]
    timeout = launch.JOIN_TIMEOUT_S
    if others:
        timeout = OTHER_HEADS_TIMEOUT_S
        needed = len(facts["heads"]) // 2 + 1
        must = "all must run once" if facts["waits"] else f"{needed} of {len(facts['heads'])} heads must run"
        tell(f"It waits for the others, {', '.join(others)}: {must}. Start them within {timeout:g} s.")
    if (left := _left_node(facts, timeout)) is not None:
        tell(f"Node {left} of this cluster runs here already, and has joined again.")
    else:
        node = launch.start(
            launch.NodeSettings(
                facts["heads"],
                head.settings.token,
                tls_folder=options.tls_dir,
                join_timeout=timeout,
                lifeline=options.block,
                **node_settings,
            )
        )
        started.append(node)
        entering.add(name, [node])
        _tell_node(node)
    joined = ",".join(facts["heads"])
    secure = f" --tls-dir {options.tls_dir}" if options.tls_dir else ""
    tell(f"""
Use it:       rustray.init("{joined}")      here also: rustray.init("{name}")
Add a node:   rustray start --address {joined} --token-file FILE{secure}
The token:    {token_file} (whoever reads it can run programs as you; copy it to the other machines, mode 0600)
Look, stop:   rustray status, rustray stop {name}""")
    if leads_to_loopback(host):
        tell(
            "Only this machine reaches it. For others: 'rustray certs DIR', then --host NAME and --tls-dir DIR here."
        )


def _start_node(options: argparse.Namespace, started: list[launch.StartedProcess]) -> None:
    for option in ("heads", "storage", "name"):
        if getattr(options, option):
            raise OptionError(f"--{option} is for --head.")
    heads = read_addresses(options.address)
    token = read_token(options.token_file) or _token_of(heads)
    if not token:
        raise ClusterStartError(
            "Joining needs the cluster's token: --token-file FILE, or RUSTRAY_TOKEN in the environment. 'rustray "
            "status' on the head's machine tells in which file it is."
        )
    node = launch.start(
        launch.NodeSettings(
            heads,
            token,
            port=options.port or 0,
            tls_folder=options.tls_dir,
            lifeline=options.block,
            **_node_settings(options),
        )
    )
    started.append(node)
    if (name := entering.name_of(_facts(node)["heads"])) is not None:
        options.entered = name
        entering.add(name, [node])
    _tell_node(node)


def _node_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What more nodes of the cluster are to have too, when it is scaled up."""
    return {
        "resources": launch.count_resources(options.num_cpus, options.num_gpus, options.resources),
        "object_store_memory": options.object_store_memory,
        "labels": options.labels,
        "host": options.host or "",
        "insecure": options.insecure,
    }


def _tell_node(node: launch.StartedProcess) -> None:
    facts = _facts(node)
    assert isinstance(node.settings, launch.NodeSettings)
    offered = {name: amount for name, amount in node.settings.resources.items() if name != "memory"}
    told = ", ".join(f"{amount:g} {name}" for name, amount in offered.items())
    tell(f"Node {facts['name']} at {facts['address']} with {told}; logs in {node.settings.folder}/logs")


def _facts(started: launch.StartedProcess) -> dict[str, Any]:
    return next(facts for facts in clusters() if facts["folder"] == started.settings.folder)


def _kept_token(storage: str) -> str | None:
    """Of a head that has used this storage before, and was killed: its nodes know no other.

    ClusterStartError: it is no place for a token, old or new.
    """
    try:
        private_files.check_folder(storage)
    except FileNotFoundError:
        return None  # the head will make it
    except OSError as error:
        raise ClusterStartError(f"The head cannot be started: {error}.") from error
    path = os.path.join(storage, TOKEN_FILE)
    return read_token(path) if os.path.exists(path) else None


def _refuse_second(host: str, port: int) -> None:
    """ClusterStartError where this very head runs here already."""
    wanted = join_address(host, port)
    for facts in clusters():
        address = facts.get("address")
        if facts["role"] == "head" and address in (wanted, reachable_address(wanted)):
            raise ClusterStartError(
                f"The head at {address} runs here already: process {facts['pid']}. To end it: rustray stop --address "
                f"{address}. For another cluster give --port."
            )


def _left_node(head: dict[str, Any], timeout: float) -> str | None:
    """The name of a node of that cluster that outlived an earlier life of the head, when it has joined again.

    Each head here has been started with a node, so it is not one of the others' only where there are as many as heads.
    None: there is none, or it ended, or does not join within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        same = [
            facts
            for facts in clusters()
            if set(facts.get("heads", ())) == set(head["heads"]) and facts["token"] == head["token"]
        ]
        nodes = [facts for facts in same if facts["role"] == "node" and not facts["gateway"]]
        if len(nodes) < sum(facts["role"] == "head" for facts in same):
            return None
        for facts in nodes:
            if facts.get("joined"):
                return str(facts["name"])
        time.sleep(0.1)
    return None


def _token_of(heads: list[str]) -> str | None:
    """Of a head of that cluster on this machine."""
    wanted = set(map(plain_address, heads))
    for facts in clusters():
        if facts["role"] == "head" and wanted & set(facts["heads"]):
            return str(facts["token"])
    return None
