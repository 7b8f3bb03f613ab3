"""`init` and `shutdown`: the connection of this process to a cluster, and the cluster that it starts for itself.

Names, defaults and semantics follow Ray Core, so that its users change one import.
"""

from __future__ import annotations

import atexit
import inspect
import os
import socket
import threading
import warnings
from collections.abc import Callable
from typing import Any, Literal

from rustray import runtime_env as runtime_envs
from rustray import serialization
from rustray.driver import cells, descriptors, discovery, launch, patience, stop_button
from rustray.driver.current import current, current_or_none, set_auto_init, set_current
from rustray.driver.environment import driver_place
from rustray.driver.output import print_log
from rustray.driver.program import program_name
from rustray.driver.registry import socket_path
from rustray.driver.session import Session
from rustray.errors import ClusterStartError, OptionError, SessionError
from rustray.model import labels as label_rules
from rustray.model.job_options import job_options
from rustray.model.option_checks import unknown_name
from rustray.model.table import html_table

CONNECT_TIMEOUT_S = 30.0
IGNORED_INIT = frozenset(
    """dashboard_host dashboard_port include_dashboard configure_logging logging_level logging_format
    logging_config log_to_driver_level _enable_object_reconstruction _redis_max_memory
    _plasma_directory _node_ip_address _driver_object_store_memory _memory _redis_username _redis_password
    _temp_dir _metrics_export_port _system_config _tracing_startup_hook _node_name allow_multiple
    enable_resource_isolation cgroup_path proxy_server_url local_mode job_config
    system_reserved_cpu system_reserved_memory _cgroup_path""".split()
)
"""Arguments of ray.init that mean nothing here; accepted so that its calls work."""

_init_lock = threading.RLock()
_server: launch.StartedProcess | launch.AdoptedServer | None = None
_is_to_be_left: Callable[[], bool] | None = None
"""Tells whether the server is to go on when this process exits: its successor will come back to it."""


class Context(dict[str, Any]):
    """What `init` gives: facts of the connection by name, and a context manager that ends it."""

    dashboard_url = ""
    """As in Ray, where it is a page of its own; here it is one of the Jupyter server: ``jupyter rustray dashboard``."""

    @property
    def address_info(self) -> dict[str, Any]:
        """The same facts as a plain dict."""
        return dict(self)

    def disconnect(self) -> None:
        shutdown()

    def _repr_html_(self) -> str:
        return html_table(("", "connected to RustRay"), ((name, str(value)) for name, value in self.items()))

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_exc: object) -> None:
        shutdown()


def init(
    address: str | None = None,
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    resources: dict[str, float] | None = None,
    object_store_memory: int | None = None,
    namespace: str | None = None,
    runtime_env: dict[str, Any] | None = None,
    ignore_reinit_error: bool = False,
    log_to_driver: bool | None = True,
    job_name: str = "",
    labels: dict[str, str] | None = None,
    qos: Literal["interactive", "normal", "batch"] | None = None,
    weight: float | None = None,
    priority: int | None = None,
    min_cpus: float | None = None,
    max_cpus: float | None = None,
    **others: Any,
) -> Context:
    """Connect this process to a cluster, starting one of its own if no address says otherwise.

    Parameters
    ----------
    address: None starts a cluster that ends with this process (unless $RUSTRAY_ADDRESS names one); the name of a
        cluster (see `rustray.clusters`), or "auto" for that of $RUSTRAY_ADDRESS, else the newest; "local" always starts
        one; else a session folder, a socket's path, "host:port" of a node here, or "host:port,..." of the heads of a
        cluster anywhere: through a node of it on this machine, else through one without slots that is started for this
        process, with the token in $RUSTRAY_TOKEN or $RUSTRAY_TOKEN_FILE and the certificates in $RUSTRAY_TLS_DIR.
    num_cpus, num_gpus, resources: what a cluster started here offers; counted if not given.
    object_store_memory: bytes of shared memory for objects; 30 % of the machine's if not given.
    namespace: where this job's named actors are found; its own if not given.
    runtime_env: "env_vars", "working_dir", "py_modules" for all workers of this job.
    ignore_reinit_error: keep the present connection instead of raising SessionError.
    job_name: what this program is called in lists; its notebook or script if not given.
    log_to_driver: print here what tasks print; None, Ray's default, is True.
    labels: what tasks may ask of the node of a cluster started here, {"zone": "a"}.
    qos: what kind of job this is: "interactive" (weight 2, priority 1), "normal", "batch" (weight 0.5, priority -1).
    weight: jobs that wait share what there is in proportion to it, from 0.01 to 100; usually 1.
    priority: added to that of each task, see `remote`; usually 0.
    min_cpus: CPUs that this job gets before others, from them if need be, and keeps while it can use them.
    max_cpus: CPUs that it never exceeds.

    Raises
    ------
    OptionError: an argument that is not allowed.
    SessionError: this process is connected already, or the cluster does not answer.
    ClusterStartError: no cluster could be started, or none is found at `address`.
    VersionMismatchError (a ClusterStartError): the cluster has another minor version of Python, or another RustRay.
    AuthenticationError: the token is not that of the cluster.
    """
    global _server
    for name in others:
        if name not in IGNORED_INIT:
            raise unknown_name("argument of init()", name, _INIT_NAMES)
    if others.get("job_config") is not None:
        raise OptionError("job_config is not supported: give init() namespace= and runtime_env= themselves.")
    if others.get("local_mode"):
        warnings.warn(
            "local_mode=True means nothing here: tasks run in worker processes. To debug a remote function f in this "
            "process, call f._function(...).",
            stacklevel=2,
        )
    log_to_driver = log_to_driver is not False
    terms = job_options(qos, weight, priority, min_cpus, max_cpus)
    with _init_lock:
        session = current_or_none()
        if session is not None and session.ended is None:
            if ignore_reinit_error:
                return _context(session)
            raise SessionError.already_a_worker() if session.is_worker else SessionError.already_initialised()
        if session is not None:
            shutdown()
        if address in (None, "", "auto"):
            describes = (num_cpus, num_gpus, resources, object_store_memory, labels) != (None,) * 5
            address = _usual(address or None, describes)
        if address is None or address == "local":
            offered = launch.count_resources(num_cpus, num_gpus, resources)
            settings = launch.ServerSettings(offered, object_store_memory, labels=_checked_labels(labels))
            _server = launch.start(settings)
            path = settings.socket
        else:
            if (num_cpus, num_gpus, resources, object_store_memory, labels) != (None,) * 5:
                raise OptionError(
                    "num_cpus, num_gpus, resources, labels and object_store_memory describe a cluster that init() "
                    f"starts; the one at {address!r} has its own. Leave them out."
                )
            path = discovery.find_node(address) or ""
            if not path:
                _server = discovery.start_gateway(address)
                path = _server.socket
        try:
            session = _connect(path, namespace, runtime_env, job_name, log_to_driver, terms)
        except BaseException:
            if _server is not None:
                _server.stop()
                _server = None
            raise
        if _server is not None:
            session.fate = _server.fate
        return _context(session)


def _usual(address: str | None, describes: bool) -> str | None:
    """What $RUSTRAY_ADDRESS makes of None or "auto". An address there is used; the name of a cluster is a preference.

    Parameters
    ----------
    describes: whether `init` was told what a cluster that it starts is to offer.
    """
    wanted = os.environ.get("RUSTRAY_ADDRESS")
    if not wanted:
        return address
    from rustray.clusters import registry  # here: most programs need no names

    if not registry.usual():
        return wanted
    if address is None and describes:
        return None
    found = registry.find()
    if found is None:
        return wanted  # which is told not to run
    if found.name != wanted:
        warnings.warn(
            f"The cluster {wanted!r} of RUSTRAY_ADDRESS does not run any more; using {found.name!r}, the newest.",
            stacklevel=3,
        )
    return found.name


def init_again(
    notebook: str,
    num_cpus: float | None,
    linger_s: float,
    is_to_be_left: Callable[[], bool],
    new: bool = False,
) -> bool:
    """Connect this kernel to the cluster that an earlier kernel of its notebook has left, or to a new one of its own.

    Parameters
    ----------
    notebook: names it; the namespace of the job too.
    num_cpus: of a new one; counted if not given.
    linger_s: seconds for which it waits for the next kernel: see `launch.ServerSettings`.
    is_to_be_left: asked when this process exits, whether there will be a next one.
    new: start one, also where one was left.

    Returns whether it is that of an earlier kernel. For errors see `init`.
    """
    global _server, _is_to_be_left
    with _init_lock:
        session = current_or_none()
        if session is not None and session.ended is None:
            raise SessionError.already_initialised()
        shutdown()
        server: launch.StartedProcess | launch.AdoptedServer | None = (
            None if new else discovery.left_behind(notebook)
        )
        found = server is not None
        if server is None:
            offered = launch.count_resources(num_cpus, None, None)
            server = launch.start(launch.ServerSettings(offered, None, notebook=notebook, linger_s=linger_s))
        _server, _is_to_be_left = server, is_to_be_left
        try:
            _connect(server.socket, notebook, None, "", True, job_options()).fate = server.fate
        except BaseException:
            _server = None
            server.stop()
            raise
        return found


def _checked_labels(given: dict[str, str] | None) -> dict[str, str]:
    try:
        label_rules.check_labels(given or {})
    except (AttributeError, ValueError) as error:
        raise OptionError(f"labels={given!r} is not allowed: {error}.") from None
    return dict(given or {})


def _connect(
    path: str,
    namespace: str | None,
    runtime_env: dict[str, Any] | None,
    name: str,
    log_to_driver: bool,
    terms: dict[str, Any],
) -> Session:
    descriptors.raise_limit()  # after a server was started: what its workers run has the limit of this program
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise ClusterStartError(
            f"Cannot connect to the node at {path}: {error}. Is the cluster still running?"
        ) from error
    hello: dict[str, Any] = {
        "pid": os.getpid(),
        "namespace": namespace,
        "name": name or program_name(),
        "options": terms,
        **driver_place(),
    }
    if runtime_env:
        prepared = runtime_envs.prepare(runtime_envs.RuntimeEnv(runtime_env), os.path.dirname(path))
        hello["runtime_env"] = dict(prepared)
    session = Session(sock, ("driver", hello), print_log if log_to_driver else None)
    session.start(CONNECT_TIMEOUT_S)
    session.info["runtime_env"] = hello.get("runtime_env")
    session.info["socket"] = path
    set_current(session)
    if log_to_driver:
        cells.attach(session)
        stop_button.attach(session)
        patience.attach(session)
    serialization.on_ref_pickled_outside(session.sharing.keep_for_ever)
    return session


def _context(session: Session) -> Context:
    info = session.info
    return Context(
        address=info.get("socket") or socket_path(info["folder"]),  # a worker was born with its socket
        node_id=info["node"],
        session_dir=info["folder"],
        job_id=f"{info['job']:08x}",
        namespace=info["namespace"],
    )


_INIT_NAMES = [name for name in inspect.signature(init).parameters if name != "others"]
set_auto_init(lambda: (init(), current())[1])


def is_initialized() -> bool:
    """Whether this process is connected to a cluster."""
    session = current_or_none()
    return session is not None and session.ended is None


def shutdown(_exiting_interpreter: bool = False) -> None:
    """End this process's connection, and the cluster if `init` started it. Harmless when there is none.

    Raises
    ------
    SessionError: this is a task or an actor; only the program that has called `init` leaves its cluster.
    """
    global _server, _is_to_be_left
    with _init_lock:
        session = current_or_none()
        if session is not None:
            if session.is_worker:
                raise SessionError.shutdown_in_worker()
            set_current(None)
            serialization.on_ref_pickled_outside(None)
        server, _server, _is_to_be_left = _server, None, None
        try:
            if session is not None:
                session.close()
        finally:
            if server is not None:
                server.stop()


def _after_fork_in_child() -> None:
    # The cluster is the parent's, and a thread of the parent may have been in init() or shutdown().
    global _server, _init_lock
    _server = None
    _init_lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork_in_child)


@atexit.register
def _at_exit() -> None:
    global _server
    session = current_or_none()
    if session is not None and session.pid == os.getpid() and not session.is_worker:
        if _is_to_be_left is not None and _is_to_be_left():
            _server = None
        shutdown()
