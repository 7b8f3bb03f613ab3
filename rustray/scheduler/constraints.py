"""Where the leases of a class may go, and where rather than elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rustray.model.labels import Match

ANY_BUNDLE = -1


@dataclass(frozen=True, slots=True)
class Constraint:
    """What is asked of a node besides resources. A value: equal ones are the same.

    Parameters
    ----------
    spread: rather on the node that has the fewest leases of the kind than on the least loaded one.
    node: the name of the only node that will do, "" for any.
    soft: if that node does not belong to the cluster, or could never run it, any other will do. (If it is only busy,
        it is waited for.)
    hard: what the labels of the node must meet.
    preferred: what they should meet: nodes that do come first.
    group: the placement group in whose bundles it runs, b"" for none.
    bundle: the index of the bundle, ANY_BUNDLE for any of the group.
    """

    spread: bool = False
    node: str = ""
    soft: bool = False
    hard: tuple[Match, ...] = ()
    preferred: tuple[Match, ...] = ()
    group: bytes = b""
    bundle: int = ANY_BUNDLE

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> Constraint:
        """A constraint from plain values, as they travel: the parameters that differ from their defaults."""
        if not plain:
            return ANYWHERE
        matches = {name: _matches(plain[name]) for name in ("hard", "preferred") if name in plain}
        return cls(**{**plain, **matches})


ANYWHERE = Constraint()


def _matches(plain: Sequence[Sequence[Any]]) -> tuple[Match, ...]:
    return tuple((key, operator, tuple(values)) for key, operator, values in plain)
