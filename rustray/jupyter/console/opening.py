"""`%rustray init`, `stop` and `shutdown`: the notebook's connection to a cluster."""

from __future__ import annotations

import os
import time

import rustray
import rustray.clusters
from rustray.clusters import Cluster, registry
from rustray.driver import discovery
from rustray.driver import registry as sessions
from rustray.driver.current import auto_init, current, current_or_none, forbid_auto_init
from rustray.driver.session import Session, no_fate
from rustray.errors import ClusterStartError, OptionError, RustRayError
from rustray.jupyter import worked_on
from rustray.jupyter.console import own_cluster
from rustray.jupyter.console.plan import Connect, StartNamed, plan
from rustray.jupyter.notebook import notebook_path
from rustray.jupyter.notebook_server import open_own
from rustray.model.option_checks import unknown_name
from rustray.model.quantities import counted, lapse


def init(address: str = "", name: str = "", new: bool = False, num_cpus: float | None = None) -> None:
    """Connect the notebook to a cluster, or start one: see `plan`. Says to what."""
    if rustray.is_initialized():
        # The first cell of a notebook is run again and again.
        print(already_connected(address or name, new or num_cpus is not None))
        return
    namespace = notebook_path() or None
    lasting = [cluster for cluster in rustray.clusters.list() if cluster.heads]
    usual = os.environ.get(registry.ADDRESS_VARIABLE, "")
    has_ended = bool(registry.usual()) and registry.find(usual) is None
    todo = plan(
        address,
        name,
        new,
        num_cpus,
        worked_on.last_one_last(namespace or "", [cluster.name for cluster in lasting]),
        "" if has_ended else usual,
        bool(namespace) and discovery.left_behind(namespace or "") is not None,
    )
    started = time.perf_counter()
    left = False
    if isinstance(todo, Connect):
        _connect(todo.address, namespace)
    elif isinstance(todo, StartNamed):
        rustray.clusters.start(todo.name, num_cpus=num_cpus)
        _connect(todo.name, namespace)
    else:
        left = open_own(num_cpus, todo.new)
        if not left:
            own_cluster.enter(current().info["socket"], namespace or "")
    passed = time.perf_counter() - started
    cpus = rustray.cluster_resources().get("CPU", 0)
    where = attached()
    of = f" on cluster {where.name}" if where is not None and isinstance(todo, Connect) else ""
    if isinstance(todo, StartNamed):
        of = f" on the new cluster {todo.name}, which goes on until it is stopped"
    if has_ended and not (address or name or new or num_cpus is not None or left):
        of += f" ({usual}, the cluster of RUSTRAY_ADDRESS, does not run any more)"
    if left:
        of = ", as the kernel before has left it"
    if any(node["Alive"] for node in rustray.nodes()):
        print(f"RustRay is ready with {cpus:g} CPU{'' if cpus == 1 else 's'}{of}, after {lapse(passed)}.")
    else:
        named_so = f" --name {where.name}" if where is not None else ""
        print(
            f"RustRay is connected{of}, which has no node: tasks wait for one. Start it: rustray scale 1{named_so}"
        )
    if left:
        print("%rustray attach shows the cells that it has run, and gives their results.")


def notebook_session() -> Session:
    """The session of this process; where there is none, that of `init()`."""

    def opened() -> Session:
        init()
        return current()

    return auto_init(opened)


def _connect(address: str, namespace: str | None) -> None:
    try:
        rustray.init(address, namespace=namespace)
    except RustRayError as error:
        forbid_auto_init(
            f"%rustray init {address} has failed, and no cluster is started in place of that one: "
            f"{error} Run it again, or %rustray init --new for a cluster of this notebook's own."
        )
        raise


def attached() -> Cluster | None:
    """The cluster with a name that this process is connected to, if it is one."""
    session = current_or_none()
    if session is None or session.ended is not None:
        return None
    socket = session.info["socket"]
    heads = set(own_cluster.facts_of(socket).get("heads", ()))
    for cluster in rustray.clusters.list():
        nodes = (process for process in cluster.processes if process.role != "head")
        if any(sessions.socket_path(process.folder) == socket for process in nodes):
            return cluster
        if heads & set(cluster.address.split(",")):
            return cluster
    return None


def already_connected(address: str, others: bool) -> str:
    """What to say to `init` while there is a session.

    Parameters
    ----------
    address: that was asked for, or the name.
    others: whether there were other options.
    """
    session = current()
    heads = ",".join(own_cluster.facts_of(session.info["socket"]).get("heads", ()))
    where = f"the cluster of {heads}" if heads else "a cluster that was started here"
    named = attached()
    if named is not None:
        where = f"the cluster {named.name}"
    try:
        same = not address or discovery.find_node(address) == session.info["socket"]
    except ClusterStartError:
        same = False
    same = same or (named is not None and address == named.name)
    if not same and not set(address.split(",")) & set(heads.split(",")):
        return f"RustRay is already connected, to {where}, not to {address}. %rustray shutdown leaves it."
    kept = " Its options stay as they are; %rustray shutdown leaves it." if others else ""
    return f"RustRay is already connected, to {where}.{kept}"


def stop(name: str = "") -> None:
    """End a cluster: the one of this name, else the one that the notebook is connected to. Says what was stopped."""
    here = attached()
    cluster = named(name) if name else here
    if cluster is None:
        if not rustray.is_initialized():
            known = ", ".join(cluster.name for cluster in rustray.clusters.list())
            if not known:
                print("No cluster runs here.")
                return
            raise OptionError(
                f"%rustray stop needs a name, for this notebook has no cluster. Running: {known}."
            )
        rustray.shutdown()
        print("Left the cluster; it has ended if this notebook had started it.")
        return
    what = _parts(cluster)  # before it ends, as the notebook's own does with the session
    if here is not None and here.name == cluster.name:
        rustray.shutdown()
    killed = cluster.stop()
    by_force = f"; {counted(len(killed), 'process')} had to be killed" if killed else ""
    print(f"Stopped the cluster {cluster.name}: {what}{by_force}.")


def named(name: str) -> Cluster:
    """The running cluster of this name; OptionError with the nearest one."""
    running = {cluster.name: cluster for cluster in rustray.clusters.list()}
    if name in running:
        return running[name]
    if not running:
        raise OptionError(f"No cluster named {name!r} runs here, nor any other.")
    raise unknown_name("running cluster", name, running)


def _parts(cluster: Cluster) -> str:
    parts = [counted(cluster.heads, "head")] if cluster.heads else []
    return ", ".join([*parts, counted(cluster.nodes, "node")])


def shutdown() -> None:
    """Leave the cluster; it ends if the notebook has started it. Says so."""
    if not rustray.is_initialized():
        print("There is no cluster to shut down.")
        return
    session = current()
    is_own = session.fate is not no_fate and not own_cluster.facts_of(session.info["socket"]).get("heads")
    here = None if is_own else attached()
    rustray.shutdown()
    if is_own:
        print("RustRay is shut down.")
    else:
        print(f"This notebook has left the cluster{f' {here.name}' if here else ''}, which goes on.")
