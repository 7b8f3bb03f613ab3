from __future__ import annotations

import json
from pathlib import Path

from rustray.metrics.trace import chrome_trace
from rustray.timeline import task_events, write

EVENTS = [
    (10.0, 0.5, "n1", 7, "f", "ok", "aa"),
    (10.2, 0.1, "n2", 7, "g", "failed", "bb"),
    (10.5, 0.1, "n1", 8, "f", "cancelled", "cc"),
]


def test_nodes_are_processes_and_workers_threads() -> None:
    trace = chrome_trace(EVENTS)
    names = {(e["name"], e["pid"], e["tid"]): e["args"]["name"] for e in trace if e["ph"] == "M"}
    assert names["process_name", 1, 0] == "n1" and names["process_name", 2, 0] == "n2"
    assert names["thread_name", 1, 8] == "worker 8"
    first, *_more = (event for event in trace if event["ph"] == "X")
    assert (first["name"], first["ts"], first["dur"], first["pid"], first["tid"]) == ("f", 10e6, 0.5e6, 1, 7)
    assert first["args"] == {"outcome": "ok", "task_id": "aa", "node": "n1"}


def test_all_pages_are_read_and_written(tmp_path: Path) -> None:
    def query(_what: str, cursor: int) -> dict[str, object]:
        return {"next": min(cursor + 1, 3), "events": EVENTS[cursor : cursor + 1], "skipped": 0}

    assert task_events(query) == EVENTS
    path = tmp_path / "trace.json"
    write(chrome_trace(EVENTS), path)
    told = json.loads(path.read_text())
    assert sum(event["ph"] == "X" for event in told["traceEvents"]) == 3
