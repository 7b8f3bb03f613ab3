"""Who there is: jobs and their terms, classes and their levels, claims."""

from __future__ import annotations

from rustray.model.resources import CPU, Resources
from rustray.scheduler import levels, service
from rustray.scheduler.constraints import ANYWHERE, Constraint
from rustray.scheduler.lines import Lines
from rustray.scheduler.records import (
    LENT,
    SPARE_REQUEST,
    Claim,
    Job,
    Node,
    SchedulingClass,
    Shape,
    dominant_share,
    stays,
)


class Roster(Lines):
    """Jobs, classes and claims come, change and go; `Lines` keeps their order."""

    # -- jobs

    def job(self, number: int) -> Job:
        job = self.jobs.get(number)
        if job is None:
            job = self.jobs[number] = Job(number, self._next_turn(), self.nodes.total)
        return job

    def set_terms(self, job: Job, weight: float, minimum: int, cap: int | None) -> None:
        service.settle(job, self.now)
        if job.demanding:
            self.demanding += weight - job.weight
        job.weight, job.minimum, job.cap = weight, minimum, cap
        self._set_floors()
        self._reweigh(job)
        self._place_lines(job)

    def _set_floors(self) -> None:
        """Guarantees hold as far as there are CPUs; where they are too few, all shrink alike."""
        promised = sum(job.minimum for job in self.jobs.values())
        there = self.nodes.total.get(CPU, 0)
        for job in self.jobs.values():
            if job.minimum:
                floor = job.minimum if promised <= there else job.minimum * there // promised
                if floor != job.floor:
                    job.floor = floor
                    self._rerank(job)
            elif job.floor:
                job.floor = 0
                self._rerank(job)

    # -- classes

    def add_class(
        self,
        key: bytes,
        number: int,
        name: str,
        request: Resources,
        pinned: bool = False,
        constraint: Constraint = ANYWHERE,
        priority: int = 0,
        preemptible: bool = True,
        retriable: bool = False,
    ) -> SchedulingClass:
        asked = request if request or pinned else SPARE_REQUEST
        kind = asked, constraint, stays(asked, pinned, preemptible)
        shape = self.shapes.get(kind)
        if shape is None:
            lent = Resources({name: units for name, units in asked.items() if name in LENT})
            domain = self.nodes.domain(constraint)
            shape = self.shapes[kind] = Shape(asked, lent, asked - lent, constraint, domain, kind[2])
            shape.cpus = 0 if constraint.group else asked.get(CPU, 0)
            shape.cost = dominant_share(asked, self.nodes.total)
            shape.toll = 0.0 if constraint.group else shape.cost
            self.nodes.count_hosts(shape)
        shape.classes += 1
        job = self.job(number)
        cls = SchedulingClass(key, job, name, pinned, shape, priority + job.priority, retriable)
        cls.tier, cls.stamp, cls.idle_since = -cls.priority, self.now, self.now
        self.classes[key] = job.classes[key] = cls
        return cls

    def predict(self, cls: SchedulingClass, run_s: float | None, memory: int) -> None:
        """What is expected of a class: one that turns out slower goes down at once, others when they rise."""
        cls.run_s, cls.memory = run_s, memory
        cls.start = levels.first_level(run_s)
        if cls.level < cls.start:
            self.set_level(cls, cls.start)

    # -- levels

    def set_level(self, cls: SchedulingClass, level: int) -> None:
        cls.level, cls.used, cls.stamp = level, 0.0, self.now
        if cls.pinned:
            return  # it is placed once, and takes no turns
        cls.tier = level - cls.priority
        line = cls.job.lines.get(cls.shape)
        for claim in cls.claims.values():
            self._relist(claim)
            if line is not None and claim in line:
                line.put(claim, claim.rank)
        if line is not None:
            self._moved(cls.job, cls.shape, line)
        self.expiries.discard(cls)
        self._note_expiry(cls)

    def demote_expired(self) -> list[SchedulingClass]:
        """Move down the classes that have used up their levels."""
        moved = []
        while self.expiries.due(self.now) and (cls := self.expiries.first()) is not None:
            if levels.settle(cls, self.now):
                level, used = levels.lowered(cls)
                self.set_level(cls, level)
                cls.used = used
                moved.append(cls)
            else:
                self.expiries.discard(cls)
                cls.share, cls.share_at = self.fair_share(cls), self.now
                self._note_expiry(cls)
        return moved

    # -- claims

    def claim(self, cls: SchedulingClass, client: int) -> Claim:
        claim = cls.claims.get(client)
        if claim is None:
            claim = cls.claims[client] = Claim(cls, client, self._next_turn())
            self.claims_of.setdefault(client, {})[claim] = None
        return claim

    def _want(self, claim: Claim, wanted: int) -> None:
        cls = claim.cls
        if wanted and not claim.wanted:
            cls.demanding += 1
            if cls.demanding == 1 and not cls.pinned:
                self._begins_to_demand(cls)
        elif claim.wanted and not wanted:
            cls.demanding -= 1
            cls.idle_since = self.now
            if not (cls.demanding or cls.pinned):
                cls.job.demanding -= 1
                if not cls.job.demanding:
                    self.demanding -= cls.job.weight
        claim.need += wanted - claim.wanted
        claim.wanted = wanted

    def _begins_to_demand(self, cls: SchedulingClass) -> None:
        if not cls.job.demanding:
            self.demanding += cls.job.weight
        cls.job.demanding += 1
        if cls.start == levels.LOWEST:
            return  # there it stays
        cls.share, cls.share_at = self.fair_share(cls), self.now
        levels.settle(cls, self.now)
        level, used = levels.risen(cls, self.now)
        if level != cls.level:
            self.set_level(cls, level)
            cls.used = used

    # -- the cluster

    def _cluster_changed(self) -> None:
        for shape in self.shapes.values():
            shape.cost = dominant_share(shape.request, self.nodes.total)
            shape.toll = 0.0 if shape.constraint.group else shape.cost
        for job in self.jobs.values():
            service.settle(job, self.now)
            job.pace = sum(cls.running * cls.shape.toll for cls in job.classes.values())
            self._reweigh(job)
            for claim in job.holders:
                job.unranked[claim] = None
        self._set_floors()

    def _count_hosts(self, node: Node, sign: int) -> None:
        for shape in self.shapes.values():
            self.nodes.count_host(shape, node, sign)
            if shape.constraint.soft and shape in self.waiting:
                self.called[shape] = None  # other nodes may do now
