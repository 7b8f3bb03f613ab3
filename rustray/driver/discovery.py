"""Finding the cluster that a user names: a node of it on this machine, or a gateway node that is started for it."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

from rustray.driver import launch
from rustray.driver.registry import clusters, socket_path
from rustray.errors import ClusterStartError, OptionError
from rustray.model.option_checks import meant
from rustray.wire.security import (
    TOKEN_VARIABLE,
    host_towards,
    is_loopback,
    plain_address,
    read_token,
    split_address,
)
from rustray.wire.versions import PYTHON

if TYPE_CHECKING:
    from rustray.clusters.connection_file import ConnectionFile

TOKEN_FILE_VARIABLE = "RUSTRAY_TOKEN_FILE"
TLS_VARIABLE = "RUSTRAY_TLS_DIR"
INSECURE_VARIABLE = "RUSTRAY_INSECURE"
GATEWAY_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 1.0
REFUSED_FOR_S = 1.0
"""Seconds after which nothing that listens on this machine is taken to come, unless a head is known to be starting."""


def find_node(address: str) -> str | None:
    """The socket of a node on this machine that belongs to the cluster at `address`; None if a gateway is needed.

    Parameters
    ----------
    address: the name of a cluster; "auto" for the newest one that has a name, else for the newest that lasts; a session
        folder or a socket's path; "host:port" of a node; or "host:port,..." of heads.

    Raises
    ------
    OptionError: it is a URL. ClusterStartError: nothing runs here that `address` could mean, and it names no heads.
    """
    if "://" in address:
        raise OptionError(
            f"The address {address!r} is a URL, and RustRay has none: give the name of a cluster here, or "
            "'HOST:PORT,...' of the heads of any, as 'rustray status' shows it."
        )
    running = clusters()
    named = _named(address)
    if named is not None:
        return _socket_of(named) or _node_with(set(named.heads), running)
    if address == "auto":
        lasting = [cluster for cluster in running if cluster["role"] != "embedded" and not _gateway(cluster)]
        if not lasting:
            raise ClusterStartError(
                "No running cluster was found. Start one with 'rustray start --head', or call init() without an "
                "address for one of its own."
            )
        nodes = [cluster for cluster in lasting if cluster["role"] == "node"]
        return str(nodes[-1]["socket"]) if nodes else None
    for cluster in running:
        if "socket" in cluster and address in (cluster["socket"], cluster["folder"]):
            return str(cluster["socket"])
    wanted = _heads_of(address)
    for cluster in running:
        if "socket" in cluster and cluster.get("address") in wanted:
            return str(cluster["socket"])
    if not wanted:
        raise ClusterStartError(
            f"No cluster of yours runs at {address!r} on this machine.{meant(address, _known(running))} "
            f"Running: {_told(running)}."
        )
    return _node_with(wanted, running)


def left_behind(notebook: str) -> launch.AdoptedServer | None:
    """The newest embedded server, without a driver, of an earlier kernel of the notebook with this Python."""
    for cluster in reversed(clusters()):
        of_it = cluster["role"] == "embedded" and cluster.get("notebook") == notebook
        if of_it and cluster.get("alone") and cluster.get("python") == PYTHON:
            return launch.AdoptedServer(cluster)
    return None


def start_gateway(address: str) -> launch.StartedProcess:
    """Start a node without slots on this machine, through which this process uses the cluster at `address`.

    Token and TLS folder come from the environment (RUSTRAY_TOKEN or RUSTRAY_TOKEN_FILE, RUSTRAY_TLS_DIR), else from the
    registry, if a head of that cluster runs on this machine. The cluster's nodes must reach the gateway, so it listens
    to other machines if the heads are on others; without TLS only where RUSTRAY_INSECURE is 1.

    Raises
    ------
    ClusterStartError: no token is known, or no head answers. AuthenticationError: the token is wrong.
    """
    running = [cluster for cluster in clusters() if cluster["role"] == "head"]
    if (named := _named(address)) is not None:
        heads = list(named.heads)
        running = [{"heads": heads, "token": named.token, "tls_folder": named.tls_dir}]
    elif address == "auto":
        heads = running[-1]["heads"]
    else:
        heads = [plain_address(head.strip()) for head in address.split(",") if head.strip()]
    here = [cluster for cluster in running if set(heads) & set(cluster["heads"])]
    if not here:
        _check_hosts(address, heads)
    token = read_token(_path_in(TOKEN_FILE_VARIABLE)) or (here[-1]["token"] if here else None)
    if token is None:
        raise ClusterStartError(
            f"No cluster of yours runs at {address!r} on this machine (running: {_told(clusters())}), and "
            f"joining one elsewhere needs its token: set {TOKEN_VARIABLE}, or {TOKEN_FILE_VARIABLE} to a file with it."
        )
    tls_folder = _path_in(TLS_VARIABLE) or (here[-1]["tls_folder"] if here else "")
    insecure = os.environ.get(INSECURE_VARIABLE) == "1"
    if not tls_folder and not insecure and not is_loopback(host_towards(heads[0])):
        raise ClusterStartError(
            f"The cluster at {address} is on another machine, so its TLS folder is needed: set {TLS_VARIABLE} to a "
            f"copy of the folder that it was started with ('rustray certs' has made it). If it was started without "
            f"one, with --insecure, set {INSECURE_VARIABLE}=1: then whoever reads or forges this traffic can run "
            "programs as you."
        )
    settings = launch.NodeSettings(
        heads,
        token,
        resources={},
        tls_folder=tls_folder,
        insecure=insecure,
        gateway=True,
        join_timeout=GATEWAY_TIMEOUT_S,
    )
    return launch.start(settings)


def _check_hosts(address: str, heads: list[str]) -> None:
    """ClusterStartError where none of these heads, not known here, can be there: neither token nor time helps."""
    unknown = {host for host, _port in map(split_address, heads) if not _is_host(host)}
    if all(split_address(head)[0] in unknown for head in heads):
        hosts = " nor ".join(map(repr, sorted(unknown)))
        raise ClusterStartError(
            f"There is no host {hosts}, as far as this machine knows: check {address!r}. "
            f"Clusters that run here: {_told(clusters())}."
        )
    if not all(is_loopback(split_address(head)[0]) for head in heads):
        return  # elsewhere a head may be starting, which cannot be seen from here
    deadline = time.monotonic() + REFUSED_FOR_S
    while all(map(_is_refused, heads)):
        if any(cluster["role"] == "head" and set(heads) & set(cluster["heads"]) for cluster in clusters()):
            return  # one is starting
        if time.monotonic() > deadline:
            raise ClusterStartError(
                f"No program listens at {', '.join(heads)}, and no head of yours is being started there. "
                f"No cluster of yours runs at {address!r} on this machine (running: {_told(clusters())})."
            )
        time.sleep(0.1)


def _is_host(name: str) -> bool:
    """Whether it has an address; so it has, as far as is known, while no name server answers."""
    try:
        socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return error.errno == socket.EAI_AGAIN
    return True


def _is_refused(head: str) -> bool:
    try:
        socket.create_connection(split_address(head), CONNECT_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False  # the gateway will tell what it is
    return False


def _named(address: str) -> ConnectionFile | None:
    """What the registry of names says of it, with "auto" for the newest; None if it is something else.

    AuthenticationError: the connection file is not this user's alone.
    """
    from rustray.clusters import connection_file, registry  # here: most programs need no names

    if address == "auto":
        return registry.find()
    return registry.find(address) if connection_file.is_name(address) else None


def _told(running: list[dict[str, Any]]) -> str:
    return ", ".join(_known(running)) or "none"


def _known(running: list[dict[str, Any]]) -> list[str]:
    """The clusters that run here, each once: by its name, else by its heads, or its folder where it has none."""
    from rustray.clusters import registry

    named = registry.files()
    heads = {head for file in named for head in file.heads}
    folders = {process.folder for file in named for process in file.processes}
    nameless = (
        ",".join(cluster.get("heads", ())) or cluster["folder"]
        for cluster in running
        if cluster["folder"] not in folders and heads.isdisjoint(cluster.get("heads", ()))
    )
    return list(dict.fromkeys((*(file.name for file in named), *nameless)))


def _socket_of(cluster: ConnectionFile) -> str | None:
    """Of its oldest node here: the newest is the first to go when the cluster is scaled down."""
    from rustray.clusters.processes import is_alive

    for process in cluster.processes:
        if process.role != "head" and is_alive(process):
            return socket_path(process.folder)
    return None


def _node_with(heads: set[str], running: list[dict[str, Any]]) -> str | None:
    """The socket of a node, other than a gateway, that belongs to any of these heads."""
    for cluster in running:
        if cluster["role"] == "node" and not _gateway(cluster) and heads & set(cluster["heads"]):
            return str(cluster["socket"])
    return None


def _path_in(variable: str) -> str | None:
    """Absolute, for the process that reads it is in another folder; None where the variable is not set."""
    path = os.environ.get(variable)
    return os.path.abspath(path) if path else None


def _gateway(cluster: dict[str, Any]) -> bool:
    return bool(cluster.get("gateway"))


def _heads_of(address: str) -> set[str]:
    """The heads in "host:port,...", none if it is something else."""
    try:
        return {plain_address(head.strip()) for head in address.split(",") if head.strip()}
    except OptionError:
        return set()
