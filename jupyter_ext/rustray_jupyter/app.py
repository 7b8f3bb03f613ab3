"""``jupyter rustray``: clusters with names, from the command line and as Jupyter is configured.

Options may stand in ``jupyter_rustray_config.py`` (``jupyter rustray start --generate-config`` writes one). What the
commands do and print is that of ``rustray``; ``start --lab`` and ``dashboard`` are Jupyter's own.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

from jupyter_core.application import JupyterApp
from traitlets import Bool, Enum, Float, Int, Unicode

import rustray
import rustray.clusters
from rustray.cli import named, status, stopping
from rustray.cli.telling import tell
from rustray.errors import OptionError
from rustray.model.option_checks import meant
from rustray_jupyter import lab
from rustray_jupyter.command import ALIASES, FLAGS, RustRayCommand


class RustRayStart(RustRayCommand):
    """``start``."""

    name = "jupyter-rustray-start"
    description = """Start a cluster on this machine; it goes on until it is stopped.

    With --lab also JupyterLab, in this folder; the cluster is started only if it does not run yet. What follows '--'
    goes to JupyterLab.
    """
    examples = """jupyter rustray start --name work --num-cpus 2 --nodes 2
jupyter rustray start --lab -- --port 9999"""
    aliases: dict[Any, Any] = {
        **RustRayCommand.aliases,
        "name": ("RustRayCommand.cluster_name", "What the cluster is to be called; 'default' if empty."),
        "num-cpus": "RustRayStart.num_cpus",
        "num-gpus": "RustRayStart.num_gpus",
        "heads": "RustRayStart.heads",
        "nodes": "RustRayStart.nodes",
    }
    flags: dict[Any, Any] = {
        **FLAGS,
        "lab": ({"RustRayStart": {"lab": True}}, "Start JupyterLab too."),
        "no-browser": ({"RustRayStart": {"browser": False}}, "With --lab: open no browser."),
    }

    num_cpus = Float(None, allow_none=True, help="Slots of each node; counted if not given.").tag(config=True)
    num_gpus = Float(None, allow_none=True, help="GPUs of each node; counted if not given.").tag(config=True)
    heads = Enum((1, 3), 1, help="With 3 heads one may fail.").tag(config=True)
    nodes = Int(1, help="How many nodes, all on this machine.").tag(config=True)
    lab = Bool(False, help="Start JupyterLab too.").tag(config=True)
    browser = Bool(True, help="Whether JupyterLab opens one.").tag(config=True)

    def run(self) -> int:
        """Start it, and tell how to use and stop it."""
        if not self.lab:
            self.positional()
        name = self.cluster_name or "default"
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is half started is ended
        cluster = self._running(name) if self.lab else None
        if cluster is None:
            cluster = rustray.clusters.start(
                name, num_cpus=self.num_cpus, num_gpus=self.num_gpus, heads=self.heads, nodes=self.nodes
            )
        tell(f"Cluster {name!r}: {_count(cluster.heads, 'head')}, {_count(cluster.nodes, 'node')}.")
        tell(f'In a notebook: rustray.init("{name}")      Stop it: jupyter rustray stop {name}')
        if not self.lab:
            return 0
        if not self.extra_args and (url := lab.running(name)) is not None:
            tell(f"JupyterLab runs here already: {url}")
            if self.browser:
                lab.open_in_browser(url)
            return 0
        try:
            return lab.run(self.extra_args, self.browser, name)
        finally:
            if cluster.state != "stopped":
                tell(f"The cluster {name!r} goes on. To stop it: jupyter rustray stop {name}")

    def _running(self, name: str) -> rustray.clusters.Cluster | None:
        return next((one for one in rustray.clusters.list() if one.name == name), None)


class RustRayStop(RustRayCommand):
    """``stop``."""

    name = "jupyter-rustray-stop"
    description = "End a cluster: jupyter rustray stop [NAME]"
    flags: dict[Any, Any] = {
        **FLAGS,
        "drain": ({"RustRayStop": {"drain": True}}, "Let the nodes finish the tasks that run on them."),
    }

    drain = Bool(False, help="Let the nodes finish the tasks that run on them.").tag(config=True)

    def run(self) -> int:
        """End it."""
        (name,) = self.positional("the cluster's name")
        return stopping.stop_cluster(self.chosen(name), self.drain)


class RustRayList(RustRayCommand):
    """``list``."""

    name = "jupyter-rustray-list"
    description = "Print the clusters that run here."
    aliases: dict[Any, Any] = ALIASES
    flags: dict[Any, Any] = {**FLAGS, "json": ({"RustRayList": {"json": True}}, "For programs.")}

    json = Bool(False, help="For programs.").tag(config=True)

    def run(self) -> int:
        """Print them."""
        self.positional()
        return named.show_list(self.json)


class RustRayStatus(RustRayCommand):
    """``status``."""

    name = "jupyter-rustray-status"
    description = "Print nodes, heads, and what is in use: jupyter rustray status [NAME]"
    flags: dict[Any, Any] = {**FLAGS, "json": ({"RustRayStatus": {"json": True}}, "For programs.")}

    json = Bool(False, help="For programs.").tag(config=True)

    def run(self) -> int:
        """Print it."""
        (name,) = self.positional("the cluster's name")
        return status.show(rustray.clusters.find(self.chosen(name)).name, self.json)


class RustRayScale(RustRayCommand):
    """``scale``."""

    name = "jupyter-rustray-scale"
    description = "Have so many nodes on this machine: jupyter rustray scale NODES [--name NAME]"
    flags: dict[Any, Any] = {
        **FLAGS,
        "force": ({"RustRayScale": {"force": True}}, "Also to 0, while programs may be connected."),
    }

    force = Bool(False, help="Also to 0, while programs may be connected.").tag(config=True)

    def run(self) -> int:
        """Scale it."""
        (nodes,) = self.positional("the number of nodes")
        if nodes is None or not nodes.isdecimal():
            raise OptionError("Give the number of nodes: jupyter rustray scale NODES")
        return named.scale_cluster(self.chosen(None), int(nodes), self.force)


class RustRayLogs(RustRayCommand):
    """``logs``."""

    name = "jupyter-rustray-logs"
    description = "Print what the processes of a cluster have logged: jupyter rustray logs [NAME]"
    aliases: dict[Any, Any] = {
        **RustRayCommand.aliases,
        "process": "RustRayLogs.process",
        ("n", "lines"): "RustRayLogs.lines",
    }
    flags: dict[Any, Any] = {
        **FLAGS,
        ("f", "follow"): ({"RustRayLogs": {"follow": True}}, "Go on with what is written from now on."),
    }

    process = Unicode("", help="The name or pid of one head or node; all if empty.").tag(config=True)
    lines = Int(named.LINES, help="The last so many of each log.").tag(config=True)
    follow = Bool(False, help="Go on with what is written from now on.").tag(config=True)

    def run(self) -> int:
        """Print them."""
        (name,) = self.positional("the cluster's name")
        return named.show_logs(self.chosen(name), self.process or None, self.lines, self.follow)


class RustRayDashboard(RustRayCommand):
    """``dashboard``."""

    name = "jupyter-rustray-dashboard"
    description = """Open the dashboard in a browser: jupyter rustray dashboard [PANEL]

    It is a page of a Jupyter server that runs, and needs one.
    """
    flags: dict[Any, Any] = {
        **FLAGS,
        "no-browser": ({"RustRayDashboard": {"browser": False}}, "Print the URL only."),
    }

    browser = Bool(True, help="Open it, else the URL is printed only.").tag(config=True)

    def run(self) -> int:
        """Print the URL, and open it."""
        (panel,) = self.positional("a panel")
        url = lab.dashboard_url(panel or "", rustray.clusters.find(self.chosen(None)).name)
        print(url, flush=True)
        if self.browser:
            lab.open_in_browser(url)
        return 0


class RustRayApp(JupyterApp):
    """``jupyter rustray``."""

    name = "jupyter-rustray"
    version = rustray.__version__
    description = "RustRay clusters of this user on this machine."
    aliases: dict[Any, Any] = ALIASES
    flags: dict[Any, Any] = {}
    subcommands: dict[Any, Any] = {
        command.name.removeprefix("jupyter-rustray-"): (command, command.description.splitlines()[0])
        for command in (
            RustRayStart,
            RustRayStop,
            RustRayList,
            RustRayStatus,
            RustRayScale,
            RustRayLogs,
            RustRayDashboard,
        )
    }

    def start(self) -> None:
        """Hand over to the command."""
        super().start()
        known = ", ".join(self.subcommands)
        wanted = str(self.extra_args[0]) if self.extra_args else ""
        given = f"There is no command {wanted!r}.{meant(wanted, self.subcommands)} " if wanted else ""
        print(f"jupyter rustray: {given}Give one of: {known}. See: jupyter rustray --help", file=sys.stderr)
        self.exit(2)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


main = RustRayApp.launch_instance
"""The command jupyter-rustray."""

if __name__ == "__main__":
    main()
