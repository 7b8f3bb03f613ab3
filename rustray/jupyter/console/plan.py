"""What `%rustray init` is to do: use a cluster that runs, or start one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rustray.errors import OptionError


@dataclass(frozen=True)
class Connect:
    """Use the cluster at an address, as of `rustray.init`."""

    address: str


@dataclass(frozen=True)
class StartNamed:
    """Start a cluster with a name, which goes on when the notebook ends, and use it."""

    name: str


@dataclass(frozen=True)
class StartOwn:
    """Start a cluster of the notebook's own; or come back to the one that its kernel before has left, if not `new`."""

    new: bool = False


Plan = Connect | StartNamed | StartOwn


def plan(
    address: str,
    name: str,
    new: bool,
    num_cpus: float | None,
    running: Sequence[str],
    usual: str = "",
    left: bool = False,
) -> Plan:
    """What the options ask for.

    Parameters
    ----------
    address, name, new, num_cpus: the options; "" and None where they are not given.
    running: names of the clusters that go on by themselves, the newest last.
    usual: the address that the environment gives to programs which say none.
    left: whether the notebook's kernel before has left a cluster of its own, to which it is to come back.

    Raises
    ------
    OptionError: options that exclude each other.
    """
    if address and (name or new or num_cpus is not None):
        raise OptionError(
            f"%rustray init: {address} is a cluster that runs already; --name, --new and --num-cpus are for one "
            "that is to be started."
        )
    if address:
        return Connect(address)
    if name and name in running and not new:
        if num_cpus is not None:
            raise OptionError(
                f"%rustray init: the cluster {name!r} runs already, with the CPUs it was given; leave --num-cpus out."
            )
        return Connect(name)
    if name:
        return StartNamed(name)
    if new or num_cpus is not None or left:
        return StartOwn(new)
    if usual or running:
        return Connect(usual or running[-1])
    return StartOwn()
