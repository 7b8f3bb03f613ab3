"""Whether a cluster works with those of its processes that live, and what it lacks. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rustray.clusters.connection_file import Process

RUNNING, BROKEN = "running", "broken"


def health(known: Sequence[Process], alive: Sequence[Process], heads: int) -> tuple[str, str]:
    """Its state and a remark, "" where nothing is amiss.

    Parameters
    ----------
    known: its processes on this machine. Those on others are taken to live, for nothing is known of them here.
    alive: those of them that live.
    heads: how many it has, on all machines together; 0 where head and node are one process.
    """
    heads = max(heads, _count(known, "head"))
    heads_down = _count(known, "head") - _count(alive, "head")
    nodes = len(known) - _count(known, "head")
    nodes_down = nodes - (len(alive) - _count(alive, "head"))
    remarks = [
        f"{down} of {count} {word}s {'is' if down == 1 else 'are'} down"
        if count > 1
        else f"its {word} is down"
        for down, count, word in ((heads_down, heads, "head"), (nodes_down, nodes, "node"))
        if down
    ] + ["it has no node here"] * (not nodes)
    has_majority = 2 * (heads - heads_down) > heads or not heads
    return RUNNING if has_majority and nodes_down < nodes else BROKEN, ", ".join(remarks)


def _count(processes: Sequence[Process], role: str) -> int:
    return sum(process.role == role for process in processes)
