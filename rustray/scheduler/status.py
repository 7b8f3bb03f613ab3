"""What people ask of the scheduler: what there is, who holds it, who waits, and for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from rustray.model.resources import UNIT
from rustray.scheduler.groups import Groups
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.levels import LOWEST
from rustray.scheduler.outlook import at_end_only, outlook
from rustray.scheduler.records import Claim, Lease, visible

AHEAD_SHOWN = 10


class Status:
    """Read-only views of the scheduler, in plain values; amounts in ones."""

    def __init__(self, book: LeaseBook, groups: Groups) -> None:
        self._book = book
        self._groups = groups

    def nodes(self) -> dict[str, dict[str, Any]]:
        """By node: total, available (not below 0), labels, and the number of leases.

        What lies idle in a lease counts as available: whoever asks gets it.
        """
        idle: dict[str, Counter[str]] = {}
        for lease in self._idle():
            if lease.node.host is not None:
                continue  # only what runs in the same placement group could have it
            idle.setdefault(lease.node.name, Counter()).update(lease.claim.cls.shape.request)
        return {
            node.name: {
                "total": visible(node.total),
                "available": visible(
                    {
                        name: max(0, units + idle.get(node.name, Counter())[name])
                        for name, units in node.free.items()
                    }
                ),
                "labels": dict(node.labels),
                "leases": len(node.leases) + len(node.leaving) + len(node.parked),
            }
            for node in self._book.nodes.by_name.values()
        }

    def idle_leases(self) -> int:
        """Leases that their clients keep without use."""
        return sum(1 for _lease in self._idle())

    def queues(self) -> list[dict[str, int]]:
        """By level, the most urgent first: ``level``, ``waiting`` (leases that are wanted and not had), ``running``
        (in use), and ``suspended``."""
        rows = [{"level": level, "waiting": 0, "running": 0, "suspended": 0} for level in range(LOWEST + 1)]
        for cls in self._book.classes.values():
            row = rows[cls.level]
            row["running"] += cls.running
            for claim in cls.claims.values():
                row["waiting"] += max(0, claim.need)
                row["suspended"] += len(claim.parked)
        return rows

    def knows(self, key: bytes) -> bool:
        """Whether the class was told and has not ended."""
        return key in self._book.classes

    def request(self, key: bytes) -> dict[str, float]:
        """What one lease of a class takes; nothing if the class is not known."""
        cls = self._book.classes.get(key)
        return visible(cls.shape.request) if cls is not None else {}

    def held(self) -> int:
        """Leases in all, those included that actors and bundles have."""
        return len(self._book.leases)

    def suspended(self) -> int:
        """Leases whose workers are suspended."""
        return len(self._book.parked)

    def denied(self) -> int:
        """Bids for what others hold that came to nothing, since this scheduler began."""
        return self._book.denied

    def _idle(self) -> Iterator[Lease]:
        for cls in self._book.classes.values():
            for claim in cls.claims.values():
                unused = (lease for lease in claim.leases.values() if not lease.blocked)
                yield from islice(unused, max(0, claim.surplus))

    def total(self) -> dict[str, float]:
        """Resources of the whole cluster."""
        return visible(self._book.nodes.total)

    def available(self) -> dict[str, float]:
        """What is free of `total`, over all nodes."""
        free = dict.fromkeys(self.total(), 0.0)
        for node in self.nodes().values():
            for name, amount in node["available"].items():
                free[name] += amount
        return free

    def group_waits_for(self, group: bytes) -> str:
        """Why a placement group has no room, for people; "" if it has."""
        return self._groups.waits_for(group)

    def leases(self) -> list[dict[str, Any]]:
        """All leases, oldest first."""
        return [
            {
                "lease": lease.number,
                "job": lease.claim.cls.job.number,
                "class": lease.claim.cls.name,
                "client": lease.claim.client,
                "node": lease.node.name,
                "since": lease.granted,
                "blocked": lease.blocked,
                "revoked": lease.revoked,
                "suspended": lease.parked,
                "pinned": lease.claim.cls.pinned,
            }
            for lease in self._book.leases.values()
        ]

    def holders(self, key: bytes, resources: Iterable[str]) -> list[dict[str, Any]]:
        """Who has leases of these resources, where the class could run: those who hold most first.

        Returns rows with "class", "job", "client", "pinned" (an actor has it) and the number of "leases".
        """
        cls = self._book.classes.get(key)
        if cls is None:
            return []
        names = set(resources)
        held: Counter[Claim] = Counter()
        for node in self._book.nodes.hosts(cls.shape):
            for lease in (*node.leases.values(), *node.leaving.values()):
                if names & {name for name, units in lease.hold.items() if units}:
                    held[lease.claim] += 1
        return [
            {
                "class": claim.cls.name,
                "job": claim.cls.job.number,
                "client": claim.client,
                "pinned": claim.cls.pinned,
                "leases": count,
            }
            for claim, count in held.most_common()
        ]

    def waiting(self) -> list[dict[str, Any]]:
        """Claims that lack leases, those who have been waiting longest first."""
        lacking = [
            claim
            for cls in self._book.classes.values()
            for claim in cls.claims.values()
            if claim.need > 0 or claim.promises
        ]
        lacking.sort(key=lambda claim: claim.since)
        return [
            {
                "job": claim.cls.job.number,
                "key": claim.cls.key,
                "class": claim.cls.name,
                "client": claim.client,
                "wanted": claim.wanted,
                "held": claim.held,
                "promised": len(claim.promises),
                "since": claim.since,
                "infeasible": not claim.cls.shape.hosts,
            }
            for claim in lacking
        ]

    def leases_on(self, node: str) -> list[int]:
        """The numbers of a node's leases, those on their way back and those in bundles included: all that the node
        itself knows of, so without the room that is reserved for bundles."""
        host = self._book.nodes.by_name.get(node)
        if host is None:
            return []
        bundles = (bundle for bundle in self._book.nodes.bundles if bundle.host is host)
        return [
            number
            for at in (host, *bundles)
            for leases in (at.leases, at.leaving, at.parked)
            for number, lease in leases.items()
            if not self._groups.reserves(lease)
        ]

    def demanded_by(self, client: int) -> list[bytes]:
        """The keys of the classes that a client wants leases of."""
        return [claim.cls.key for claim in self._book.claims_of.get(client, ()) if claim.wanted]

    def leaving_of(self, client: int) -> list[int]:
        """The numbers of the leases that a client was asked to return."""
        return [number for claim in self._book.claims_of.get(client, ()) for number in claim.leaving]

    def explain(self, key: bytes, client: int) -> dict[str, Any]:
        """Why the client's demand for a class waits, if it does.

        Returns: ``state``: "unknown" (no such demand), "served", "promised" (revoked leases will come back
        to it), "waiting" or "infeasible"; and with it ``wanted``, ``held``, ``promised``, ``suspended`` (of those
        held); ``missing``: what the closest node lacks now, or if infeasible ever; ``reason``: what else stands
        in the way, as its job's cap, a label that no node has, or a placement group that has no room yet, "" for
        nothing; ``level``: how urgent the class is now, 0 most; ``ahead``: how many claims are served before it,
        and the first few of them as ``first_ahead``; ``predicted_start``: seconds until it will probably have a
        slot, or None; ``unknown``: in that case by class, the leases in the way whose tasks take nobody knows how long;
        ``at_end``: what was promised comes only when tasks end, for none may be suspended for it.
        """
        cls = self._book.classes.get(key)
        claim = cls.claims.get(client) if cls is not None else None
        if claim is None:
            return {"state": "unknown"}
        answer: dict[str, Any] = {
            "state": self._state(claim),
            "class": claim.cls.name,
            "wanted": claim.wanted,
            "held": claim.held,
            "promised": len(claim.promises),
            "suspended": len(claim.parked),
        }
        if answer["state"] != "served":
            ahead = self._ahead(claim)
            answer["missing"] = self._missing(claim)
            answer["reason"] = self._reason(claim)
            answer["level"] = claim.cls.level
            answer["predicted_start"], answer["unknown"] = outlook(self._book, claim, ahead)
            answer["at_end"] = at_end_only(claim)
            answer["ahead"] = len(ahead)
            answer["first_ahead"] = [
                {
                    "job": other.cls.job.number,
                    "class": other.cls.name,
                    "client": other.client,
                    "held": other.held,
                }
                for other in ahead[:AHEAD_SHOWN]
            ]
        return answer

    def _state(self, claim: Claim) -> str:
        if claim.need <= 0:
            return "promised" if claim.promises else "served"
        return "waiting" if claim.cls.shape.hosts else "infeasible"

    def _missing(self, claim: Claim) -> dict[str, float]:
        shape, nodes = claim.cls.shape, self._book.nodes
        if not shape.hosts:
            return visible(nodes.closest(shape)[0])
        lacks = [shape.request.missing(node.free) for node in nodes.hosts(shape)] or [shape.request]
        return visible(min(lacks, key=lambda lack: (len(lack), sum(lack.values()))))

    def _reason(self, claim: Claim) -> str:
        shape, job = claim.cls.shape, claim.cls.job
        if shape.hosts and job.cap is not None and job.capped(shape.cpus):
            return f"its job has all the CPUs that it may have, {job.cap / UNIT:g}"
        if not shape.hosts:
            return self._book.nodes.closest(shape)[2]
        waits = self._groups.waits_for(shape.constraint.group) if shape.constraint.group else ""
        return f"its placement group has no room: {waits}" if waits else ""

    def _ahead(self, claim: Claim) -> list[Claim]:
        """Those of the same shape who have a promise, and those who come before it in line."""
        shape = claim.cls.shape
        ahead = [promise.claim for promise in shape.promises if promise.claim is not claim]
        if claim.need <= 0:
            return ahead
        self._book.rank_moved(shape)
        ranked = {
            other: (*rank, *other.rank)
            for job in shape.jobs
            if (rank := shape.jobs.rank(job)) is not None
            for other in job.lines[shape]
        }
        own = ranked.get(claim)
        if own is None:
            return ahead  # its job has all that it may have
        return ahead + sorted((other for other in ranked if ranked[other] < own), key=ranked.__getitem__)
