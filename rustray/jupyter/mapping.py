"""`--map 'x in xs'`: what the loop says. Pure."""

from __future__ import annotations

import ast
from dataclasses import dataclass


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
