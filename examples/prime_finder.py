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
    parser.add_argument("--start", type=int, default=1_000_000_000, help="first number (default 1 billion)")
    parser.add_argument("--size", type=int, default=4_000_000_000, help="how many (default 4 billion)")
    parser.add_argument("--tasks", type=int, default=32, help="parts of the range (default 32)")
    parser.add_argument("--num-cpus", type=int, help="workers of a new cluster (default: one a core)")
    parser.add_argument("--address", help="use this cluster instead of starting one")
    args = parser.parse_args()

    start = max(args.start, 3) | 1  # odd, as the sieve wants it; 2 is left out
    stop = start + args.size
    base = primes_below(math.isqrt(stop) + 1)

    started = time.perf_counter()
    expected = count_primes(start, stop, base)
    alone = time.perf_counter() - started

    rustray.init(address=args.address, num_cpus=args.num_cpus)
    started = time.perf_counter()
    base_ref = rustray.put(base)
    length = 2 * math.ceil(args.size / args.tasks / 2)  # even, so that each part starts with an odd number
    refs = [count_remote.remote(low, min(low + length, stop), base_ref) for low in range(start, stop, length)]
    count = sum(rustray.get(ref) for ref in tqdm(refs, unit="part"))
    together = time.perf_counter() - started
    rustray.shutdown()

    assert count == expected == sympy.primepi(stop - 1) - sympy.primepi(start - 1)
    print(f"{count} primes in [{start}, {stop}), as sympy counts them")
    print(f"one process {alone:.2f} s, RustRay {together:.2f} s, speed-up {alone / together:.2f}")


if __name__ == "__main__":
    main()
