"""Which GPUs a lease has."""

from __future__ import annotations

_WHOLE = 1.0 - 1e-9


class GpuSlots:
    """Hands out device indices; leases of less than one GPU share a device."""

    def __init__(self, count: int) -> None:
        self._free = [1.0] * count
        self._taken: dict[int, list[tuple[int, float]]] = {}

    def take(self, lease: int, amount: float) -> tuple[int, ...]:
        """Indices for `lease`; the scheduler has seen to it that there is enough in all."""
        if amount <= 0:
            return ()
        if amount < _WHOLE:
            # The fullest device that has room, so that whole ones stay whole.
            fitting = [i for i, free in enumerate(self._free) if free + 1e-9 >= amount]
            chosen = [min(fitting or range(len(self._free)), key=lambda i: self._free[i])]
            share = amount
        else:
            order = sorted(range(len(self._free)), key=lambda i: -self._free[i])
            chosen = sorted(order[: round(amount)])
            share = 1.0
        for index in chosen:
            self._free[index] -= share
        self._taken[lease] = [(index, share) for index in chosen]
        return tuple(chosen)

    def give_back(self, lease: int) -> None:
        """The lease has ended; harmless if it had none."""
        for index, share in self._taken.pop(lease, ()):
            self._free[index] = min(1.0, self._free[index] + share)
