"""Whether this head may take part in the raft of its cluster. Pure: hellos in, a decision out.

A head that lost its disk has forgotten whom it voted for and what it acknowledged. If it took part as if new,
what was committed with its help could be lost. So a head whose folder is empty is *blank*, and asks:

Rule 1. A blank head that no other head has ever met as a participant is new: it becomes a *member*. All others
        must have been asked, so the first start of a cluster needs every head once.
Rule 2. A blank head that others have met, all of which are members, is *replaced*: it takes over the highest of
        their terms as used up, and receives the log. It does not vote and is not elected until it has all that
        the leader had when it first said something; then it is a member.
Rule 3. Otherwise it waits: more heads have lost their memory than can be, or one that must be asked is away.
Rule 4. A participant is remembered as met, durably, before anything it says is believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rustray.wire.versions import HERE, mismatch

BLANK, REPLACED, MEMBER = "blank", "replaced", "member"

Hello = dict[str, Any]


class HelloRefused(Exception):
    """The peer is no head of this cluster as this head knows it."""


class Membership:
    """Parameters: state and met: as remembered on disk."""

    def __init__(self, address: str, others: Iterable[str], state: str, met: Iterable[str]) -> None:
        self.address = address
        self.others = frozenset(others)
        self.state = MEMBER if not self.others else state
        self.met = set(met)
        self.hellos: dict[str, Hello] = {}  # of the heads that are connected now
        self._goal: tuple[int, int] | None = None  # of a replaced head: term, index

    @property
    def heads(self) -> list[str]:
        return sorted({self.address, *self.others})

    @property
    def takes_part(self) -> bool:
        return self.state != BLANK

    @property
    def votes(self) -> bool:
        return self.state == MEMBER

    @property
    def waiting(self) -> str:
        """What a head that does not vote waits for, for people; "" for a member."""
        if self.state == MEMBER:
            return ""
        if self.state == REPLACED:
            return "its folder was empty: it receives the log, and votes when it has all of it"
        away = sorted(self.others - set(self.hellos))
        if away:
            return f"its folder is empty: it must ask every other head once, and {', '.join(away)} is away"
        return (
            "its folder is empty, another's too, and a third has met this one: more heads have lost their disks "
            "than the cluster can miss. Bring a folder back, or start a new cluster with empty folders only"
        )

    def hello(self, other: str, term: int) -> Hello:
        """What to tell a head as soon as it is connected, and again when our state has changed."""
        return {
            "type": "hello",
            "address": self.address,
            "heads": self.heads,
            "state": self.state,
            "met": other in self.met,
            "term": term,
            "versions": HERE,
        }

    def on_hello(self, hello: Hello) -> bool:
        """Whether there is something new to be remembered (`state`, `met`). Raises HelloRefused."""
        other = hello["address"]
        if other not in self.others:
            raise HelloRefused(f"{other} is none of the heads {', '.join(self.heads)}")
        if hello["heads"] != self.heads:
            raise HelloRefused(f"{other} was started with the heads {', '.join(hello['heads'])}")
        if refused := mismatch(hello.get("versions"), "other head"):
            raise HelloRefused(refused)
        self.hellos[other] = hello
        if hello["state"] != BLANK and other not in self.met:
            self.met.add(other)
            return True
        return False

    def on_disconnected(self, other: str) -> None:
        self.hellos.pop(other, None)

    def decide(self) -> int | None:
        """The term that is used up, if this head begins to take part now."""
        if self.state != BLANK or len(self.hellos) < len(self.others):
            return None
        hellos = self.hellos.values()
        if not any(hello["met"] for hello in hellos):
            self.state = MEMBER
            return 0
        if all(hello["state"] == MEMBER for hello in hellos):
            self.state = REPLACED
            return int(max(hello["term"] for hello in hellos))
        return None

    def on_proven(self, term: int, leader_last: int, proven: int | None) -> bool:
        """A message of the leader of `term`, whose log ends with `leader_last`, was accepted.

        Whether the head has just become a member.
        """
        if self.state != REPLACED:
            return False
        if self._goal is None or self._goal[0] != term:
            self._goal = term, leader_last
        if proven is None or proven < self._goal[1]:
            return False
        self.state = MEMBER
        return True
