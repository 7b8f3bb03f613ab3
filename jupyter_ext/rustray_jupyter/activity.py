"""Whether the clusters have worked of late, so that a Jupyter server whose cluster works is not taken for idle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def last_work(samples: Iterable[dict[str, Any]]) -> float | None:
    """When a task ran last, of samples as `metrics` gives them: seconds since the epoch, None if none did."""
    times = [sample["time"] for sample in samples if sample["busy"] or sample["tasks_per_s"]]
    return max(times, default=None)
