"""A node's way to the leading head: which head to try, when, and what must reach it. No clock and no I/O here.

Rule 1. One channel at a time. The heads are tried in turn, the one said to lead next, the one just lost last; after a
        round without success there is a pause, which grows to `MAX_PAUSE_S`.
Rule 2. A batch of a head begins with its epoch. A head of an older epoch than the highest that this node has followed,
        or has heard of from another node, has been deposed: nothing that it says is done.
Rule 3. A message that changes the cluster's facts is kept until the head has acknowledged it, and sent again, under
        the same number, after each rejoin. All else is part of the report that comes with a join.
Rule 4. Head and node tell each other that they live every `BEAT_S`. After a silence of `SILENCE_S` the node looks for
        another leader: sooner than the head takes the node for dead, so that a head whose machine is cut off costs no
        more than a moment. To rejoin a head that was only slow costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rustray.wire.frames import Message
from rustray.wire.node_words import REPORTED

BEAT_S = 0.5
SILENCE_S = 1.5
MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 0.5
DIAL_S = 3.0
"""Seconds for a dial, whose own limit is shorter, before it is given up for hung."""
JOIN_S = 5.0
"""Seconds within which a head must answer a join: a new leader first commits that it leads."""

NO_LEADER = " and knows of no head that does; more than half of the heads must be up"

SEARCHING, DIALLING, JOINING, JOINED, OVER = "searching", "dialling", "joining", "joined", "over"


@dataclass(frozen=True, slots=True)
class Dial:
    """Try the head at `address`; `on_open`, `on_unavailable` or `on_refused` follows."""

    address: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send on the open channel."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """Close the open channel, and give up a dial that goes on."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The node is part of the cluster, under `number`; `nodes` are (number, name, address) of all that are."""

    number: int
    epoch: int
    nodes: tuple[tuple[int, str, str], ...]
    heads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deliver:
    """The head says this to the node."""

    message: Message


@dataclass(frozen=True, slots=True)
class Lost:
    """No head is heard: what runs goes on, and what needs the head waits."""

    reason: str


@dataclass(frozen=True, slots=True)
class Removed:
    """The cluster took this node for dead: it must end its workers, forget everything, and join as a new one."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No head will ever take this node. Nothing more is tried. `differs`: "token", "version", or "" for what else."""

    reason: str
    differs: str = ""


Action = Dial | Send | Close | Joined | Deliver | Lost | Removed | Refused


class HeadSession:
    """See the module.

    Parameters
    ----------
    addresses: "host:port" of the heads known at the start.
    join: makes the ("join", ...) message, given the node's number (0: none yet) and the highest epoch seen.
    load: what goes with each beat.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        join: Callable[[int, int], Message],
        load: Callable[[], dict[str, Any]],
    ) -> None:
        self.addresses = list(dict.fromkeys(addresses))
        self.number = 0
        self.epoch = 0
        self.state = SEARCHING
        self.head = ""
        """Address of the head that is tried now, or that this node is joined to."""
        self.trouble = ""
        """Why there is no connection now, for people."""
        self._join = join
        self._load = load
        self._tries: list[str] = []
        self._failed: set[str] = set()
        """Those of this round that did not answer: who says that one of them leads does not know yet."""
        self._pause = MIN_PAUSE_S
        self._next_try = 0.0
        self._heard = self._beaten = self._asked = 0.0
        self._counter = 0
        self._kept: dict[int, Message] = {}
        self._held_back: list[Message] = []

    # -- what the node says ------------------------------------------------------------------------------

    def send(self, message: Message) -> list[Action]:
        """To the head: now, or as soon as there is one."""
        reported = message[0] in REPORTED
        if not reported:
            self._counter += 1
            self._kept[self._counter] = message
            message = ("keep", self._counter, message)
        if self.state == JOINED:
            return [Send((message,))]
        if self.state == JOINING and reported:
            self._held_back.append(message)  # the report that is on its way does not have it
        return []

    @property
    def unacknowledged(self) -> int:
        """Messages that no head has acknowledged yet."""
        return len(self._kept)

    def unacknowledged_of(self, op: str) -> list[Message]:
        """Those of one kind, the oldest first."""
        return [message for message in self._kept.values() if message[0] == op]

    # -- what happens ------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Action]:
        """Time has passed."""
        if self.state == SEARCHING and now >= self._next_try:
            return self._try_next(now)
        if self.state == DIALLING and now - self._asked > DIAL_S:
            return [Close(), *self.on_unavailable(now, f"dialling {self.head} took more than {DIAL_S:g} s")]
        if self.state == JOINING and now - self._asked > JOIN_S:
            return [Close(), *self._lose(now, f"{self.head} did not answer the join within {JOIN_S:g} s")]
        if self.state == JOINED:
            if now - self._heard > SILENCE_S:
                reason = f"the head at {self.head} has been silent for {SILENCE_S:g} s"
                return [Close(), *self._lose(now, reason)]
            if now - self._beaten >= BEAT_S:
                self._beaten = now
                return [Send((("beat", self._load()),))]
        return []

    def on_open(self, now: float) -> Message:
        """The dialled channel is open; returns its first message."""
        self.state = JOINING
        self._asked = now
        self._held_back.clear()
        return self._join(self.number, self.epoch)

    def on_unavailable(self, now: float, reason: str) -> list[Action]:
        """Nobody answers at the dialled address."""
        self._failed.add(self.head)
        return self._lose(now, reason)

    def on_refused(self, now: float, reason: str, wrong_token: bool = False) -> list[Action]:
        """The dialled head does not speak with us at all."""
        if self.number == 0:
            self.state = OVER
            return [Refused(reason, "token" if wrong_token else "")]
        return self._lose(now, reason)  # we were one of them: this is another program at a head's address

    def on_closed(self, now: float, reason: str) -> list[Action]:
        """The channel has ended by itself."""
        return self._lose(now, reason) if self.state in (JOINING, JOINED) else []

    def on_messages(self, now: float, messages: Sequence[Message]) -> list[Action]:
        """A batch of the head."""
        actions: list[Action] = []
        for at, message in enumerate(messages):
            if self.state not in (JOINING, JOINED):
                break
            if message[0] == "epoch" and message[1] < self.epoch:
                return [*actions, Close(), *self._refuse(now, message[1], messages[at + 1 :])]
            self._heard = now
            actions += self._on_message(now, message)
        return actions

    def _refuse(self, now: float, epoch: int, orders: Sequence[Message]) -> list[Action]:
        """What a deposed head says is not done: another leads, and is looked for."""
        told = ", ".join(sorted({str(order[0]) for order in orders}))
        since = f"is of epoch {epoch}, and there has been {self.epoch}"
        return self._lose(now, f"the head at {self.head} {since}: refused {told}")

    def hear_epoch(self, epoch: int) -> None:
        """Another node knows the leader of this epoch: what older ones say is refused from now on."""
        self.epoch = max(self.epoch, epoch)

    # -- messages of the head ----------------------------------------------------------------------------

    def _on_message(self, now: float, message: Message) -> list[Action]:
        op, *fields = message
        if op == "epoch":
            (self.epoch,) = fields
        elif op == "ack":
            self._kept.pop(fields[0], None)
        elif op == "joined":
            return self._on_joined(now, *fields)
        elif op == "refused":
            return [Close(), *self._on_refusal(now, *fields)]
        elif op == "beat":
            return [Send((("echo", *fields),))]  # the head measures how long that takes
        elif self.state == JOINED:
            return [Deliver(message)]
        return []

    def _on_joined(
        self,
        now: float,
        number: int,
        epoch: int,
        nodes: Sequence[tuple[int, str, str]],
        heads: Sequence[str],
    ) -> list[Action]:
        self.state = JOINED
        self.number, self.epoch = number, max(epoch, self.epoch)
        self.addresses = list(dict.fromkeys((*heads, *self.addresses)))
        self.trouble = ""
        self._pause, self._tries = MIN_PAUSE_S, []
        self._beaten = now
        kept = [("keep", n, message) for n, message in self._kept.items()]
        messages = (*kept, *self._held_back)
        self._held_back.clear()
        known = tuple((n, name, address) for n, name, address in nodes)
        joined = Joined(number, self.epoch, known, tuple(heads))
        return [joined, Send(messages)] if messages else [joined]

    def _on_refusal(self, now: float, code: str, text: str) -> list[Action]:
        if code == "not_leader":
            actions = self._lose(now, f"{self.head} does not lead{'' if text else NO_LEADER}")
            if text and text not in self._failed:
                # Now if it has not been tried in this round, else after the pause.
                if text in self._tries or text not in self.addresses:
                    self._next_try = now
                self._tries = [text, *(address for address in self._tries if address != text)]
                self.addresses = list(dict.fromkeys((*self.addresses, text)))
            return actions
        if code == "unable":
            return self._lose(now, text)
        if code == "removed":
            if not self.number:
                return self._lose(now, text)  # an earlier try to join is being forgotten
            self.number = 0
            self._kept.clear()
            self._tries, self._next_try = [self.head], now
            self.state = SEARCHING
            return [Removed()]
        self.state = OVER
        return [Refused(text, code)]

    # -- finding a head ----------------------------------------------------------------------------------

    def _try_next(self, now: float) -> list[Action]:
        if not self._tries:
            self._tries = sorted(self.addresses, key=lambda address: address == self.head)
            self._failed.clear()
        self.head = self._tries.pop(0)
        self.state = DIALLING
        self._asked = now
        return [Dial(self.head)]

    def _lose(self, now: float, reason: str) -> list[Action]:
        was_joined = self.state == JOINED
        self.state = SEARCHING
        self.trouble = reason
        self._held_back.clear()
        self._next_try = now
        if not was_joined and not self._tries:
            self._next_try += self._pause
            self._pause = min(2 * self._pause, MAX_PAUSE_S)
        return [Lost(reason)] if was_joined else []
