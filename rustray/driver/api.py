"""The functions that a user calls: `init`, `remote`, `get`, `put`, `wait`, and what goes with them.

Names, defaults and semantics follow Ray Core, so that its users change one import.
"""

from __future__ import annotations

import atexit
import inspect
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, overload

from rustray import runtime_env as runtime_envs
from rustray import serialization
from rustray.driver import cells, discovery, launch, patience
from rustray.driver.actor_class import ActorClass, check_actor_class
from rustray.driver.actor_handle import ActorHandle
from rustray.driver.current import auto_init, current, current_or_none, set_auto_init, set_current
from rustray.driver.entry import VALUE
from rustray.driver.environment import driver_place
from rustray.driver.generator import ObjectRefGenerator
from rustray.driver.output import print_log
from rustray.driver.refs import ObjectRef
from rustray.driver.remote_function import RemoteFunction
from rustray.driver.session import Session
from rustray.errors import ClusterStartError, OptionError, RustRayError, SessionError
from rustray.model import labels as label_rules
from rustray.model.job_options import job_options
from rustray.model.option_checks import unknown_name
from rustray.model.options import ActorOptions, TaskOptions

T = TypeVar("T")

CONNECT_TIMEOUT_S = 30.0
IGNORED_INIT = frozenset(
    """dashboard_host dashboard_port include_dashboard configure_logging logging_level logging_format
    logging_config log_to_driver_level _enable_object_reconstruction _redis_max_memory
    _plasma_directory _node_ip_address _driver_object_store_memory _memory _redis_username _redis_password
    _temp_dir _metrics_export_port _system_config _tracing_startup_hook _node_name allow_multiple
    enable_resource_isolation system_reserved_cpu system_reserved_memory _cgroup_path""".split()
)
"""Arguments of ray.init that mean nothing here; accepted so that its calls work."""

_init_lock = threading.RLock()
_server: launch.StartedProcess | None = None


class Context(dict[str, Any]):
    """What `init` gives: facts of the connection by name, and a context manager that ends it."""

    @property
    def address_info(self) -> dict[str, Any]:
        return self

    def disconnect(self) -> None:
        shutdown()

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
    log_to_driver: bool = True,
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
    address: None starts a cluster that ends with this process (unless $RUSTRAY_ADDRESS names one); "auto" takes the
        newest running one, "local" always starts one; else a session folder, a socket's path, "host:port" of a node
        here, or "host:port,..." of the heads of a cluster anywhere: through a node of it on this machine, else through
        one without slots that is started for this process, with the token in $RUSTRAY_TOKEN or $RUSTRAY_TOKEN_FILE and
        the certificates in $RUSTRAY_TLS_DIR.
    num_cpus, num_gpus, resources: what a cluster started here offers; counted if not given.
    object_store_memory: bytes of shared memory for objects; 30 % of the machine's if not given.
    namespace: where this job's named actors are found; its own if not given.
    runtime_env: "env_vars", "working_dir", "py_modules" for all workers of this job.
    ignore_reinit_error: keep the present connection instead of raising SessionError.
    log_to_driver: print here what tasks print.
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
    AuthenticationError: the token is not that of the cluster.
    """
    global _server
    for name in others:
        if name not in IGNORED_INIT:
            raise unknown_name("argument of init()", name, _INIT_NAMES)
    terms = job_options(qos, weight, priority, min_cpus, max_cpus)
    with _init_lock:
        session = current_or_none()
        if session is not None and session.ended is None:
            if ignore_reinit_error:
                return _context(session)
            raise SessionError.already_initialised()
        if session is not None:
            shutdown()
        address = address or os.environ.get("RUSTRAY_ADDRESS") or None
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
        return _context(session)


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
        "name": name,
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
        patience.attach(session)
    serialization.on_ref_pickled_outside(lambda ref: session.objects.keep_for_ever(ref))
    return session


def _context(session: Session) -> Context:
    info = session.info
    return Context(
        address=info["socket"],
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
    """End this process's connection, and the cluster if `init` started it. Harmless when there is none."""
    global _server
    with _init_lock:
        session = current_or_none()
        if session is not None:
            set_current(None)
            serialization.on_ref_pickled_outside(None)
        server, _server = _server, None
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
    session = current_or_none()
    if session is not None and session.pid == os.getpid() and session.lend is None:
        shutdown()


@overload
def remote(__function: type[T]) -> ActorClass: ...
@overload
def remote(__function: Any) -> RemoteFunction: ...
@overload
def remote(**options: Any) -> Any: ...
def remote(*args: Any, **options: Any) -> Any:
    """Make a remote function or an actor class: ``@remote``, or ``@remote(num_cpus=2, ...)`` with options."""
    if len(args) == 1 and not options:
        return _make_remote(args[0], {})
    if args or not options:
        raise OptionError(
            "@rustray.remote is used bare on a function or class, or with keyword options: @rustray.remote(num_cpus=2)."
        )
    return lambda target: _make_remote(target, options)


def _make_remote(target: Any, options: dict[str, Any]) -> Any:
    if inspect.isclass(target):
        check_actor_class(target)
        return ActorClass(target, ActorOptions.build(options))
    if isinstance(target, RemoteFunction | ActorClass):
        raise OptionError(f"{target!r} is remote already; use .options(...) to change its options.")
    if inspect.iscoroutinefunction(target):
        raise OptionError(
            f"async def {target.__name__}() cannot be a task: call asyncio.run({target.__name__}()) in a plain "
            "function, or make it a method of an actor, which runs many of them at once."
        )
    if not callable(target):
        raise OptionError(f"@rustray.remote is for functions and classes, not for a {type(target).__name__}.")
    return RemoteFunction(target, TaskOptions.build(options))


def get(refs: Any, *, timeout: float | None = None) -> Any:
    """The value of a ref, or the list of values of a list of refs; waits for them.

    Arrays in it that lie in shared memory are read-only views.

    Parameters
    ----------
    timeout: seconds to wait at most.

    Raises
    ------
    GetTimeoutError: when `timeout` has passed. TaskError: what the task raised, also an instance of that type.
    """
    session = current()
    if type(refs) is ObjectRef:
        entry = refs._entry
        if entry.state == VALUE and refs._table.session is session:
            return session.reader.value_of(entry)
        _check_refs((refs,), session, "get")
        return _values(session, (refs,), timeout)[0]
    if isinstance(refs, ObjectRefGenerator):
        return _values(session, list(refs), timeout)
    if not isinstance(refs, list | tuple):
        raise TypeError(
            f"get() takes an ObjectRef or a list of them, not a {type(refs).__name__}: {_short(refs)}."
        )
    _check_refs(refs, session, "get")
    return _values(session, refs, timeout)


def _values(session: Session, refs: Sequence[ObjectRef], timeout: float | None) -> list[Any]:
    try:
        return session.reader.get(refs, timeout)
    except RustRayError as error:
        # Its text has the frames of the task. Ours, down to where it was taken out of its envelope, tell nothing.
        raise error.with_traceback(None) from error.__cause__


def _check_refs(refs: Sequence[Any], session: Session, call: str) -> None:
    for ref in refs:
        if type(ref) is not ObjectRef:
            raise TypeError(
                f"{call}() takes ObjectRefs; one of them is a {type(ref).__name__}: {_short(ref)}."
            )
        if ref._table.session is not session:
            raise SessionError.shut_down(f"{call}()")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


def put(value: Any) -> ObjectRef:
    """Store a value in the cluster; big ones go to shared memory, from where tasks read them without a copy."""
    if type(value) is ObjectRef:
        raise TypeError("put() takes a value, not an ObjectRef: the ref can be passed on as it is.")
    session = auto_init()
    session.check_open()
    return session.objects.put(value)


def wait(
    refs: list[Any], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
) -> tuple[list[Any], list[Any]]:
    """Wait until `num_returns` of `refs` are ready: (ready, not ready), each in the order given.

    Parameters
    ----------
    timeout: seconds; then what is ready until now is returned, perhaps fewer. 0 looks without waiting.
    fetch_local: kept for Ray's sake: objects are fetched when they are read.
    """
    session = current()
    if isinstance(refs, ObjectRef) or not isinstance(refs, list | tuple):
        raise TypeError(f"wait() takes a list of ObjectRefs, not a {type(refs).__name__}.")
    _check_refs(refs, session, "wait")
    if len(set(refs)) != len(refs):
        raise ValueError("wait() was given the same ObjectRef twice.")
    if not isinstance(num_returns, int) or not 0 < num_returns:
        raise ValueError(f"wait(num_returns={num_returns!r}): give a whole number from 1 on.")
    if not refs:
        return [], []
    if num_returns > len(refs):
        raise ValueError(f"wait(num_returns={num_returns}): there are only {len(refs)} refs.")
    return session.reader.wait(refs, num_returns, timeout)


def cancel(ref: Any, *, force: bool = False, recursive: bool = True) -> None:
    """Cancel the task that makes `ref`: it is dropped if it waits, gets a KeyboardInterrupt if it runs.

    Its refs raise TaskCancelledError. A finished task is left alone.

    Parameters
    ----------
    force: kill the worker that runs it. Not for actors' methods (ValueError): kill the actor.
    recursive: also what the task has submitted itself.
    """
    session = current()
    if isinstance(ref, ObjectRefGenerator):
        task = ref.task
    else:
        _check_refs((ref,), session, "cancel")
        task = ref._entry.task
        if not ref._entry.owned:
            raise ValueError(
                "cancel() is for the process that submitted the task; this ref came from another one."
            )
    if task is not None and not isinstance(task, str):
        if force and hasattr(task.target, "on_channel"):
            raise ValueError("cancel(force=True) is not for methods of an actor: use kill(actor).")
        session.tasks.cancel(task, force, recursive)


def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """End an actor at once; its running calls fail. With ``no_restart=False`` it restarts if it may."""
    if not isinstance(actor, ActorHandle):
        raise ValueError(
            f"kill() takes an actor's handle, not a {type(actor).__name__}; cancel() is for tasks."
        )
    current().check_open()
    actor._channel.kill(no_restart)


def get_actor(name: str, namespace: str | None = None) -> ActorHandle:
    """The handle of a living actor by its name; ActorNotFoundError (a ValueError) when there is none."""
    session = current()
    if not name:
        raise ValueError("get_actor() needs a name.")
    actor, handle = session.requests.query("actor_named", name, namespace or session.info["namespace"])
    return ActorHandle.of(session, actor, handle)


def nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster, one dict each, with Ray's keys."""
    rows = current().requests.query("nodes")
    return [
        {
            "NodeID": row["name"],
            "Alive": row.get("alive", True),
            "NodeManagerHostname": row.get("hostname", ""),
            "Resources": row["resources"],
            "Labels": row["labels"],
            "Available": row["available"],
            "alive": row.get("alive", True),
        }
        for row in rows
    ]


def cluster_resources() -> dict[str, float]:
    """What the cluster offers in all: {"CPU": 2.0, ...}; memory in bytes."""
    total: dict[str, float] = current().requests.query("resources")[0]
    return total


def available_resources() -> dict[str, float]:
    """What of it is free now."""
    free: dict[str, float] = current().requests.query("resources")[1]
    return {name: amount for name, amount in free.items() if amount > 0}


def get_gpu_ids() -> list[int]:
    """The GPUs that this task or actor has."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [int(device) for device in visible.split(",") if device.strip().isdigit()]


def in_worker() -> bool:
    """Whether this process is a worker."""
    session = current_or_none()
    return session is not None and session.lend is not None
