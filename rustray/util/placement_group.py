"""Placement groups: resources on one or several nodes that are reserved together, for what is to run together.

group = rustray.util.placement_group([{"CPU": 2}, {"CPU": 2}], strategy="STRICT_SPREAD")
rustray.get(group.ready())
strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
train.options(num_cpus=2, scheduling_strategy=strategy).remote()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal

from rustray.driver import api
from rustray.driver.current import auto_init, current
from rustray.driver.refs import ObjectRef
from rustray.driver.remote_function import RemoteFunction
from rustray.errors import OptionError, PlacementGroupNotFoundError, RustRayError
from rustray.model import labels, option_checks
from rustray.model.options import TaskOptions
from rustray.model.quantities import amounts
from rustray.model.resources import RESERVED, Resources
from rustray.model.strategies import PlacementGroupSchedulingStrategy
from rustray.model.table import html_table

SHOW_S = 0.5
"""Seconds for which the head is asked about a group that is shown."""
STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")


class PlacementGroup:
    """A group of bundles, by its `id` (bytes). Handles are values: they can be passed to tasks and compared."""

    def __init__(self, id: bytes, bundle_cache: list[dict[str, float]] | None = None) -> None:
        self.id = id
        self.bundle_cache = bundle_cache

    def ready(self) -> ObjectRef:
        """A ref of the group itself, ready when all of its bundles have room.

        It fails with InfeasibleError when the group is removed before.
        """
        ref: ObjectRef = _READY.options(scheduling_strategy=PlacementGroupSchedulingStrategy(self)).remote(
            self
        )
        return ref

    def wait(self, timeout_seconds: float = 30) -> bool:
        """Whether all of its bundles have room, within so many seconds."""
        ref = self.ready()
        ready, _not_ready = api.wait([ref], timeout=timeout_seconds)
        if not ready:
            api.cancel(ref)
            return False
        try:
            api.get(ref)
        except RustRayError:
            return False  # it was removed
        return True

    @property
    def bundle_specs(self) -> list[dict[str, float]]:
        """The resources of each bundle."""
        if self.bundle_cache is None:
            self.bundle_cache = _row(self)["bundles"]
        return self.bundle_cache

    @property
    def bundle_count(self) -> int:
        """How many bundles it has."""
        return len(self.bundle_specs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlacementGroup) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> Any:
        return PlacementGroup, (self.id, self.bundle_cache)

    def __repr__(self) -> str:
        return f"PlacementGroup({self.id.hex()})"

    def _repr_html_(self) -> str:
        try:
            rows = current().requests.query_within(SHOW_S, "group_table", self.id)
        except RustRayError:
            rows = []
        if not rows:
            return f"<code>{escape(repr(self))}</code>"
        row = rows[0]
        named = f" {row['name']}" if row["name"] else ""
        told = f"{row['strategy']}, {row['state'].lower()}{': ' + row['reason'] if row['reason'] else ''}"
        bundles = [
            (str(index), amounts(bundle), node)
            for index, (bundle, node) in enumerate(zip(row["bundles"], row["nodes"], strict=True))
        ]
        table = html_table(("bundle", "resources", "node"), bundles)
        return f"<div><code>PlacementGroup{escape(named)}</code> <small>{escape(told)}</small></div>{table}"


def _itself(group: PlacementGroup) -> PlacementGroup:
    return group


_READY = RemoteFunction(_itself, TaskOptions.build({"num_cpus": 0, "name": "PlacementGroup.ready"}))


def placement_group(
    bundles: list[dict[str, float]],
    strategy: str = "PACK",
    name: str = "",
    lifetime: Literal["detached"] | None = None,
    bundle_label_selector: list[dict[str, str]] | None = None,
) -> PlacementGroup:
    """Reserve bundles of resources, all or none. Returns at once; see `PlacementGroup.ready`.

    Parameters
    ----------
    bundles: the resources of each, as ``[{"CPU": 2, "GPU": 1}, {"CPU": 1}]``; memory in bytes.
    strategy: "PACK": on as few nodes as possible. "SPREAD": evenly over the nodes. "STRICT_PACK": all on one node.
        "STRICT_SPREAD": each on another node.
    name: how `get_placement_group` finds it.
    lifetime: "detached" outlives the job or actor that makes it.
    bundle_label_selector: a label selector of each bundle (see `rustray.remote`, `label_selector`).

    Raises
    ------
    OptionError: a value that is not allowed, or a name that is taken.
    """
    _check_bundles(bundles)
    option_checks.one_of(*STRATEGIES)("strategy", strategy)
    if not isinstance(name, str):
        raise OptionError(f"name={name!r} is not allowed: it must be a string.")
    selectors = _selectors(bundle_label_selector, len(bundles))
    detached = option_checks.lifetime("lifetime", lifetime) == "detached"
    session = auto_init()
    session.check_open()
    group = session.new_object_id()
    hosted = session.hosted_actor
    asked = [{key: float(amount) for key, amount in bundle.items() if amount} for bundle in bundles]
    spec = {
        "bundles": asked,
        "selectors": selectors,
        "strategy": strategy,
        "name": name,
        "namespace": session.info["namespace"],
        "detached": detached,
        "actor": hosted[0] if hosted is not None else b"",
    }
    session.requests.query("group_create", group, session.info["job"], spec)
    return PlacementGroup(group, asked)


def remove_placement_group(placement_group: PlacementGroup) -> None:
    """Give a group's room back. What runs in it is killed; what waits for it fails. Harmless when it is removed."""
    current().requests.query("group_remove", _checked(placement_group).id)


def get_placement_group(placement_group_name: str) -> PlacementGroup:
    """The group of that name in this job's namespace; PlacementGroupNotFoundError (a ValueError) if there is none."""
    if not placement_group_name:
        raise ValueError("get_placement_group() needs a name.")
    session = current()
    found, bundles = session.requests.query("group_named", placement_group_name, session.info["namespace"])
    return PlacementGroup(found, bundles)


def placement_group_table(placement_group: PlacementGroup | None = None) -> dict[str, Any]:
    """What is known of a group, or of all by their ids in hexadecimal; those removed of late are among them.

    Keys: "placement_group_id", "name", "namespace", "strategy", "state" ("PENDING", "CREATED", "RESCHEDULING" or
    "REMOVED"), "bundles" {index: resources}, "bundles_to_node_id" {index: node, "" where it has no room}, "detached",
    and "reason": what it waits for, or why it was removed.
    """
    if placement_group is not None:
        return _told(_row(_checked(placement_group)))
    return {row["id"].hex(): _told(row) for row in current().requests.query("group_table", None)}


def get_current_placement_group() -> PlacementGroup | None:
    """The group that the calling task or actor runs in; None if there is none, and in a driver."""
    around = current().around
    return PlacementGroup(around[0]) if around is not None else None


def _row(group: PlacementGroup) -> dict[str, Any]:
    rows = current().requests.query("group_table", group.id)
    if not rows:
        raise PlacementGroupNotFoundError(f"{group!r} is not known here, or was removed long ago.")
    row: dict[str, Any] = rows[0]
    return row


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "placement_group_id": row["id"].hex(),
        "name": row["name"],
        "namespace": row["namespace"],
        "strategy": row["strategy"],
        "state": row["state"],
        "bundles": dict(enumerate(row["bundles"])),
        "bundles_to_node_id": dict(enumerate(row["nodes"])),
        "detached": row["detached"],
        "reason": row["reason"],
    }


def _checked(group: object) -> PlacementGroup:
    if not isinstance(group, PlacementGroup):
        raise OptionError(f"{group!r} ({type(group).__name__}) is not a PlacementGroup.")
    return group


def _check_bundles(bundles: object) -> None:
    if not isinstance(bundles, Sequence) or isinstance(bundles, str) or not bundles:
        raise OptionError(
            f"bundles={bundles!r}: give a list of one or more, as [{{'CPU': 1}}, {{'GPU': 1}}]."
        )
    for bundle in bundles:
        if not isinstance(bundle, Mapping) or not any(bundle.values()):
            raise OptionError(f"bundle {bundle!r} reserves nothing: give resources, as {{'CPU': 1}}.")
        custom = {name: amount for name, amount in bundle.items() if name not in RESERVED}
        try:
            Resources.of(bundle.get("CPU", 0), bundle.get("GPU", 0), bundle.get("memory", 0), custom)
        except (TypeError, ValueError) as error:
            raise OptionError(f"bundle {bundle!r} is not allowed: {error}.") from None


def _selectors(given: object, bundles: int) -> list[dict[str, str]]:
    if given is None:
        return []
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != bundles:
        raise OptionError(
            f"bundle_label_selector={given!r}: give a list of {bundles} label selectors, one a bundle."
        )
    for selector in given:
        try:
            labels.parse_selector(selector)
        except (AttributeError, ValueError) as error:
            raise OptionError(f"label selector {selector!r} is not allowed: {error}.") from None
    return [dict(selector) for selector in given]
