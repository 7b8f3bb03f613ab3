"""The nodes, a tile each: how they are, how busy their processors are, how full their memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rustray.cluster.commands import NODE_LEFT
from rustray.dashboard.answers import Answers
from rustray.dashboard.tables.words import Table, columns, legend, note, of_all, rate, short_node, values
from rustray.model.colours import BLUE, FAILED, GREEN, GREY, ORANGE, PURPLE, TRACK
from rustray.model.quantities import byte_size

TILES = 120
GONE_S = 120.0
"""Seconds that a node which is lost, or has left in order, is still shown."""
SILENT_S = 3.0
FULL = 0.9

WELL, BUSY, FULL_STATE, SILENT, LOST = "well", "busy", "nearly full", "silent", "lost"
LEFT_IT = "left"
COLOURS = {WELL: GREEN, BUSY: BLUE, FULL_STATE: ORANGE, SILENT: PURPLE, LOST: FAILED, LEFT_IT: GREY}

LEFT, RIGHT = 0.22, 0.76
"""Ends of a meter, in a tile that is one unit wide."""

Tile = dict[str, Any]


def tables(answers: Answers, now: float) -> Table:
    """Of "nodes", "node_metrics" and "gone_nodes"."""
    metrics = answers["node_metrics"]
    tiles = [_tile(row, metrics.get(row["name"], ()), now) for row in answers["nodes"] if row["resources"]]
    gone = [row for row in answers["gone_nodes"] if now - row["removed"] < GONE_S]
    tiles += [_gone(row, now) for row in gone]
    counts = {state: sum(tile["state"] == state for tile in tiles) for state in COLOURS}
    there, living = len(tiles), len(tiles) - counts[LOST] - counts[LEFT_IT]
    worst = max((tile["memory"] for tile in tiles), default=None)
    tiles = sorted(tiles, key=lambda tile: str(tile["name"]))[:TILES]
    return {
        "tiles": columns(
            ("tile", "x", "y", "color", "name", "state", "cpu", "memory", "told", "more"),
            (
                (
                    at,
                    0.0,
                    0.0,
                    COLOURS[tile["state"]],
                    short_node(tile["name"], 18),
                    tile["state"],
                    tile["cpu_text"],
                    tile["memory_text"],
                    tile["told"],
                    tile["more"],
                )
                for at, tile in enumerate(tiles)
            ),
        ),
        "meters": columns(
            ("tile", "left", "right", "y", "color"),
            (meter for at, tile in enumerate(tiles) for meter in _meters(at, tile)),
        ),
        "values": values(
            ("nodes", "Nodes", str(living), of_all(len(tiles), there), living),
            ("lost", "Lost", str(counts[LOST]), f"in {GONE_S / 60:.0f} min", counts[LOST]),
            (
                "memory",
                "Fullest",
                "–" if worst is None else f"{100 * worst:.0f} %",
                "of a node's memory",
                None if worst is None else 100 * worst,
            ),
        ),
        "legend": legend(
            (state, color) for state, color in COLOURS.items() if counts[state] or state == WELL
        ),
        "note": note("" if tiles else "No nodes yet"),
    }


def _tile(row: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], now: float) -> Tile:
    if not samples:
        return _plain(row["name"], WELL, "no sample yet")
    last = samples[-1]
    memory = last["memory"] / max(1, last["memory_total"])
    state = WELL
    if now - last["time"] > SILENT_S:
        state = SILENT
    elif memory > FULL or last["store"] > FULL * max(1, last["store_capacity"]):
        state = FULL_STATE
    elif last["busy"]:
        state = BUSY
    gpus = [f"GPU {gpu['index']}: {gpu['utilisation']:.0f} %" for gpu in last["gpus"]]
    return {
        "name": row["name"],
        "state": state,
        "cpu": last["cpu"] / 100,
        "memory": memory,
        "cpu_text": f"{last['cpu']:.0f} %",
        "memory_text": f"{100 * memory:.0f} %",
        "told": f"{last['busy']:.0f} of {last['workers']:.0f} workers busy",
        "more": ", ".join(
            [
                f"{last['cpus']:.0f} cores",
                f"{byte_size(last['memory'])} of {byte_size(last['memory_total'])}",
                f"store {byte_size(last['store'])} of {byte_size(last['store_capacity'])}",
                f"{rate(last['tasks_per_s'])} tasks",
                *gpus,
            ]
        ),
    }


def _gone(row: Mapping[str, Any], now: float) -> Tile:
    state = LEFT_IT if row["cause"] == NODE_LEFT else LOST
    return _plain(row["name"], state, f"{now - row['removed']:.0f} s ago", str(row["cause"]))


def _plain(name: str, state: str, told: str, more: str = "") -> Tile:
    return {
        "name": name,
        "state": state,
        "cpu": 0.0,
        "memory": 0.0,
        "cpu_text": "",
        "memory_text": "",
        "told": told,
        "more": more,
    }


def _meters(at: int, tile: Tile) -> list[tuple[int, float, float, float, str]]:
    meters = []
    for y, share in ((0.44, tile["cpu"]), (0.62, tile["memory"])):
        color = ORANGE if share > FULL else BLUE
        end = LEFT + (RIGHT - LEFT) * min(1.0, share)
        meters.append((at, LEFT, end, y, color))
        meters.append((at, end, RIGHT, y, TRACK))
    return meters
