"""The size of the cluster, and a task that shows that it goes on."""

from __future__ import annotations

import rustray

CPUS = 2


@rustray.remote
def alive() -> str:
    return "alive"
