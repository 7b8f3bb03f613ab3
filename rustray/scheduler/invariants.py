"""What must be true of the lease book after every step. For tests and simulation; it looks at everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rustray.model.resources import CPU
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.placement import fits_now
from rustray.scheduler.records import LENT, OWED, Claim, Job, Node, dominant_share
from rustray.scheduler.serving import held_back, may_resume


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
    _check_demand(book)
    _check_queues(book)
    _check_parked(book)
    if serving:
        _check_nothing_withheld(book)


def _add(sums: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, units in amounts.items():
        sums[name] = sums.get(name, 0) + units


def _same(a: Mapping[str, int], b: Mapping[str, int]) -> bool:
    return all(a.get(name, 0) == b.get(name, 0) for name in {*a, *b})


def _check_node(node: Node) -> None:
    used: dict[str, int] = {}
    fixed: dict[str, int] = {}
    for lease in [*node.leases.values(), *node.leaving.values(), *node.parked.values()]:
        shape = lease.claim.cls.shape
        assert lease.node is node
        assert lease.hold == (shape.held if lease.blocked or lease.parked else shape.request)
        _add(used, lease.hold)
        _add(fixed, shape.lent if shape.stays else {})
    assert _same(node.total - used, node.free), f"{node.name}: leases and free do not add up to its total"
    promised: dict[str, int] = {}
    for promise in node.promises:
        shape = promise.claim.cls.shape
        assert promise.node is node
        _add(promised, promise.takes)
        _add(fixed, shape.lent if shape.stays and promise.lease is None else {})
    assert _same(fixed, node.fixed), f"{node.name}: what stays for good does not add up"
    assert _same(node.total - used - promised, node.open), f"{node.name}: promises and open do not add up"
    for name, units in node.free.items():
        assert units >= 0 or name in LENT, f"{node.name}: {name} given out twice"
    coming: dict[str, int] = {}
    for lease in node.leaving.values():
        _add(coming, lease.hold)
    assert _same(coming, node.coming), f"{node.name}: what is to come back does not add up"
    outlook = node.outlook()
    for name in promised:
        assert outlook[name] >= 0, f"{node.name}: a promise of {name} that nothing covers"


def _check_job(book: LeaseBook, job: Job, claims: list[Claim]) -> None:
    usage: dict[str, int] = {}
    cpus = 0
    for claim in claims:
        for lease in claim.leases.values():
            if lease.node.host is None:
                _add(usage, lease.hold)
        for lease in [*claim.leases.values(), *claim.leaving.values()]:
            cpus += 0 if lease.blocked else lease.claim.cls.shape.cpus
    pledged, toll = 0, 0.0
    for cls in job.classes.values():
        toll += cls.running * cls.shape.toll
    assert job.weighed is None or job.weighed == dominant_share(job.usage, book.nodes.total) / job.weight
    assert job.share <= book.top_share(), f"job {job.number} has more than the largest share"
    assert abs(toll - job.pace) < 1e-6, f"job {job.number}: wrong pace"
    resting = sum(len(claim.parked) for claim in claims)
    assert resting == job.resting, f"job {job.number}: suspended leases do not add up"
    for promise in job.promises:
        if promise.node.host is None:
            _add(usage, promise.takes)
        pledged += promise.cpus
    assert (cpus, pledged) == (job.cpus, job.pledged), f"job {job.number}: its CPUs do not add up"
    assert _same(usage, job.usage), f"job {job.number}: usage does not add up"
    assert set(job.by_spare()) == {claim for claim in claims if claim.leases}
    in_line = {claim for line in job.lines.values() for claim in line}
    assert in_line == {claim for claim in claims if claim.need > 0}, f"job {job.number}: wrong claims in line"


def _check_claim(book: LeaseBook, claim: Claim) -> None:
    cls = claim.cls
    assert cls.claims.get(claim.client) is claim and claim in book.claims_of[claim.client]
    assert claim.wanted or claim.held, "an empty claim is kept"
    awake = [x for x in [*claim.leases.values(), *claim.leaving.values()] if not x.blocked and x.counted]
    assert len(awake) == claim.awake
    assert cls.pinned or claim.in_use == max(0, claim.awake - claim.surplus), "wrong count of use"
    kept, parked = len(claim.leases), len(claim.parked)
    assert claim.need == claim.wanted - claim.held - len(claim.promises), "wrong count of what it needs"
    surplus = 0 if cls.pinned else max(0, min(kept, kept + parked - claim.wanted))
    assert claim.surplus == surplus, "wrong count of what is idle"
    hungry = claim.need > 0 and not claim.standing
    assert (claim in book.hungry) == hungry, "not asking for its turn"
    assert (claim in book.surplus) == (claim in book.idle.get(cls.shape, ())) == (claim.surplus > 0)
    assert not (cls.pinned and claim.leaving), "an actor's lease was revoked"
    if claim.need > 0:
        assert cls.job.lines[cls.shape].rank(claim) == claim.rank, "in line at an old rank"


def _check_leases(book: LeaseBook, claims: list[Claim]) -> None:
    by_claim = [n for claim in claims for n in [*claim.leases, *claim.leaving, *claim.parked]]
    nodes = list(book.nodes.everyone())
    by_node = [n for node in nodes for n in [*node.leases, *node.leaving, *node.parked]]
    assert sorted(by_claim) == sorted(by_node) == sorted(book.leases), "a lease is lost or held twice"
    for lease in book.leases.values():
        assert (lease.number in lease.claim.leaving) == (lease.number in lease.node.leaving) == lease.revoked
        assert (lease.number in lease.claim.parked) == (lease.number in lease.node.parked) == lease.parked
        assert (lease in book.parked) == lease.parked and not (lease.parked and lease.revoked)
        assert (lease in book.hungry) == (lease.parked and lease.promise is None)
        listed = lease in lease.claim.cls.job.tiers.get(lease.claim.cls.tier, ())
        assert listed == lease.revocable == lease.may_be_revoked, "not among those that may be revoked"
    for tier, jobs in book.tiers.items():
        assert set(jobs) == {job for job in book.jobs.values() if tier in job.tiers}


def _check_demand(book: LeaseBook) -> None:
    weights = 0.0
    for job in book.jobs.values():
        demanding = sum(bool(cls.demanding) for cls in job.classes.values() if not cls.pinned)
        assert demanding == job.demanding, f"job {job.number}: wrong count of classes that demand something"
        weights += job.weight if demanding else 0.0
    assert abs(weights - book.demanding) < 1e-6, "the weights of those who demand something do not add up"
    fixed = sum(node.fixed.get(CPU, 0) for node in book.nodes.by_name.values())
    assert fixed == book.fixed_cpus, "what stays for good does not add up"


def _check_queues(book: LeaseBook) -> None:
    jobs = book.jobs.values()
    to_serve = {(shape, job) for job in jobs for shape in job.lines if not job.capped(shape.cpus)}
    assert {(shape, job) for shape in book.waiting for job in shape.jobs} == to_serve
    assert set(book.waiting) <= set(book.shapes.values())
    for shape, job in to_serve:
        first = job.lines[shape].first()
        assert first is not None, "an empty line is kept"
        tier = OWED if job.owed else first.cls.tier
        right = shape.jobs.rank(job) == (tier, job.share, job.turn)
        assert right or job in shape.moved, "a job is queued at an old rank"
    by_node = _promises(node.promises for node in book.nodes.everyone())
    assert by_node == _promises(job.promises for job in jobs), "a promise is lost"
    of_claims = {id(p) for node in book.nodes.everyone() for p in node.promises if p.lease is None}
    by_shape = _promises(shape.promises for shape in book.promised)
    by_claim = _promises(c.promises for cls in book.classes.values() for c in cls.claims.values())
    assert of_claims == by_shape == by_claim, "a promise is lost"


def _check_parked(book: LeaseBook) -> None:
    for node in book.nodes.everyone():
        assert set(node.parked) <= set(node.resting)
        waking = {n for n, x in node.parked.items() if x.blocked or CPU not in x.claim.cls.shape.lent}
        assert set(node.waking) == waking, f"{node.name}: wrong ones would go on without a CPU"
        resting = list(node.resting.values())
        assert all(lease.parked or lease.stopping for lease in resting), f"{node.name}: nobody rests there"
    for node in book.nodes.by_name.values():
        weights = [lease.weighs for lease in book.leases.values() if book.machine(lease.node) is node]
        assert sum(weights) == node.parked_bytes, f"{node.name}: wrong memory"
    for lease in book.parked:
        promise = lease.promise
        assert promise is None or (promise.lease is lease and promise in lease.node.promises)


def _promises(groups: Iterable[Iterable[object]]) -> set[int]:
    return {id(promise) for group in groups for promise in group}


def _check_nothing_withheld(book: LeaseBook) -> None:
    assert not (book.freed or book.called or book.ripe or book.pressed), "something was left to be looked at"
    for shape in book.waiting:
        for node in shape.domain.nodes:
            assert not fits_now(shape, node), f"{node.name} is open to {shape.request}, yet it waits"
    for shape in book.promised:
        if all(held_back(promise) for promise in shape.promises):
            continue
        for node in shape.domain.nodes:
            assert not fits_now(shape, node), f"{node.name} is open to {shape.request}, yet it waits"
    for lease in book.parked:
        assert not may_resume(lease), f"lease {lease.number} is suspended for nothing"
