"""Which bundle of a placement group goes to which node: all of them, or none.

Finding the fewest nodes is bin packing, so PACK and SPREAD are best effort: the biggest bundles first, each to the node
that suits the strategy best. STRICT_PACK and STRICT_SPREAD are exact, the latter by augmenting paths in the graph of
bundles and nodes (Kuhn, Naval Research Logistics Quarterly 1955).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from rustray.model.resources import Resources

N = TypeVar("N")

PACK, SPREAD, STRICT_PACK, STRICT_SPREAD = "PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"


class Bundles(NamedTuple, Generic[N]):
    """The bundles that want a node.

    Parameters: requests: by index. allowed: whether the labels of a node allow the bundle of that index there.
    taken: how many other bundles of the group each node has already.
    """

    requests: Mapping[int, Resources]
    allowed: Callable[[int, N], bool]
    taken: Mapping[N, int]


def plan(strategy: str, bundles: Bundles[N], room: Mapping[N, Mapping[str, int]]) -> dict[int, N] | None:
    """A node for each bundle, None if there is no room for all of them.

    Parameters: room: units open on each node, those preferred (as the least loaded) first.
    """
    if strategy == STRICT_PACK:
        return _on_one(bundles, room)
    if strategy == STRICT_SPREAD:
        return _on_distinct(bundles, room)
    preferred = _packed(bundles, room) if strategy == PACK else _spread(bundles, room)
    return preferred if preferred is not None else _tightest(bundles, room)


def better(strategy: str, one: Iterable[N], other: Iterable[N]) -> bool:
    """Whether bundles on the nodes of `one` meet PACK or SPREAD better than on those of `other`."""
    count, than = len(set(one)), len(set(other))
    return count > than if strategy == SPREAD else count < than


def _by_size(requests: Mapping[int, Resources], room: Mapping[N, Mapping[str, int]]) -> list[int]:
    """Indices, the biggest bundle first: by the largest share that it takes of what all nodes have of a resource."""
    total: dict[str, int] = {}
    for left in room.values():
        for name, units in left.items():
            total[name] = total.get(name, 0) + max(0, units)

    def size(index: int) -> float:
        return max(
            (units / max(1, total.get(name, 0)) for name, units in requests[index].items()), default=0.0
        )

    return sorted(requests, key=lambda index: (-size(index), index))


def _on_one(bundles: Bundles[N], room: Mapping[N, Mapping[str, int]]) -> dict[int, N] | None:
    whole = sum(bundles.requests.values(), Resources())
    for node, left in room.items():
        others = [other for other in bundles.taken if other != node]
        if (
            not others
            and whole.fits(left)
            and all(bundles.allowed(index, node) for index in bundles.requests)
        ):
            return dict.fromkeys(bundles.requests, node)
    return None


def _packed(bundles: Bundles[N], room: Mapping[N, Mapping[str, int]]) -> dict[int, N] | None:
    """Fill the node that takes most of the bundles, then the one that takes most of the rest; those that have
    some already first."""
    order = _by_size(bundles.requests, room)
    plans: dict[int, N] = {}
    takes = {node: _fill(order, node, room[node], bundles) for node in room}
    nodes = sorted(takes, key=lambda node: (-bundles.taken.get(node, 0), -len(takes[node])))
    for node in nodes:
        rest = [index for index in order if index not in plans]
        for index in _fill(rest, node, room[node], bundles):
            plans[index] = node
        if len(plans) == len(order):
            return plans
    return None


def _fill(order: Sequence[int], node: N, room: Mapping[str, int], bundles: Bundles[N]) -> list[int]:
    left = dict(room)
    filled = []
    for index in order:
        request = bundles.requests[index]
        if request.fits(left) and bundles.allowed(index, node):
            filled.append(index)
            for name, units in request.items():
                left[name] -= units
    return filled


def _spread(bundles: Bundles[N], room: Mapping[N, Mapping[str, int]]) -> dict[int, N] | None:
    """Each to the node that has the fewest bundles of the group and fits."""
    left = {node: dict(open_) for node, open_ in room.items()}
    levels: list[list[N]] = []  # nodes by how many bundles they have
    for node in room:
        level = bundles.taken.get(node, 0)
        while len(levels) <= level:
            levels.append([])
        levels[level].append(node)
    plans: dict[int, N] = {}
    for index in _by_size(bundles.requests, room):
        request = bundles.requests[index]
        found = next(
            (
                (level, node)
                for level, nodes in enumerate(levels)
                for node in nodes
                if request.fits(left[node]) and bundles.allowed(index, node)
            ),
            None,
        )
        if found is None:
            return None
        level, plans[index] = found
        for name, units in request.items():
            left[plans[index]][name] -= units
        levels[level].remove(plans[index])
        if level + 1 == len(levels):
            levels.append([])
        levels[level + 1].append(plans[index])
    return plans


def _tightest(bundles: Bundles[N], room: Mapping[N, Mapping[str, int]]) -> dict[int, N] | None:
    """Each to the node that it fills most: where room is scarce, all that counts is that it suffices."""
    left = {node: dict(open_) for node, open_ in room.items()}
    plans: dict[int, N] = {}
    for index in _by_size(bundles.requests, room):
        request = bundles.requests[index]
        fits = [node for node in left if request.fits(left[node]) and bundles.allowed(index, node)]
        if not fits:
            return None
        plans[index] = found = min(fits, key=lambda node: _left_over(request, left[node]))
        for name, units in request.items():
            left[found][name] -= units
    return plans


def _left_over(request: Resources, left: Mapping[str, int]) -> float:
    return max(((left[name] - units) / units for name, units in request.items()), default=0.0)


def _on_distinct(bundles: Bundles[N], room: Mapping[N, Mapping[str, int]]) -> dict[int, N] | None:
    free = [node for node in room if node not in bundles.taken]
    if len(free) < len(bundles.requests):
        return None
    guest: dict[N, int] = {}  # the bundle that has the node for now
    for index in _by_size(bundles.requests, room):
        if not _find_node(index, free, guest, bundles, room):
            return None
    return {index: node for node, index in guest.items()}


def _find_node(
    index: int,
    free: Sequence[N],
    guest: dict[N, int],
    bundles: Bundles[N],
    room: Mapping[N, Mapping[str, int]],
) -> bool:
    """Give the bundle a node, if need be by moving others, along a shortest path, to nodes that do for them as well."""
    came_from: dict[N, N | None] = {}
    reached: list[tuple[int, N | None]] = [
        (index, None)
    ]  # bundles that look for another node, and the one they leave
    for looking, leaves in reached:
        request = bundles.requests[looking]
        for node in free:
            if node in came_from or not request.fits(room[node]) or not bundles.allowed(looking, node):
                continue
            came_from[node] = leaves
            if node in guest:
                reached.append((guest[node], node))
                continue
            at: N | None = node
            while at is not None:
                before = came_from[at]
                guest[at] = guest[before] if before is not None else index
                at = before
            return True
    return False
