"""Count the primes of a range with a segmented sieve.

The primes up to the square root of the range's end are found first and put into the cluster's memory. Every
task then crosses their multiples out of its own part of the range, in segments that fit into a core's
cache, and returns how many numbers are left. The count is checked against sympy's.

    python examples/prime_finder.py --size 4000000000 --tasks 32
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import numpy.typing as npt
import sympy
from arguments import add_cluster_options, at_least, compare
from tqdm import tqdm

import rustray

SEGMENT = 1 << 19  # odd numbers sieved at a time: half a MiB of flags, which fits into a level 2 cache


def primes_below(limit: int) -> npt.NDArray[np.int64]:
    """The odd primes below `limit`, by the plain sieve of Eratosthenes."""
    is_prime = np.ones(limit, dtype=bool)
    is_prime[:3] = False
    is_prime[4::2] = False
    for number in range(3, math.isqrt(limit) + 1, 2):
        if is_prime[number]:
            is_prime[number * number :: 2 * number] = False
    return np.flatnonzero(is_prime)


def count_primes(start: int, stop: int, base: npt.NDArray[np.int64]) -> int:
    """How many primes are in [start, stop), `start` being odd, `base` the odd primes up to stop's root."""
    count = 0
    for low in range(start, stop, 2 * SEGMENT):
        high = min(low + 2 * SEGMENT, stop)
        flags = np.ones((high - low + 1) // 2, dtype=bool)  # flag i is for the number low + 2 i
        primes = base[: np.searchsorted(base, math.isqrt(high) + 1)]
        # The first odd multiple of each prime at or above both its square and `low`, as an index of flags.
        multiples = np.maximum(primes * primes, -(-low // primes) * primes)
        multiples += primes * (multiples % 2 == 0)
        for prime, first in zip(primes.tolist(), ((multiples - low) // 2).tolist(), strict=True):
            flags[first::prime] = False
        count += int(np.count_nonzero(flags))
    return count


count_remote = rustray.remote(count_primes)


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the primes of a range with a segmented sieve.")
    parser.add_argument(
        "--start",
        type=at_least(0),
        default=1_000_000_000,
        help="first number of the range (default 1 billion)",
    )
    parser.add_argument(
        "--size", type=at_least(1), default=4_000_000_000, help="numbers in the range (default 4 billion)"
    )
    parser.add_argument("--tasks", type=at_least(1), default=32, help="parts of the range (default 32)")
    add_cluster_options(parser)
    args = parser.parse_args()

    stop = args.start + args.size
    start = max(args.start, 3) | 1  # odd, as the sieve wants it
    with_two = int(args.start <= 2 < stop)  # which the sieve leaves out
    base = primes_below(math.isqrt(stop) + 1)

    started = time.perf_counter()
    expected = with_two + count_primes(start, stop, base)
    alone = time.perf_counter() - started

    rustray.init(address=args.address, num_cpus=args.num_cpus)
    started = time.perf_counter()
    base_ref = rustray.put(base)
    length = 2 * math.ceil(
        max(stop - start, 1) / args.tasks / 2
    )  # even, so that each part starts with an odd number
    refs = [count_remote.remote(low, min(low + length, stop), base_ref) for low in range(start, stop, length)]
    count = with_two + sum(rustray.get(ref) for ref in tqdm(refs, unit="part"))
    together = time.perf_counter() - started
    rustray.shutdown()

    assert count == expected == sympy.primepi(stop - 1) - sympy.primepi(args.start - 1)
    print(f"{count} {'prime' if count == 1 else 'primes'} in [{args.start}, {stop}), as sympy counts them")
    print(compare(alone, together))


if __name__ == "__main__":
    main()
