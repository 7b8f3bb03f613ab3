"""Clusters with names: processes of this machine that go on by themselves, found and ended from anywhere.

cluster = rustray.clusters.start("work", nodes=2)
rustray.init("work")            # here, or in any other program or notebook of this user
rustray.clusters.list()
cluster.scale(3)
cluster.stop()

Each is known by a connection file in Jupyter's runtime folder, which the commands `rustray` and `jupyter rustray`, the
Jupyter server and notebooks share: what one of them starts, all of them see and can stop.
"""

from __future__ import annotations

import builtins

from rustray.clusters import registry, starting
from rustray.clusters.cluster import Cluster, Clusters, no_cluster
from rustray.clusters.connection_file import DEFAULT_NAME
from rustray.clusters.contact import Contact

__all__ = ["Cluster", "Contact", "contact", "find", "list", "start"]


def start(
    name: str = DEFAULT_NAME,
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    resources: dict[str, float] | None = None,
    object_store_memory: int | None = None,
    labels: dict[str, str] | None = None,
    heads: int = 1,
    nodes: int = 1,
) -> Cluster:
    """Start a cluster on this machine, for this machine; it goes on until it is stopped.

    Parameters
    ----------
    name: small letters, digits, "-" and "_".
    num_cpus, num_gpus, resources: what each of its nodes offers; counted if not given.
    object_store_memory: bytes of each node's store; 30 % of the machine's memory if not given.
    labels: what tasks may ask for in a node, {"zone": "a"}.
    heads: 1, or 3, of which one may fail.
    nodes: how many, from 0 on.

    Raises
    ------
    OptionError: an argument that is not allowed.
    ClusterStartError: a cluster of this name runs, or it did not come up; then nothing of it is left.
    """
    node = starting.node_settings(num_cpus, num_gpus, resources, object_store_memory, labels)
    starting.start(name, node, heads, nodes)
    return find(name)


def list() -> builtins.list[Cluster]:
    """This user's clusters on this machine, the newest last, those included that are being started."""
    return Clusters(map(Cluster, registry.files()))


def find(name: str | None = None) -> Cluster:
    """The cluster of this name; else that of $RUSTRAY_ADDRESS, or the newest.

    Raises
    ------
    ClusterStartError: there is none. AuthenticationError: its connection file is not this user's alone.
    """
    file = registry.find(name)
    if file is None:
        raise no_cluster(name)
    return Cluster(file)


def contact(name: str | None = None) -> Contact:
    """A session for asking a cluster, the newest if no name is given; it counts neither as a job nor as activity.

    Raises
    ------
    ClusterStartError: there is no such cluster. SessionError: it does not answer.
    """
    return find(name).contact()
