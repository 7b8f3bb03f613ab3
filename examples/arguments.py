"""Options that the examples have in common: values that make no sense are refused before any work."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """The `type` of an option that takes whole numbers from `least` on."""

    def whole_number(text: str) -> int:
        if not text.strip().lstrip("+-").isdecimal():
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is too small, it must be {least} or more")
        return int(text)

    return whole_number


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """`--num-cpus` and `--address`."""
    parser.add_argument("--num-cpus", type=at_least(1), help="workers of a new cluster (default: one a core)")
    parser.add_argument("--address", help="use this cluster instead of starting one")


def square(tasks: int, size: int) -> int:
    """The tasks that a square of `size` is cut into when `tasks` are asked for; tells the user if they differ."""
    side = math.ceil(size / math.isqrt(tasks))
    cut = math.ceil(size / side) ** 2
    if cut != tasks:
        print(f"--tasks {tasks} becomes {cut}: the {size} x {size} square is cut into equal squares")
    return cut


def compare(alone: float, together: float) -> str:
    """What the two durations in seconds tell, for reading."""
    times = f"one process {alone:.2f} s, RustRay {together:.2f} s"
    if together >= alone and alone < 1:
        return f"{times}: the size is too small to gain from more processes"
    return f"{times}, speed-up {alone / together:.2f}"
