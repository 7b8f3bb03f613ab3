"""Checks of option values: each takes an option's name and value and gives the value to keep.

All raise OptionError, which says what was given and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rustray.errors import OptionError
from rustray.model import labels, strategies

SMALLEST_AMOUNT = 0.0001  # of a resource, as in Ray
MOST_URGENT = 10
LARGEST_AMOUNT = 10**15  # far from where counting in units of the smallest one ceases to be exact


def unknown_name(what: str, name: object, known: Iterable[str]) -> OptionError:
    """The error of `name`, which is not a `what` (as "option of a task"), naming the nearest that is."""
    names = sorted(known)
    return OptionError(
        f"{name!r} is not {_with_article(what)}.{meant(name, names)} There are: {', '.join(names)}."
    )


def meant(name: object, known: Iterable[str]) -> str:
    """ " Did you mean 'work'?", with the one of the known names that is nearest; "" where none is near.

    The dashes of options count for nothing, as all options have them.
    """
    import difflib  # 5 ms, on the way to an error only

    bare = {one.lstrip("-"): one for one in sorted(known)}
    near = difflib.get_close_matches(str(name).lstrip("-"), bare, n=1, cutoff=0.5)
    return f" Did you mean {bare[near[0]]!r}?" if near else ""


def kind_of(value: object) -> str:
    """As "an int", "a list"."""
    return _with_article(type(value).__name__)


def _with_article(what: str) -> str:
    """As "an option", "a field"."""
    return f"{'an' if what[:1] in 'aeioAEIO' else 'a'} {what}"


def quantity(*, none: float) -> Callable[[str, Any], float]:
    """An amount of a resource; None stands for `none`."""

    def check(name: str, value: Any) -> float:
        return none if value is None else _amount(name, value)

    return check


def gpus(name: str, value: Any) -> float:
    """An amount of GPUs: a fraction of one, or a whole number of them."""
    amount = 0 if value is None else _amount(name, value)
    if amount > 1 and amount != amount // 1:
        raise _refused(name, value, "at most 1 or a whole number: a task shares one GPU or has whole ones")
    return amount


def count(*, least: int, none: int | None) -> Callable[[str, Any], int | None]:
    """A whole number from `least` on; -1 means without end. None stands for `none`."""

    def check(name: str, value: Any) -> int | None:
        if value is None:
            return none
        if not _is_whole(value) or value < least:
            allowed = (
                "a whole number from 0 on, or -1 for no limit"
                if least < 0
                else f"a whole number from {least} on"
            )
            raise _refused(name, value, allowed)
        return int(value)

    return check


def one_of(*allowed: str | None) -> Callable[[str, Any], str | None]:
    """One of some words."""

    def check(name: str, value: Any) -> str | None:
        if value is not None and not isinstance(value, str) or value not in allowed:
            raise _refused(name, value, " or ".join(map(repr, allowed)))
        return value

    return check


def strategy(name: str, value: Any) -> Any:
    """Where to run: a word or one of the strategy objects."""
    if value is None or isinstance(value, strategies.STRATEGIES):
        return value
    if isinstance(value, str) and value in (strategies.DEFAULT, strategies.SPREAD):
        return value
    raise _refused(name, value, "'DEFAULT', 'SPREAD' or one of rustray.util.scheduling_strategies")


def label_selector(name: str, value: Any) -> dict[str, str]:
    """{label: condition}."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _refused(name, value, "a dict of {label: 'value', '!value', 'in(a, b)' or '!in(a, b)'}")
    try:
        labels.parse_selector(value)
    except ValueError as error:
        raise OptionError(f"{name}={value!r} is not allowed: {error}.") from None
    return dict(value)


def priority(name: str, value: Any) -> int:
    """How urgent, 0 as usual."""
    if not _is_whole(value) or not -MOST_URGENT <= value <= MOST_URGENT:
        raise _refused(name, value, f"a whole number from -{MOST_URGENT} to {MOST_URGENT}")
    return int(value)


def resources(name: str, value: Any) -> dict[str, float]:
    """{custom resource: amount}."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _refused(name, value, "a dict of {name: amount}")
    if "" in value:
        raise OptionError(f"{name}={value!r} is not allowed: the name of a resource must not be empty.")
    for key, instead in (("CPU", "num_cpus"), ("GPU", "num_gpus"), ("memory", "memory")):
        if key in value:
            raise OptionError(f"{name}={{{key!r}: ...}} is not allowed: use {instead}={value[key]!r}.")
    return {key: _amount(f"{name}[{key!r}]", amount) for key, amount in value.items()}


def byte_count(name: str, value: Any) -> int:
    """A number of bytes; a whole float, as 500e6, is one too."""
    if value is None:
        return 0
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value <= LARGEST_AMOUNT
        or value % 1
    ):
        raise _refused(name, value, "a whole number of bytes from 0 on, as 500 * 2**20")
    return int(value)


def text_or_none(name: str, value: Any) -> str | None:
    """A string that is not empty."""
    if value is not None and (not isinstance(value, str) or not value):
        raise _refused(name, value, "a string that is not empty, or None")
    return value


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise _refused(name, value, "True or False")
    return value


def mapping_or_none(name: str, value: Any) -> Mapping[str, Any] | None:
    """A dict; its members are checked by whom it is for."""
    if value is not None and not isinstance(value, Mapping):
        raise _refused(name, value, "a dict or None")
    return value


def num_returns(name: str, value: Any) -> int | str | None:
    """How many refs a call gives."""
    if value in (None, "streaming", "dynamic") or (_is_whole(value) and 0 <= value <= 65_535):
        return value  # type: ignore[no-any-return]
    raise _refused(name, value, "a whole number from 0 to 65535, 'streaming', 'dynamic' or None")


def exceptions(name: str, value: Any) -> bool | tuple[type[BaseException], ...]:
    """Which exceptions are retried."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple)):
        if all(isinstance(one, type) and issubclass(one, Exception) for one in value):
            return tuple(value)
    raise _refused(name, value, "True, False or a list of exception classes")


def lifetime(name: str, value: Any) -> str | None:
    """ "detached", or None, for which Ray also has the word "non_detached"."""
    checked = one_of(None, "detached", "non_detached")(name, value)
    return None if checked == "non_detached" else checked


def concurrency_groups(name: str, value: Any) -> dict[str, int]:
    """{group: calls of it that run at once}; as in Ray also [{"name": ..., "max_concurrency": ...}]."""
    if value is None:
        return {}
    allowed = "a dict of {group: number of calls at once, from 1 on}"
    if isinstance(value, list) and all(isinstance(one, dict) and "name" in one for one in value):
        value = {one["name"]: one.get("max_concurrency", 1) for one in value}
    if not isinstance(value, Mapping):
        raise _refused(name, value, allowed)
    for group, number in value.items():
        if not isinstance(group, str) or not _is_whole(number) or number < 1:
            raise _refused(name, value, allowed)
    return dict(value)


def _amount(name: str, value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value < 0
    ):
        raise _refused(name, value, "a number from 0 on")
    if 0 < value < SMALLEST_AMOUNT:
        raise _refused(name, value, f"0 or a number from {SMALLEST_AMOUNT} on")
    if value > LARGEST_AMOUNT:
        raise _refused(name, value, f"a number up to {LARGEST_AMOUNT:.0e}")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _refused(name: str, value: Any, allowed: str) -> OptionError:
    return OptionError(f"{name}={value!r} ({type(value).__name__}) is not allowed: it must be {allowed}.")
