"""All commands of `%rustray`: the one list that the magic, its help, its completion and its documentation go by."""

from __future__ import annotations

import textwrap

from rustray.jupyter import options
from rustray.jupyter.attaching import attach
from rustray.jupyter.console import cancelling, looking, opening
from rustray.jupyter.console.command import EXPRESSION, WORD, WORDS, Command
from rustray.jupyter.console.live_names import CLUSTERS, FILES, LOGS, PANELS, TASKS, VALUES

USAGE, WIDTH = 36, 88
"""Characters of a line before what a command does, and of all; more would be wrapped in a notebook."""
ALL = {"--all": ("all", options.switch)}


def help() -> None:
    """Print all commands."""
    told = [(f"%rustray {command.usage}", command.about) for command in COMMANDS]
    told.append(
        ("%%remote, %%actor", "run a cell on the cluster, make an actor of one: %%remote? tells more")
    )
    for usage, about in told:
        lines = textwrap.wrap(about, WIDTH - USAGE)
        if len(usage) >= USAGE:
            lines.insert(0, "")
        first, *more = lines
        print(f"{usage:<{USAGE}}{first}".rstrip())
        for line in more:
            print(f"{'':{USAGE}}{line}")


COMMANDS = (
    Command(
        "init",
        opening.init,
        "connect to the newest cluster that runs here, else start one",
        "rustray.init()",
        {
            "--address": ("address", str),
            "--name": ("name", str),
            "--num-cpus": ("num_cpus", int),
            "--new": ("new", options.switch),
        },
        WORD,
        "address",
        "ADDRESS",
        CLUSTERS,
        {"--address": CLUSTERS, "--name": CLUSTERS},
    ),
    Command(
        "attach",
        attach,
        "the cells of this notebook's kernel before, with their results",
        "rustray.jupyter.attaching.attach()",
    ),
    Command("status", looking.status, "the cluster at a glance", "rustray.status()"),
    Command(
        "stop",
        opening.stop,
        "end the cluster, or the one of this name",
        "rustray.clusters.find(NAME).stop()",
        takes=WORD,
        argument="name",
        metavar="NAME",
        names=CLUSTERS,
    ),
    Command(
        "dashboard",
        looking.dashboard,
        "a live view, of these panels",
        "rustray.dashboard(PANEL, ...)",
        takes=WORDS,
        argument="panels",
        metavar="PANEL",
        names=PANELS,
    ),
    Command(
        "nodes",
        looking.nodes,
        "the nodes; --all: also those that left",
        'state.list_nodes(filters=[("state", "=", "ALIVE")])',
        ALL,
    ),
    Command("tasks", looking.tasks, "tasks by function; --all: one by one", "state.summarize_tasks()", ALL),
    Command(
        "actors",
        looking.actors,
        "the actors; --all: the dead and RustRay's own too",
        'state.list_actors(filters=[("state", "!=", "DEAD")])',
        ALL,
    ),
    Command("objects", looking.objects, "the largest objects", "state.list_objects()"),
    Command(
        "jobs",
        looking.jobs,
        "programs that use the cluster; --all: also the ended",
        'state.list_jobs(filters=[("status", "=", "RUNNING")])',
        ALL,
    ),
    Command(
        "logs",
        looking.logs,
        "the last lines of heads and nodes, or of one; or what a cell or task has shown",
        "rustray.logs(REF), rustray.clusters.find().logs(PROCESS, LINES)",
        {"--lines": ("lines", int)},
        WORD,
        "process",
        "PROCESS|REF",
        LOGS,
    ),
    Command(
        "cancel",
        cancelling.cancel,
        "cancel refs, a task by its id, a cell by its name, or all of this notebook",
        "rustray.cancel(REF)",
        ALL,
        EXPRESSION,
        "what",
        "REF|TASK|CELL",
        TASKS,
    ),
    Command(
        "explain",
        looking.explain,
        "why a task, call or actor waits: a ref (or list: its first that is not done), an actor, or an id",
        "rustray.explain(REF)",
        takes=EXPRESSION,
        argument="what",
        metavar="REF|ACTOR|TASK",
        names=VALUES,
    ),
    Command(
        "timeline",
        looking.timeline,
        "write a trace of the last minutes for ui.perfetto.dev",
        "rustray.timeline(FILE)",
        takes=WORD,
        argument="file",
        metavar="FILE",
        names=FILES,
    ),
    Command(
        "shutdown", opening.shutdown, "leave the cluster; ends it if init started it", "rustray.shutdown()"
    ),
    Command("help", help, "this list", "help(rustray)"),
)
