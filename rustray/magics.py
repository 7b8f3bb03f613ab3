"""`%load_ext rustray`: the magics `%rustray` and `%%remote`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

import rustray
from rustray.driver import discovery
from rustray.driver.current import current, forbid_auto_init
from rustray.driver.registry import clusters
from rustray.errors import ClusterStartError, OptionError, RustRayError
from rustray.explanation import Explanation
from rustray.jupyter import options
from rustray.jupyter.cell_magics import CellMagics
from rustray.jupyter.short_errors import short_errors
from rustray.model import ids
from rustray.model.option_checks import unknown_name
from rustray.status import ClusterStatus

INIT_OPTIONS: options.Options = {"--num-cpus": ("num_cpus", int), "--address": ("address", str)}
_ID = re.compile(f"[0-9a-fA-F]{{{2 * ids.OBJECT_ID_BYTES - 4},{2 * ids.OBJECT_ID_BYTES}}}")
"""Of a task or object, in hexadecimal."""
NO_OPTIONS: options.Options = {}


@magics_class
class RustRayMagics(Magics):
    """The magics of one shell."""

    @line_magic
    def rustray(self, line: str) -> Any:
        """`%rustray init [ADDRESS] [--num-cpus N]`, `status`, `explain TASK`, `dashboard`, `shutdown`, `help`."""
        command, _, rest = line.strip().partition(" ")
        commands: dict[str, tuple[Callable[..., Any], options.Options]] = {
            "init": (_init, INIT_OPTIONS),
            "status": (_status, NO_OPTIONS),
            "dashboard": (_dashboard, NO_OPTIONS),
            "shutdown": (_shutdown, NO_OPTIONS),
            "help": (_help, NO_OPTIONS),
        }
        with short_errors():
            if not command or command.startswith("#"):
                command, rest = "help", ""
            if command == "explain":
                return _explain(self.shell, rest.strip())
            if command not in commands:
                raise unknown_name("action of %rustray", command, [*commands, "explain"])
            call, known = commands[command]
            bare = "address" if command == "init" else ""
            given = options.parse(f"%rustray {command}", rest, known, bare)
            return call(**given)


def load(ipython: Any) -> None:
    """Register the magics with this shell."""
    ipython.register_magics(RustRayMagics, CellMagics)


def unload(ipython: Any) -> None:
    """Take the magics out of this shell. The cluster, if there is one, stays."""
    known = ipython.magics_manager
    if known.registry.pop(RustRayMagics.__name__, None) is not None:
        known.registry.pop(CellMagics.__name__, None)
        known.magics["line"].pop("rustray", None)
        for magic in CellMagics.magics["cell"]:
            known.magics["cell"].pop(magic, None)


def _init(**given: Any) -> None:
    if rustray.is_initialized():
        # The first cell of a notebook is run again and again.
        print(_already_connected(**given))
        return
    started = time.perf_counter()
    try:
        rustray.init(**given)
    except RustRayError as error:
        if "address" in given:
            forbid_auto_init(
                f"%rustray init {given['address']} has failed, and no cluster is started in place of that one: "
                f"{error} Run it again, or %rustray init without an address for a cluster of this notebook's own."
            )
        raise
    passed = time.perf_counter() - started
    print(f"RustRay is ready with {rustray.cluster_resources().get('CPU', 0):g} CPUs, after {passed:.2f} s.")


def _already_connected(address: str = "", **others: Any) -> str:
    """What to say to `init` while there is a session."""
    session = current()
    here = next((facts for facts in clusters() if facts.get("socket") == session.info["socket"]), {})
    heads = ",".join(here.get("heads", ()))
    where = f"the cluster of {heads}" if heads else "a cluster that was started here"
    try:
        same = not address or discovery.find_node(address) == session.info["socket"]
    except ClusterStartError:
        same = False
    if not same and not set(address.split(",")) & set(here.get("heads", ())):
        return f"RustRay is already connected, to {where}, not to {address}. %rustray shutdown leaves it."
    kept = " Its options stay as they are; %rustray shutdown leaves it." if others else ""
    return f"RustRay is already connected, to {where}.{kept}"


def _explain(shell: Any, what: str) -> Explanation:
    _check_cluster("explain")
    if not what:
        raise OptionError(
            "%rustray explain needs what to explain: a variable with a ref or an actor, or an id."
        )
    return rustray.explain(what if _ID.fullmatch(what) else shell.ev(what))


def _check_cluster(action: str) -> None:
    if not rustray.is_initialized():
        raise OptionError(f"%rustray {action} needs a cluster, and there is none: %rustray init starts one.")


def _status() -> ClusterStatus:
    _check_cluster("status")
    return rustray.status()


def _dashboard() -> Any:
    from rustray import dashboard

    _check_cluster("dashboard")
    return dashboard.show()


HELP = """\
%rustray init [--num-cpus N]                start a cluster
%rustray init ADDRESS                       connect to one, as to HOST:PORT, or auto for the newest of this machine
%rustray status                             its nodes, workers and memory as they are now
%rustray explain TASK                       why a task waits: a ref, an actor, a placement group, or an id
%rustray dashboard                          the same, moving
%rustray shutdown                           leave; ends the cluster that init started
%rustray help                               this list
%%remote [-o NAMES] [-b] [--map 'x in xs'] ...
                                            run the cell on the cluster; %%remote? tells more
%%actor NAME ...                            make an actor of the cell's class; %%actor? tells more"""


def _help() -> None:
    print(HELP)


def _shutdown() -> None:
    if rustray.is_initialized():
        rustray.shutdown()
        print("RustRay is shut down.")
    else:
        print("There is no cluster to shut down.")
