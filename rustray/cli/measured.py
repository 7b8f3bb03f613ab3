"""``rustray metrics`` and ``rustray timeline``: what a cluster has measured, for other programs."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rustray.cli.asking import add_address, connected
from rustray.clusters import registry
from rustray.clusters.connection_file import is_name
from rustray.errors import OptionError
from rustray.metrics import prometheus
from rustray.metrics.trace import chrome_trace
from rustray.timeline import task_events, write

DEFAULT_FILE = "timeline.json"


def add_commands(commands: Any) -> None:
    """The two commands."""
    metrics = commands.add_parser(
        "metrics",
        help="print the cluster's metrics once",
        description="Print the cluster's metrics as Prometheus reads them, for node_exporter's textfile collector.",
    )
    add_address(metrics)
    metrics.set_defaults(run=run_metrics)
    trace = commands.add_parser(
        "timeline",
        help="write what ran when",
        description="Write what ran when and where as a trace for chrome://tracing or ui.perfetto.dev.",
    )
    trace.add_argument("file", nargs="?", default=DEFAULT_FILE, help=f"where to; {DEFAULT_FILE} if not given")
    add_address(trace)
    trace.set_defaults(run=run_timeline)


def run_metrics(options: argparse.Namespace) -> int:
    """Print them."""
    with connected(options.address) as (query, _facts):
        sys.stdout.write(prometheus.render(query))
    return 0


def run_timeline(options: argparse.Namespace) -> int:
    """Write it, and say what is in it. OptionError where the file would be called as a cluster that was meant."""
    if is_name(options.file) and registry.find(options.file) is not None:
        raise OptionError(
            f"{options.file!r} is a cluster: 'rustray timeline --name {options.file}' writes its trace to "
            f"{DEFAULT_FILE}. For a file of that name give ./{options.file}"
        )
    with connected(options.address) as (query, _facts):
        events = task_events(query)
    try:
        write(chrome_trace(events), options.file)
    except OSError as error:
        raise OptionError(f"{options.file} cannot be written: {error}") from error
    print(f"{len(events)} tasks written to {options.file}: open it in ui.perfetto.dev or chrome://tracing.")
    return 0
