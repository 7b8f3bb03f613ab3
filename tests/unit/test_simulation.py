"""Whole clusters in one process, on a virtual clock: a few hundred histories, each from its seed.

In a process of its own, for a seed is one history only under one hash seed. What fails is seen again by
``python -m tests.simulation SEED --trace``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("seeds", ["1-100", "101-200"])
def test_clusters_come_to_rest(seeds: str) -> None:
    run = simulate(seeds)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_book_of_the_scheduler_is_right_after_every_step() -> None:
    run = simulate("1001-1015", "--strict")
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_seed_is_one_history() -> None:
    one, other = (simulate("7", "--trace").stdout.splitlines()[:-1] for _ in range(2))
    assert len(one) > 100
    assert one == other
