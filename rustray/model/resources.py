"""Resources as exact fixed-point amounts.

Fractions such as ``num_gpus=0.1`` are added and taken away millions of times; floats would drift until a
slot no longer fits where it came from. An amount is therefore an integer count of 1/10,000.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn

UNIT = 10_000
"""Units in one whole CPU, GPU, byte of memory or piece of a custom resource."""

CPU = "CPU"
GPU = "GPU"
MEMORY = "memory"
RESERVED = frozenset((CPU, GPU, MEMORY))


class Resources(dict[str, int]):
    """Amounts by name, in units; zero amounts are left out, so equal resources are equal and hash alike.

    A value: it never changes. It is a dict so that the scheduler reads it at C speed, and ``dict(r)`` is
    what goes over a wire; ``Resources(units)`` brings it back.

    Parameters: units: name -> units (1/10,000 of one). Amounts may be negative: that is what
    ``a - b`` gives when a worker takes back a CPU that was lent on.
    """

    __slots__ = ()

    def __init__(self, units: Mapping[str, int] | None = None) -> None:
        super().__init__({name: amount for name, amount in units.items() if amount} if units else {})

    @classmethod
    def of(
        cls,
        cpu: float = 0.0,
        gpu: float = 0.0,
        memory: float = 0.0,
        custom: Mapping[str, float] | None = None,
    ) -> Resources:
        """Resources from whole numbers and fractions as users write them; memory in bytes.

        Raises: ValueError naming the entry that is negative, not finite, finer than 1/10,000, a GPU
        request over 1 that is not whole, or a custom resource with a reserved or empty name.
        """
        amounts: dict[str, float] = {CPU: cpu, GPU: gpu, MEMORY: memory}
        for name, amount in (custom or {}).items():
            if name in RESERVED:
                raise ValueError(f"custom resource {name!r} has a reserved name; use its own argument")
            if not isinstance(name, str) or not name:
                raise ValueError(f"custom resource {name!r}: a name is a non-empty string")
            amounts[name] = amount
        if gpu > 1 and math.isfinite(gpu) and gpu != int(gpu):
            raise ValueError(f"GPU={gpu}: more than one GPU must be a whole number")
        return cls({name: _units(name, amount) for name, amount in amounts.items()})

    def __add__(self, other: Mapping[str, int]) -> Resources:
        total = dict(self)
        for name, amount in other.items():
            total[name] = total.get(name, 0) + amount
        return Resources(total)

    def __sub__(self, other: Mapping[str, int]) -> Resources:
        rest = dict(self)
        for name, amount in other.items():
            rest[name] = rest.get(name, 0) - amount
        return Resources(rest)

    def fits(self, available: Mapping[str, int]) -> bool:
        """Whether this request can be taken from `available` (units by name)."""
        for name, amount in self.items():
            if amount > available.get(name, 0):
                return False
        return True

    def missing(self, available: Mapping[str, int]) -> Resources:
        """What `available` lacks for this request; empty exactly when it fits.

        Where less than nothing is available, what fills it up to nothing is part of what is lacking.
        """
        return Resources(
            {
                name: amount - available.get(name, 0)
                for name, amount in self.items()
                if amount > available.get(name, 0)
            }
        )

    def _never(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("Resources do not change; make others with + and -")

    __setitem__ = __delitem__ = __ior__ = _never
    update = setdefault = pop = popitem = clear = _never

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[Resources], tuple[dict[str, int]]]:
        return Resources, (dict(self),)  # the default would fill it by __setitem__

    def __repr__(self) -> str:
        return f"Resources({', '.join(f'{name}={amount / UNIT:g}' for name, amount in self.items())})"


def _units(name: str, amount: float) -> int:
    if not math.isfinite(amount):
        raise ValueError(f"{name}={amount}: not a finite number")
    if amount < 0:
        raise ValueError(f"{name}={amount}: must not be negative")
    units = round(amount * UNIT)
    if amount and not units:
        raise ValueError(f"{name}={amount}: finer than {1 / UNIT}")
    return units
