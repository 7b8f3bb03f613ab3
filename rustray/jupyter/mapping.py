"""`--map 'x in xs'`: what the loop says, and how the failures of its elements are told. Pure."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

GROUPS_TOLD = 3
ELEMENTS_TOLD = 3


@dataclass(frozen=True)
class MapClause:
    """`target in iterable`, both as source text, and the `names` that the target binds."""

    target: str
    names: tuple[str, ...]
    iterable: str


def map_clause(text: str) -> MapClause:
    """Read 'x in xs' or 'a, b in pairs'; ValueError if it is something else."""
    try:
        tree = ast.parse(f"[0 for {text}\n]", mode="eval").body
    except SyntaxError:
        raise ValueError(text) from None
    if not isinstance(tree, ast.ListComp) or len(tree.generators) != 1:
        raise ValueError(text)
    loop = tree.generators[0]
    bound = [node for node in ast.walk(loop.target) if isinstance(node, ast.Name)]
    plain = all(
        isinstance(node, ast.Name | ast.Tuple | ast.List | ast.Starred | ast.Store)
        for node in ast.walk(loop.target)
    )
    if loop.ifs or loop.is_async or not plain:
        raise ValueError(text)
    return MapClause(ast.unparse(loop.target), tuple(name.id for name in bound), ast.unparse(loop.iter))


def grouped_failures(total: int, failures: Sequence[tuple[int, str]]) -> str:
    """What is said of the elements that failed, equal errors together.

    Parameters
    ----------
    total: how many elements there are.
    failures: position and error, as "ValueError: no", of each that failed.
    """
    groups: dict[str, list[int]] = {}
    for position, error in failures:
        groups.setdefault(error, []).append(position)
    most = sorted(groups.items(), key=lambda group: -len(group[1]))
    told = [f"{len(at)} x {error} (element {_positions(at)})" for error, at in most[:GROUPS_TOLD]]
    if len(most) > GROUPS_TOLD:
        told.append(f"{sum(len(at) for _error, at in most[GROUPS_TOLD:])} others")
    return f"{len(failures)} of {total} elements failed: {'; '.join(told)}"


def _positions(at: Sequence[int]) -> str:
    return ", ".join(map(str, at[:ELEMENTS_TOLD])) + (", ..." if len(at) > ELEMENTS_TOLD else "")
