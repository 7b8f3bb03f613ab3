"""The node's object store in its event loop: does what the ledger decides.

What the agent must call
------------------------
- `connect` and `disconnect` for each client, and `handlers` for their messages.
- `join`, when the node has a number and neighbours, before the first client connects; never for a node that is alone.
- `serve` with each channel of another node whose first message is ``("pull", node)``.
- `borrow` when an actor is ready and still uses what its constructor was given.
- `keep` when a client of this node makes a detached actor, and `let_go_of` when that is gone for good.
Before it passes on what a worker writes to a client of another node, it reads what that worker has written to its own
socket: a hold must be counted before the other client may act on it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from rustray.driver import failures
from rustray.driver.entry import BLOCK, ERROR
from rustray.errors import ObjectStoreFullError
from rustray.model.ids import NODE_SHIFT, home_of
from rustray.node.big_buffers import keep_big_buffers
from rustray.node.transfer import Dial, Place, Puller, Source
from rustray.store import actions as act
from rustray.store.errors import SpillFailed, StoreError
from rustray.store.ledger import Ledger
from rustray.store.segments import create_segment, default_capacity, shm_directory
from rustray.store.spill import SpillDirectory, delete, read_back
from rustray.wire.frames import Message

if TYPE_CHECKING:
    from rustray.node.neighbours import Neighbours
    from rustray.wire.channel import Channel

log = logging.getLogger(__name__)

Send = Callable[..., None]

PATIENCE_S = 3.0
"""Seconds for which who wants to write a value waits for room that others keep, and after which those who want to read
what finds no room are told: that arrays have been collected and references dropped takes a moment to be told."""
ASK_OWNERS_S = 5.0
FORGET_AFTER_S = 10.0
"""Seconds for which what a dead node held stays held: it may have handed that on just before."""


class StoreService:
    """Segments, spill files and the ledger of one node.

    Parameters
    ----------
    capacity: bytes, None for `default_capacity`.
    spill_folder: where objects go that memory has no room for.
    send: send(client, *messages, fds=()), ignored for a client that is gone.

    Attributes
    ----------
    spilled, restored: bytes written to spill files and read back into memory so far.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, capacity: int | None, spill_folder: str, send: Send
    ) -> None:
        self._loop = loop
        self._send = send
        self._directory = shm_directory()
        self._capacity = default_capacity(self._directory)
        if capacity:
            space = os.statvfs(self._directory)
            self._capacity = min(capacity, space.f_bavail * space.f_frsize * 9 // 10)
            if self._capacity < capacity:
                log.warning(
                    "%s has no room for an object store of %.0f MiB, so it has %.0f MiB; the rest goes to disk",
                    self._directory,
                    capacity / 2**20,
                    self._capacity / 2**20,
                )
        self.ledger = Ledger(self._capacity)
        self._segments: dict[int, tuple[int, int]] = {}
        self._spill = SpillDirectory(spill_folder)
        self.spilled = self.restored = 0
        self._mapped: dict[int, set[int]] = {}
        self._clients: set[int] = set()
        self._keeper: int | None = None
        self._kept: set[bytes] = set()
        """Actors that it holds."""
        self._asking: asyncio.TimerHandle | None = None
        self._delayed: dict[tuple[int, int], asyncio.TimerHandle | None] = {}
        """When to refuse a (client, request) that waits for others to make room; None: as soon as it waits for them."""
        self._short: dict[bytes, asyncio.TimerHandle] = {}
        """When to look again after objects that wait for room."""
        self._neighbours: Neighbours | None = None
        self._dial: Dial | None = None
        self._pullers: dict[int, Puller] = {}
        self._sources: dict[int, list[Source]] = {}
        """By the node that pulls: the channels it has opened."""
        # Faulting in a segment and writing a spill file take long; one thread keeps them in order.
        self._io = ThreadPoolExecutor(1, "rustray-store")
        self.handlers: dict[str, Callable[..., None]] = {
            "alloc": lambda c, request, size: self.do(self.ledger.reserve(c, request, size)),
            "seal": lambda c, oid, s, o, n, contains, holder: self.do(
                self.ledger.seal(c, oid, s, o, n, tuple(contains), holder)
            ),
            "abandon": lambda c, segment, offset: self.do(self.ledger.abandon(c, segment, offset)),
            "declare": lambda c, oid: self.do(self.ledger.declare(c, oid)),
            "publish": lambda c, oid, status, payload, contains: self.do(
                self.ledger.publish(c, oid, status, payload, tuple(contains))
            ),
            "retract": lambda c, oids: self.do(self.ledger.retract(c, oids)),
            "want": lambda c, oid: self.do(self.ledger.want(c, oid)),
            "unread": lambda c, oid: self.do(self.ledger.unread(c, oid)),
            "hold": lambda c, oids: self.do(self.ledger.hold(c, oids)),
            "release": lambda c, oids: self.do(self.ledger.release(c, oids)),
            "hold_for": lambda c, other, oids: self.do(self.ledger.hold_for(c, other, oids)),
            "prefetch": lambda c, node, oids: self.do(self.ledger.prefetch(c, node, oids)),
            "map": self._on_map,
        }

    # -- other nodes -----------------------------------------------------------------------------------

    def join(self, number: int, neighbours: Neighbours, others: Iterable[int], dial: Dial) -> None:
        """This node is `number` of a cluster in which the nodes `others` are up."""
        keep_big_buffers()
        self._neighbours = neighbours
        self._dial = dial
        self.ledger.federation.join(number, others)
        neighbours.handlers["objects"] = lambda node, messages: self.do(
            self.ledger.federation.told(node, messages)
        )
        neighbours.on_down.append(self._on_node_down)

    def _on_node_down(self, node: int) -> None:
        self.do(self.ledger.federation.down(node))
        puller = self._pullers.pop(node, None)
        if puller is not None:
            puller.close("its node is gone")
        for source in self._sources.pop(node, ()):
            source.close()
        self._loop.call_later(FORGET_AFTER_S, self._forget, node)

    def _forget(self, node: int) -> None:
        self.do(self.ledger.federation.forget(node))

    def serve(self, channel: Channel, hello: Message) -> None:
        """Another node has opened a channel to pull objects by. hello: ("pull", its number)."""
        node = int(hello[1])
        if self._neighbours is None or self._neighbours.is_down(node):
            channel.close(f"node {node} does not belong to the cluster any more")
            return
        sources = self._sources.setdefault(node, [])
        sources[:] = [source for source in sources if not source.closed]
        sources.append(Source(channel, partial(self._place_for, node)))

    def sent_to(self, node: int) -> int:
        """Bytes of objects that a node has pulled by the channels that it has now."""
        return sum(source.sent for source in self._sources.get(node, ()))

    def _place_for(self, node: int, oid: bytes) -> Place | None:
        place = self.ledger.federation.place_for(node, oid)
        if place is None:
            return None
        segment, offset, size = place
        return self._segments[segment][0], offset, size

    def _pull(self, action: act.PullIn) -> None:
        puller = self._pullers.get(action.node)
        if puller is None:
            assert self._dial is not None and self._neighbours is not None
            hello = ("pull", self._neighbours.number)
            puller = Puller(self._loop, partial(self._dial, action.node, hello), self._on_pulled)
            self._pullers[action.node] = puller
        puller.pull(action.oid, (self._segments[action.segment][0], action.offset, action.size))

    def _on_pulled(self, oid: bytes, trouble: str | None) -> None:
        federation = self.ledger.federation
        self.do(federation.pulled(oid) if trouble is None else federation.pull_failed(oid, trouble))

    def evacuate(self, again: bool) -> set[bytes]:
        """The node is about to leave: the objects of other nodes that would still be lost with it. See `Federation`."""
        self.do(self.ledger.federation.evacuate(again))
        return self.ledger.federation.left()

    def borrow(self, client: int, actor: bytes, oids: Iterable[bytes]) -> None:
        """The actor, which `client` hosts, goes on using these of its constructor's arguments."""
        self.do(self.ledger.borrow(client, actor, list(oids)))

    def keep(self, actor: bytes) -> None:
        """An actor may be started again when its creator is gone, or has no handle any more: what its constructor was
        given, which the actor's own object contains, is held by the node itself."""
        if self._keeper is None:
            # Nobody's number, as the very last one is: see `store.prefetch`.
            self._keeper = (home_of(actor) + 1 << NODE_SHIFT) - 2
            self.do(self.ledger.connect(self._keeper))
        if actor not in self._kept:
            self._kept.add(actor)
            self.do(self.ledger.hold(self._keeper, [actor]))

    def let_go_of(self, actor: bytes) -> None:
        """The actor is gone for good."""
        if self._keeper is not None and actor in self._kept:
            self._kept.discard(actor)
            self.do(self.ledger.release(self._keeper, [actor]))

    # -- clients ---------------------------------------------------------------------------------------

    def connect(self, client: int) -> None:
        """A client has come."""
        if self._asking is None:
            self._asking = self._loop.call_later(ASK_OWNERS_S, self._ask_owners)
        self._clients.add(client)
        self.do(self.ledger.connect(client))

    def disconnect(self, client: int) -> None:
        """A client has gone, with all that it held."""
        self._clients.discard(client)
        self.do(self.ledger.disconnect(client))
        for clients in self._mapped.values():
            clients.discard(client)
        for key in [key for key in self._delayed if key[0] == client]:
            self._end_delay(key)

    def _ask_owners(self) -> None:
        self.do(self.ledger.ask_owners())
        self._asking = self._loop.call_later(ASK_OWNERS_S, self._ask_owners) if self._clients else None

    def _on_delayed(self, action: act.Delayed) -> None:
        key = action.client, action.request
        if key not in self._delayed:
            self._delayed[key] = self._loop.call_later(PATIENCE_S, self._refuse, key)
        elif self._delayed[key] is None:
            self._loop.call_soon(self._refuse, key)

    def _refuse(self, key: tuple[int, int]) -> None:
        """A request has waited long enough. One for which something is being spilled waits for that too."""
        if key in self._delayed:
            self._delayed[key] = None
            self.do(self.ledger.refuse(*key))

    def _end_delay(self, key: tuple[int, int]) -> None:
        timer = self._delayed.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _look_after(self, oid: bytes) -> None:
        """An object has waited for room: tell those who want it why, or that there is no hope."""
        del self._short[oid]
        outlook = self.ledger.outlook(oid)
        if outlook is None:
            return
        if outlook.hopeless:
            self.do(self.ledger.give_up(oid))
            return
        for client, text in outlook.told:
            self._send(client, ("short", oid, text))
        self._short[oid] = self._loop.call_later(PATIENCE_S, self._look_after, oid)

    def _on_map(self, client: int, request: int, segment: int) -> None:
        fd, size = self._segments[segment]
        self._mapped.setdefault(segment, set()).add(client)
        self._send(client, ("segment", request, size), fds=[fd])

    def do(self, actions: Iterable[act.Action]) -> None:
        """Carry out what the ledger asks."""
        told: dict[int, list[Message]] = {}
        for action in actions:
            kind = type(action)
            if kind is act.Deliver:
                self._deliver(action)  # type: ignore[arg-type]
            elif kind is act.Freed:
                self._send(action.owner, ("freed", action.oids))  # type: ignore[union-attr]
            elif kind is act.Granted:
                if self._delayed:
                    self._end_delay((action.client, action.request))  # type: ignore[union-attr]
                self._send(
                    action.client,  # type: ignore[union-attr]
                    ("block", action.request, action.segment, action.offset, action.size),  # type: ignore[union-attr]
                )
            elif kind is act.Tell:
                told.setdefault(action.node, []).append(action.message)  # type: ignore[union-attr]
            else:
                self._do_rare(action)
        if told:
            assert self._neighbours is not None
            for node, messages in told.items():
                self._neighbours.send(node, ("objects", messages))

    def _deliver(self, action: act.Deliver) -> None:
        status, payload = action.status, action.payload
        if status == act.STORE_FULL:
            error = failures.typed(ObjectStoreFullError(str(payload)))
            self._send(action.client, ("no_room", action.oid, error))
            return
        if status == act.IN_BLOCK:
            status = BLOCK
        elif status == act.OWNER_DIED:
            status, payload = ERROR, failures.owner_died(action.oid)
        elif status == act.LOST:
            status, payload = ERROR, failures.object_lost(action.oid)
        self._send(action.client, ("object", action.oid, status, payload))

    def _do_rare(self, action: act.Action) -> None:
        if isinstance(action, act.Full):
            self._end_delay((action.client, action.request))
            self._send(action.client, ("full", action.request, action.text))
        elif isinstance(action, act.Delayed):
            self._on_delayed(action)
        elif isinstance(action, act.Recover):
            self._send(action.owner, ("recover", action.oid))
        elif isinstance(action, act.CreateSegment):
            self._later(self._create, action)
        elif isinstance(action, act.DropSegment):
            os.close(self._segments.pop(action.segment)[0])
            for client in self._mapped.pop(action.segment, ()):
                self._send(client, ("unmap", action.segment))
        elif isinstance(action, act.SpillOut):
            self._later(self._spill_out, action)
        elif isinstance(action, act.RestoreIn):
            self._later(self._restore, action)
        elif isinstance(action, act.PullIn):
            self._pull(action)
        elif isinstance(action, act.Short):
            if action.oid not in self._short:
                self._short[action.oid] = self._loop.call_later(PATIENCE_S, self._look_after, action.oid)
        elif isinstance(action, act.DropSpill):
            self._io.submit(delete, action.path)

    def _later(self, work: Callable[[Any], Callable[[], Sequence[act.Action]]], action: Any) -> None:
        """Do `work(action)` in the I/O thread; what it returns tells the ledger, in the loop."""

        def run() -> None:
            tell = work(action)
            try:
                self._loop.call_soon_threadsafe(lambda: self.do(tell()))
            except RuntimeError:
                pass  # the loop has ended: the node is going down

        self._io.submit(run)

    def _create(self, action: act.CreateSegment) -> Callable[[], Sequence[act.Action]]:
        try:
            fd = create_segment(self._directory, action.size)
        except (StoreError, OSError) as error:
            text = str(error)
            return lambda: self.ledger.segment_failed(action.segment, text)

        def ready() -> Sequence[act.Action]:
            self._segments[action.segment] = (fd, action.size)
            return self.ledger.segment_ready(action.segment)

        return ready

    def _spill_out(self, action: act.SpillOut) -> Callable[[], Sequence[act.Action]]:
        try:
            fd = self._segments[action.segment][0]
            path = self._spill.write(action.oid, fd, action.offset, action.size)
        except (SpillFailed, OSError) as error:
            text = str(error)
            return lambda: self.ledger.spill_failed(action.oid, text)
        self.spilled += action.size
        return lambda: self.ledger.spilled(action.oid, path)

    def _restore(self, action: act.RestoreIn) -> Callable[[], Sequence[act.Action]]:
        try:
            read_back(action.path, self._segments[action.segment][0], action.offset, action.size)
        except (StoreError, OSError) as error:
            text = str(error)
            return lambda: self.ledger.restore_failed(action.oid, text)
        self.restored += action.size
        return lambda: self.ledger.restored(action.oid)

    def close(self) -> None:
        """Let all memory and files go."""
        if self._asking is not None:
            self._asking.cancel()
        for timer in (*self._short.values(), *self._delayed.values()):
            if timer is not None:
                timer.cancel()
        for puller in self._pullers.values():
            puller.abandon()
        for sources in self._sources.values():
            for source in sources:
                source.close()
        self._io.shutdown(wait=True, cancel_futures=True)
        for fd, _size in self._segments.values():
            os.close(fd)
        self._segments.clear()
        self._spill.close()
