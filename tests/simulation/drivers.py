"""A driver: connects to its node, submits tasks, makes and calls actors, writes facts, and ends sooner or later."""

from __future__ import annotations

import hashlib
import marshal
from typing import TYPE_CHECKING, Any

from rustray.driver.actor_channel import ActorChannel
from rustray.model import ids
from rustray.wire.versions import HERE
from tests.simulation.clients import Session
from tests.simulation.clock import VirtualLoop
from tests.simulation.machine import Connection

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.nodes import SimulatedNode

HANDLE = {
    "name": "Actor",
    "methods": {},
    "retries": 0,
    "concurrent": False,
    "groups": [],
    "max_pending": -1,
}
NAMESPACE = "sim"


class SimulatedDriver:
    """One driver process on the machine of `node`.

    Parameters
    ----------
    until: virtual time at which it leaves; 0 to stay.
    """

    def __init__(
        self, cluster: Cluster, node: SimulatedNode, name: str, busy_until: float, until: float
    ) -> None:
        self.cluster = cluster
        self.node = node
        self.name = name
        self.random = cluster.clock.random
        self.loop = VirtualLoop(cluster.clock, name)
        self.loop.host = node
        self.loop.on_error = cluster.on_loop_error
        self.busy_until = busy_until
        self.session: Session | None = None
        self.alive = True
        self.finishing = False
        self.welcome = False
        self.actors: dict[bytes, dict[str, Any]] = {}
        self.unacknowledged = 0
        self._keys = 0
        self._classes: list[tuple[bytes, dict[str, Any], int]] = []
        node.drivers.append(self)
        self._connect()
        if until:
            self.loop.call_at(until, self.leave)

    # -- life

    def _connect(self) -> None:
        kernel = self.cluster.kernel
        ours, theirs = kernel.socketpair()
        if not self.node.connect(theirs):
            ours.close()
            theirs.close()
            self.loop.call_later(0.2, self._connect)
            return
        session = self.session = Session(self.cluster, self.loop, Connection(ours, takes_fds=True))
        session.on_welcome = self._on_welcome
        session.on_end = lambda: self.die("its node has closed the connection")
        info = {"env": {}, "cwd": "/", "sys_path": [], "prestart": self.random.random() < 0.3}
        options = {"weight": self.random.choice((1.0, 1.0, 2.0))}
        session.tell(
            ("hello", HERE, "driver", {**info, "namespace": NAMESPACE, "name": self.name, "options": options})
        )

    def leave(self) -> None:
        """It ends in order or is killed: the node sees the same."""
        self.die("it leaves")

    def die(self, why: str) -> None:
        if not self.alive:
            return
        self.alive = False
        self.cluster.trace("driver", self.name, f"ends: {why}")
        self.loop.kill()
        if self.session is not None:
            self.session.close()
        if self in self.node.drivers:
            self.node.drivers.remove(self)

    def _on_welcome(self) -> None:
        assert self.session is not None
        self.cluster.trace("driver", self.name, f"is client {self.session.client:x}, {self.session.info}")
        self.cluster.checks.on_driver(self)
        self.welcome = True
        random = self.random
        for number in range(random.randint(1, 3)):
            cpus = random.choice((0.5, 1.0, 1.0, 1.0, 2.0))
            resources = {"CPU": cpus}
            if random.random() < 0.05:
                resources["gold"] = 1.0
            retries = random.choice((0, 0, 1, 3, -1))
            self._classes.append(
                (self._key(b"class", number), self._spec(f"f{number}", resources, retries), retries)
            )
        self._act()

    def _key(self, *parts: Any) -> bytes:
        assert self.session is not None
        text = repr((self.session.info["job"], *parts))
        return hashlib.blake2b(text.encode(), digest_size=8).digest()

    def _spec(self, name: str, resources: dict[str, float], retries: int) -> dict[str, Any]:
        return {
            "name": f"{self.name}.{name}",
            "resources": resources,
            "env_key": b"",
            "runtime_env": None,
            "retriable": retries != 0,
        }

    @property
    def idle(self) -> bool:
        """Whether all that it has asked for is answered."""
        session = self.session
        return self.welcome and session is not None and not session.tasks.waiting and not session._requests

    # -- what it does

    def _act(self) -> None:
        if self.loop.time() >= self.busy_until:
            return
        random = self.random
        deeds = (self._submit, self._submit, self._submit, self._create, self._call, self._call, self._put)
        random.choice((*deeds, self._call_named, self._kill, self._drop, self._submit_calling))()
        self.loop.call_later(random.expovariate(2.0), self._act)

    def _submit(self) -> None:
        assert self.session is not None
        random = self.random
        key, spec, retries = random.choice(self._classes)
        for _ in range(random.choice((1, 1, 3, 10))):
            self.session.submit(key, spec, self._work(retries), retries, _nothing)

    def _work(self, retries: int) -> Any:
        random = self.random
        seconds = random.choice((0.001, 0.01, 0.1, 1.0)) * random.uniform(0.5, 2.0)
        chance = random.random()
        if chance < 0.05:
            return "error", seconds, None
        if chance < 0.08 and retries >= 0:
            return "crash", seconds, None
        if chance < 0.18:
            spec = self._spec("nested", {"CPU": 1.0}, retries)
            return (
                "nest",
                seconds,
                (self._key("nested", spec["retriable"]), spec, ("run", 0.05, None), retries),
            )
        return "run", seconds, None

    def _submit_calling(self) -> None:
        """A task that calls an actor of ours."""
        if self.actors and self.session is not None:
            actor, spec = self.random.choice(list(self.actors.items()))
            key, class_spec, retries = self.random.choice(self._classes)
            work = "call", 0.01, (actor, spec["handle"], ("run", 0.01, None))
            self.session.submit(key, class_spec, work, retries, _nothing)

    def _create(self) -> None:
        assert self.session is not None
        if len(self.actors) >= 4:
            return
        random = self.random
        actor = ids.make_object_id(self.session.client, self.session.next_number(), 0)
        name = f"name{random.randint(0, 3)}" if random.random() < 0.4 else ""
        complete = random.random() < 0.8
        args = _constructor(random.uniform(0.001, 0.5), random.random() < 0.05)
        detached = random.random() < 0.25  # one that lives for ever must not keep a slot for ever
        spec = {
            "name": "Actor",
            "registered": name,
            "namespace": NAMESPACE,
            "detached": detached,
            "get_if_exists": random.random() < 0.5,
            "max_restarts": random.choice((0, 1, 3, -1)),
            "resources": {"CPU": 0.0 if detached else random.choice((0.0, 0.0, 1.0))},
            "runtime_env": None,
            "env_key": b"",
            "handle": HANDLE,
            "code": b"",
            "args": args if complete else None,
            "deps": None,
            "complete": complete,
        }
        self.cluster.checks.on_actor_made(self, actor, spec)
        if name:
            self.session.request(
                "create_actor", actor, spec, done=lambda ok, made: self._made(actor, spec, ok, made)
            )
        else:
            self.session.tell(("create_actor", 0, actor, spec))
            self._own(actor, spec)
        if not complete:
            delay = random.uniform(0.0, 3.0)
            self.loop.call_later(delay, self.session.tell, ("actor_arguments", actor, args, None))

    def _made(self, actor: bytes, spec: dict[str, Any], ok: bool, made: Any) -> None:
        if ok and made[0] == actor:
            self._own(actor, spec)
        elif ok:
            self.call(made[0], made[1])

    def _own(self, actor: bytes, spec: dict[str, Any]) -> None:
        assert self.session is not None
        self.session.actors.new_entry(actor, ())
        self.actors[actor] = spec
        if self.finishing:
            self.free_slots()

    def free_slots(self) -> None:
        """Actors that would keep slots for ever end, so that all tasks can be run."""
        self.finishing = True
        for actor, spec in self.actors.items():
            if spec["resources"]["CPU"]:
                self.channel(actor, spec["handle"]).kill(no_restart=True)

    def channel(self, actor: bytes, handle: dict[str, Any]) -> ActorChannel:
        assert self.session is not None
        return self.session.actors.channel(self.session.actors.entry_of(actor), handle)

    def call(self, actor: bytes, handle: dict[str, Any]) -> None:
        """Call an actor a few times."""
        assert self.session is not None
        random = self.random
        channel = self.channel(actor, handle)
        for _ in range(random.choice((1, 1, 5))):
            kind = random.choice(("run",) * 18 + ("crash", "exit", "error"))
            work = kind, random.choice((0.001, 0.01, 0.2)) * random.uniform(0.5, 2.0), None
            retries = random.choice((0, 0, 1)) if kind != "crash" else 0
            self.session.call(channel, work, retries, _nothing)

    def _call(self) -> None:
        if self.actors:
            actor, spec = self.random.choice(list(self.actors.items()))
            self.call(actor, spec["handle"])

    def _call_named(self) -> None:
        """Look an actor up by its name, and call it."""
        assert self.session is not None
        name = f"name{self.random.randint(0, 3)}"

        def found(ok: bool, value: Any) -> None:
            if ok:
                self.call(*value)

        self.session.request("query", "actor_named", (name, NAMESPACE), done=found)

    def _kill(self) -> None:
        if self.actors and self.session is not None:
            actor = self.random.choice(list(self.actors))
            spec = self.actors[actor]
            no_restart = self.random.random() < 0.5
            self.channel(actor, spec["handle"]).kill(no_restart)

    def _drop(self) -> None:
        """The last handle of an actor goes."""
        assert self.session is not None
        for actor in list(self.actors):
            spec = self.actors[actor]
            channel = self.channel(actor, spec["handle"])
            if not channel.unanswered and self.random.random() < 0.3:
                del self.actors[actor]
                self.session.actors.on_forgotten(actor)
                self.session.actors.on_freed(actor)
                return

    def _put(self) -> None:
        """Write a fact that nobody else writes: it must be new, and it must be there once we are told so."""
        assert self.session is not None
        self._keys += 1
        key = f"{self.name}/{self._keys}".encode()

        def done(ok: bool, added: Any) -> None:
            self.cluster.checks.on_written(self, key, ok, added)

        self.session.request("query", "kv_put", ("sim", key, b"v", False), done=done)


def _constructor(seconds: float, fails: bool) -> bytes:
    return marshal.dumps((seconds, fails))


def _nothing(_ok: bool, _value: Any) -> None:
    """A result that only has to come."""
