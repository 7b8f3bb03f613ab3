"""What the tasks and actors of the benchmark run."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any


def noop() -> None:
    pass


def small_arguments(number: int, factor: float, name: str) -> float:
    return number * factor


@cache
def one_megabyte() -> Any:
    import numpy as np

    return np.arange(125_000, dtype=np.float64)


def make_megabyte() -> Any:
    """An array of 1 MB, made once in each worker: what is measured is its way back."""
    return one_megabyte()


def nap(seconds: float) -> None:
    time.sleep(seconds)


def wait_for_file(path: str) -> None:
    """Keep a worker busy until somebody makes the file."""
    while not os.path.exists(path):
        time.sleep(0.05)


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def increment(self) -> int:
        self.count += 1
        return self.count
