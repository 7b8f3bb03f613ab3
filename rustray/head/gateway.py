"""A gRPC client's part in the cluster: a driver session of its own, in the server process.

Each client session is a job like any other driver's, connected to the node through its Unix socket. So it
has its share of the cluster beside the others, and when it ends the node cleans up as after any driver.

Rule 1. Nothing that came from a client or from a worker is unpickled here: see `worker.plain_call`.
Rule 2. Calls may block on the node, which runs in the event loop of this process: other threads make them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rustray import runtime_env as runtime_envs
from rustray import serialization
from rustray.driver.actor_class import ClassFacts, create_actor
from rustray.driver.actor_handle import ActorHandle, ActorMethod
from rustray.driver.entry import BLOCK, ERROR, PENDING, VALUE, Entry
from rustray.driver.environment import driver_place
from rustray.driver.methods import Method
from rustray.driver.packing import INLINE_LIMIT, inline, packed_size
from rustray.driver.refs import ObjectRef
from rustray.driver.remote_function import scheduling_class
from rustray.driver.scheduling_class import SchedulingClass
from rustray.driver.session import Session
from rustray.error_packing import ErrorSummary, read_summary
from rustray.errors import ObjectLostError, OptionError
from rustray.model.options import ActorOptions, TaskOptions
from rustray.worker import plain_call

CONNECT_TIMEOUT_S = 10.0
MAX_IDS = 100_000
"""Objects and actors that one session may refer to at once."""
MAX_FUNCTIONS = 2_000
"""Different functions, or functions with different options, of one session: their code is kept."""

Parts = tuple[bytes | memoryview, Sequence[bytes | memoryview]]
"""A value as its pickle and its out-of-band buffers."""


class UnknownIdError(LookupError):
    """The session does not refer to an object or actor of this id."""


class TooManyError(Exception):
    """A bound of the session is reached."""


class Gateway:
    """One driver session, and what its client refers to.

    Parameters
    ----------
    path: the node's socket.
    name, namespace: of the job; an empty namespace gives it one of its own.
    env: a runtime environment for its workers, as the user of `init` would give it.
    """

    def __init__(self, path: str, name: str, namespace: str, env: Mapping[str, Any]) -> None:
        prepared = runtime_envs.prepare(runtime_envs.RuntimeEnv(env), os.path.dirname(path))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
        except BaseException:
            sock.close()
            raise
        hello: dict[str, Any] = {"pid": os.getpid(), "namespace": namespace or None, "name": name}
        hello |= {"prestart": False, "gateway": True, **driver_place()}
        if prepared:
            hello["runtime_env"] = prepared
        self._session = Session(sock, ("driver", hello), None)
        self._session.start(CONNECT_TIMEOUT_S)
        self._session.info["runtime_env"] = prepared
        self._refs: dict[bytes, ObjectRef] = {}
        self._actors: dict[bytes, ActorHandle] = {}
        self._functions: dict[bytes, tuple[bytes, SchedulingClass]] = {}
        self._class_facts: dict[bytes, ClassFacts] = {}

    @property
    def namespace(self) -> str:
        """Where its named actors are found."""
        namespace: str = self._session.info["namespace"]
        return namespace

    def query(self, what: str) -> Any:
        """Ask the node or the head, as `Requests.query`."""
        return self._session.requests.query(what)

    def close(self) -> None:
        """End the job: the node ends its tasks and its actors, and lets its objects go."""
        self._refs.clear()
        self._actors.clear()
        self._session.close()

    # -- what the client refers to ---------------------------------------------------------------------

    def ref(self, oid: bytes) -> ObjectRef:
        """The ref of an id that this client has been given; UnknownIdError."""
        try:
            return self._refs[oid]
        except KeyError:
            raise UnknownIdError(
                f"This session has no object {oid.hex()}: it was released, or belongs to another session."
            ) from None

    def _actor(self, actor: bytes) -> ActorHandle:
        try:
            return self._actors[actor]
        except KeyError:
            raise UnknownIdError(
                f"This session has no actor {actor.hex()}: it was released, or belongs to another session. "
                "GetActor gives a named one."
            ) from None

    def _keep(self, refs: Sequence[ObjectRef]) -> list[bytes]:
        for ref in refs:
            self._refs[ref.binary()] = ref
        return [ref.binary() for ref in refs]

    def _check_room(self) -> None:
        self._session.check_open()
        if len(self._refs) + len(self._actors) >= MAX_IDS:
            raise TooManyError(
                f"The session refers to {MAX_IDS} objects and actors already. Let those go that are not needed "
                "any more, with ReleaseObjects."
            )

    def release(self, ids: Sequence[bytes]) -> None:
        """Refer no longer to these."""
        for oid in ids:
            self._refs.pop(oid, None)
            self._actors.pop(oid, None)
        self._session.objects.settle_drops()

    # -- tasks -----------------------------------------------------------------------------------------

    def submit(
        self,
        digest: bytes,
        code: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> list[bytes]:
        """Submit a task: the ids of its results.

        Parameters
        ----------
        digest: tells functions, with their options, apart.
        code: a class of `plain_call`. args, kwargs: such, or ObjectRefs.
        options: those of `TaskOptions`. OptionError.
        """
        self._check_room()
        return self._keep(self._submit(digest, code, args, kwargs, TaskOptions.build(options)))

    def _submit(
        self,
        digest: bytes,
        code: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: TaskOptions,
    ) -> list[ObjectRef]:
        known = self._functions.get(digest)
        if known is None:
            if len(self._functions) >= MAX_FUNCTIONS:
                raise TooManyError(
                    f"The session has sent {MAX_FUNCTIONS} different functions, whose code is kept for it. "
                    "Close it and open another, or send values as arguments instead of inside functions."
                )
            name = options.name or _name_of(code)
            pickled = serialization.serialize_code(code, "function")
            known = self._functions[digest] = scheduling_class(self._session, pickled, name, options)
        key, target = known
        returns = 1 if options.num_returns is None else int(options.num_returns)
        return _listed(
            self._session.tasks.submit(
                target, key, tuple(args), dict(kwargs), returns, options.max_retries, options, _nothing
            )
        )

    def cancel(self, oid: bytes, force: bool, recursive: bool) -> None:
        """Cancel the task that makes `oid`, if it has not ended; see `api.cancel`."""
        task = self.ref(oid)._entry.task
        if task is not None:
            if force and isinstance(task.function, str):
                raise OptionError("force is not for calls of an actor: use KillActor.")
            self._session.tasks.cancel(task, force, recursive)

    # -- actors ----------------------------------------------------------------------------------------

    def ask_class_facts(self, code: Any, env: Mapping[str, Any] | None) -> ObjectRef:
        """Have a worker tell the facts of a class: a ref of JSON for `learn_class_facts`."""
        self._check_room()
        return self._aside(plain_call.class_facts, code, env)

    def known_class_facts(self, digest: bytes) -> ClassFacts | None:
        """What `learn_class_facts` was told before."""
        return self._class_facts.get(digest)

    def learn_class_facts(self, digest: bytes, told: list[Any]) -> ClassFacts:
        """Keep what a worker has told of the class `digest`."""
        name, methods, asynchronous = told
        facts = ClassFacts(
            name, {method: _method(fields) for method, fields in methods.items()}, asynchronous
        )
        if len(self._class_facts) < MAX_FUNCTIONS:
            self._class_facts[digest] = facts
        return facts

    def create_actor(
        self,
        cls: ClassFacts,
        code: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> ActorHandle:
        """Create an actor. ActorAlreadyExistsError."""
        self._check_room()
        handle = create_actor(
            self._session,
            cls,
            serialization.serialize_code(code, "function"),
            ActorOptions.build(options),
            tuple(args),
            dict(kwargs),
            _nothing,
        )
        self._actors[handle._entry.id] = handle
        return handle

    def find_actor(self, name: str, namespace: str) -> ActorHandle:
        """The living actor of this name; ActorNotFoundError."""
        self._check_room()
        if not name:
            raise OptionError("GetActor needs a name.")
        actor, facts = self._session.requests.query("actor_named", name, namespace or self.namespace)
        handle = self._actors[actor] = ActorHandle.of(self._session, actor, facts)
        return handle

    def call_actor(
        self,
        actor: bytes,
        method: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        returns: int | None,
    ) -> list[bytes]:
        """Call a method: the ids of its results."""
        self._check_room()
        handle = self._actor(actor)
        methods = handle._handle["methods"]
        if method not in methods:
            known = ", ".join(sorted(name for name in methods if not name.startswith("_")))
            raise OptionError(f"The actor has no method {method!r}; it has {known or 'none'}.")
        about = _method(methods[method])
        if returns is not None:
            about = about._replace(returns=returns)
        elif about.returns < 0:
            raise OptionError(f"{method}() is a generator: give num_returns, the number of values it yields.")
        return self._keep(_listed(ActorMethod(handle, method, about).remote(*args, **kwargs)))

    def kill_actor(self, actor: bytes, restart: bool) -> None:
        """End an actor at once."""
        self._actor(actor)._channel.kill(not restart)

    # -- objects ---------------------------------------------------------------------------------------

    def put(self, pickle: bytes, buffers: Sequence[memoryview]) -> bytes:
        """Store a value that is pickled already. ObjectStoreFullError."""
        self._check_room()
        objects = self._session.objects
        packed = serialization.Packed(pickle, buffers, ())
        if packed_size(packed) >= INLINE_LIMIT:
            entry = self._session.writer.put_packed(packed, ())
        else:
            entry = Entry(self._session.new_object_id(), owned=True)
            entry.state, entry.payload = VALUE, inline(packed)
        return self._keep([objects.new_ref(entry)])[0]

    def put_json(self, text: bytes) -> bytes:
        """Have a worker store what JSON says. Text that is no JSON gives an object that is an error."""
        self._check_room()
        return self._keep([self._aside(plain_call.read_json, text, None)])[0]

    def write_json(self, oid: bytes) -> ObjectRef:
        """Have a worker tell a value in JSON: a ref for `parts`, with the text as its one buffer."""
        return self._aside(plain_call.write_json, self.ref(oid), None)

    def _aside(self, function: Callable[..., Any], arg: Any, env: Mapping[str, Any] | None) -> ObjectRef:
        # It takes no CPU of the cluster: somebody waits for it, and it may be that all are taken for hours.
        options = TaskOptions.build({"num_cpus": 0, "runtime_env": env})
        digest = repr((function.__name__, env)).encode()
        return self._submit(digest, function, (arg,), {}, options)[0]

    def when_known(self, ref: ObjectRef, call: Callable[[], object]) -> None:
        """Have `call()` run once, in any thread, when the object has a value or an error."""
        self._session.objects.when_ready(ref._entry, call)

    def forget(self, refs: Sequence[ObjectRef], call: Callable[[], object]) -> None:
        """Undo `when_known` where `call` has not run."""
        with self._session.objects.lock:
            for ref in refs:
                ref._entry.remove_waiter(call)

    def is_known(self, ref: ObjectRef) -> bool:
        """Whether the object has a value or an error."""
        return ref._entry.state != PENDING

    def error_of(self, ref: ObjectRef) -> ErrorSummary | None:
        """What a known object tells if it is an error."""
        entry = ref._entry
        return read_summary(entry.payload) if entry.state == ERROR else None

    def parts(self, ref: ObjectRef) -> Parts:
        """The pickle and buffers of a known value; those of a big one are views of shared memory."""
        reader, entry = self._session.reader, ref._entry
        while entry.state == BLOCK:
            found = reader.block_parts(entry)
            if found is not None:
                return found
            reader.wait_for([entry], None)
        if entry.state == ERROR:
            # It was lost between the look at it and the reading.
            raise ObjectLostError(read_summary(entry.payload).message, object_id=entry.id)
        payload = entry.payload
        return payload if type(payload) is tuple else (payload, ())


def _method(fields: Sequence[Any]) -> Method:
    # To retry by its type what a method raised, its owner would have to unpickle that, and the types.
    return Method(*fields)._replace(retry_exceptions=False)


def _listed(submitted: Any) -> list[ObjectRef]:
    if submitted is None:
        return []
    return submitted if isinstance(submitted, list) else [submitted]


def _name_of(code: Any) -> str:
    if isinstance(code, plain_call.ImportedCode):
        return code.path.rpartition(":")[2] or code.path
    return str(getattr(code, "__name__", "function"))


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stands for a signature: the parameters' names are not known here."""
