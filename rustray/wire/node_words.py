"""What a node says to the head, by what becomes of it when the link is cut, and by what it has to wait for."""

from __future__ import annotations

REPORTED = frozenset(
    (
        "class",
        "unused",
        "demand",
        "returned",
        "worker_blocked",
        "worker_unblocked",
        "suspended",
        "resumed",
        "sample",
        "figures",
        "gathered",
        "explained",
        "predicted",
        "worker_memory",
        "unreachable",
        "draining",
        "leaving",
        "beat",
        "echo",
    )
)
"""Messages that a later report makes superfluous: they are not kept, and they touch no fact."""

NEED_NOT_WAIT = REPORTED | {"create_actor", "actor_arguments", "job_start"}
"""Messages that are handled while a command of the same node is being committed: they touch no fact, or the log keeps
their order."""
