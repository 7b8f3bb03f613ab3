"""What a driver and a head know of made-up tasks, as `explain` is told it."""

from __future__ import annotations

from tests.unit.head_bench import DRIVER, OTHER

KEY, F = b"class", b"f" * 16
SPEC = {"name": "f", "function": F, "resources": {"CPU": 2.0}, "runtime_env": None, "env_key": b""}
TASK = {"task": "00" * 14, "function": "f", "class": KEY, "client": DRIVER}
QUEUED = {**TASK, "state": "queued", "position": 2, "queued": 5, "leases": 0}
ON_WORKER = {**TASK, "worker": DRIVER + 9, "pid": 4242, "node": "n1", "behind": 0, "suspended": False}
COUNTER = {"class": "Counter", "job": 1, "pinned": True, "leases": 2, "client": 0}
OTHERS = {**COUNTER, "pinned": False, "client": OTHER}
JOB = 7
LEASE = {"state": "waiting", "wanted": 1, "held": 0, "promised": 0, "missing": {"CPU": 2.0}, "ahead": 0}
CALL = {"task": "00" * 14, "function": "Counter.add", "actor": b"a" * 16, "client": DRIVER}
WAITING_CALL = {
    **CALL,
    "state": "actor",
    "position": 1,
    "queued": 3,
    "connected": False,
    "actor_name": "Counter",
}
