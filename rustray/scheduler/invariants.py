"""What must be true of the lease book after every step. For tests and simulation; it looks at everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.placement import fits_now
from rustray.scheduler.records import LENT, Claim, Job, Node


def check(book: LeaseBook, serving: bool = True) -> None:
    """Raises AssertionError at the first thing that is wrong.

    Parameters: serving: False while a new leader is told what there is, and grants nothing.
    """
    claims = [claim for cls in book.classes.values() for claim in cls.claims.values()]
    for node in book.nodes.everyone():
        _check_node(node)
    for job in book.jobs.values():
        _check_job(book, job, [claim for claim in claims if claim.cls.job is job])
    for claim in claims:
        _check_claim(book, claim)
    _check_leases(book, claims)
    _check_queues(book)
    if serving:
        _check_nothing_withheld(book)


def _add(sums: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, units in amounts.items():
        sums[name] = sums.get(name, 0) + units


def _same(a: Mapping[str, int], b: Mapping[str, int]) -> bool:
    return all(a.get(name, 0) == b.get(name, 0) for name in {*a, *b})


def _check_node(node: Node) -> None:
    used: dict[str, int] = {}
    for lease in [*node.leases.values(), *node.leaving.values()]:
        assert lease.node is node
        _add(used, lease.hold)
    assert _same(node.total - used, node.free), f"{node.name}: leases and free do not add up to its total"
    promised: dict[str, int] = {}
    for promise in node.promises:
        _add(promised, promise.claim.cls.shape.request)
    assert _same(node.total - used - promised, node.open), f"{node.name}: promises and open do not add up"
    for name, units in node.free.items():
        assert units >= 0 or name in LENT, f"{node.name}: {name} given out twice"
    outlook = node.outlook()
    for name in promised:
        assert outlook[name] >= 0, f"{node.name}: a promise of {name} that nothing covers"


def _check_job(book: LeaseBook, job: Job, claims: list[Claim]) -> None:
    usage: dict[str, int] = {}
    for claim in claims:
        for lease in claim.leases.values():
            if lease.node.host is None:
                _add(usage, lease.hold)
        for promise in claim.promises:
            if promise.node.host is None:
                _add(usage, claim.cls.shape.request)
    assert _same(usage, job.usage), f"job {job.number}: usage does not add up"
    assert set(job.holders) == {claim for claim in claims if claim.leases}
    in_line = {claim for line in job.lines.values() for claim in line}
    assert in_line == {claim for claim in claims if claim.need > 0}, f"job {job.number}: wrong claims in line"


def _check_claim(book: LeaseBook, claim: Claim) -> None:
    cls = claim.cls
    assert cls.claims.get(claim.client) is claim and claim in book.claims_of[claim.client]
    assert claim.wanted or claim.leases or claim.leaving, "an empty claim is kept"
    assert (claim in book.surplus) == (claim.surplus > 0)
    assert not (cls.pinned and claim.leaving), "an actor's lease was revoked"
    if claim.need > 0:
        assert cls.job.lines[cls.shape].rank(claim) == claim.rank, "in line at an old rank"


def _check_leases(book: LeaseBook, claims: list[Claim]) -> None:
    by_claim = [n for claim in claims for n in [*claim.leases, *claim.leaving]]
    nodes = book.nodes.everyone()
    by_node = [n for node in nodes for n in [*node.leases, *node.leaving]]
    assert sorted(by_claim) == sorted(by_node) == sorted(book.leases), "a lease is lost or held twice"
    for lease in book.leases.values():
        assert (lease.number in lease.claim.leaving) == (lease.number in lease.node.leaving) == lease.revoked


def _check_queues(book: LeaseBook) -> None:
    jobs = book.jobs.values()
    assert set(book.waiting) == {shape for job in jobs for shape in job.lines}
    assert set(book.waiting) <= set(book.shapes.values())
    for shape in book.waiting:
        assert set(shape.jobs) == {job for job in jobs if shape in job.lines}
        for job in shape.jobs:
            assert len(job.lines[shape]) and shape.jobs.rank(job) == job.rank
    by_node = _promises(node.promises for node in book.nodes.everyone())
    by_shape = _promises(shape.promises for shape in book.promised)
    by_claim = _promises(c.promises for cls in book.classes.values() for c in cls.claims.values())
    assert by_node == by_shape == by_claim, "a promise is lost"


def _promises(groups: Iterable[Iterable[object]]) -> set[int]:
    return {id(promise) for group in groups for promise in group}


def _check_nothing_withheld(book: LeaseBook) -> None:
    for shape in [*book.waiting, *book.promised]:
        for node in shape.domain.nodes:
            assert not fits_now(shape, node), f"{node.name} is open to {shape.request}, yet it waits"
