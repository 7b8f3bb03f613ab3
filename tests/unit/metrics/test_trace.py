from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from random import Random

from rustray.metrics.trace import THREADS, chrome_trace
from rustray.timeline import task_events, write

EVENTS = [
    (10.0, 0.5, "n1", 7, "f", "ok", "aa"),
    (10.2, 0.1, "n2", 7, "g", "failed", "bb"),
    (10.5, 0.1, "n1", 8, "f", "cancelled", "cc"),
]
RUNS = [(5.0, "n1", 9, "h", "dd")]


def test_nodes_are_processes_and_workers_threads() -> None:
    trace = chrome_trace(EVENTS)
    names = {(e["name"], e["pid"], e["tid"]): e["args"]["name"] for e in trace if e["ph"] == "M"}
    assert names["process_name", 1, 0] == "n1" and names["process_name", 2, 0] == "n2"
    assert names["thread_name", 1, 8] == "worker 8"
    first, *_more = (event for event in trace if event["ph"] == "X")
    assert (first["name"], first["ts"], first["dur"], first["pid"], first["tid"]) == ("f", 10e6, 0.5e6, 1, 7)
    assert first["args"] == {"function": "f", "outcome": "ok", "task_id": "aa", "node": "n1"}


def test_what_did_not_end_well_can_be_seen() -> None:
    running = (11.0, 2.0, "n1", 9, "h", "running", "dd")
    spans = [event for event in chrome_trace([*EVENTS, running]) if event["ph"] == "X"]
    assert [(span["name"], span["cat"], span["cname"]) for span in spans] == [
        ("f", "task", "good"),
        ("g (failed)", "task,failed", "terrible"),
        ("f (cancelled)", "task,cancelled", "grey"),
        ("h (running)", "task,running", "thread_state_running"),
    ]


def test_a_trace_keeps_the_rules_of_its_format() -> None:
    random = Random(1)
    events = []
    for pid, concurrent in ((1, False), (2, True), (3, True)):
        at = 1_700_000_000.0
        for number in range(300):
            took = random.choice((1e-6, 1e-4, 0.01, 1.0))
            events.append((at + random.uniform(-1e-5, 1e-5), took, "n", pid, "f", "ok", f"{number}"))
            at += took * (random.random() if concurrent else 1.0) + 3e-5
    trace = json.loads(json.dumps(chrome_trace(events)))
    spans = [event for event in trace if event["ph"] == "X"]
    named = {(event["pid"], event["tid"]) for event in trace if event["name"] == "thread_name"}
    assert len(spans) == len(events) and {event["ph"] for event in trace} == {"X", "M"}
    threads: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for span in spans:
        assert all(isinstance(span[key], int) for key in ("ts", "dur", "pid", "tid")) and span["dur"] >= 0
        threads.setdefault((span["pid"], span["tid"]), []).append((span["ts"], span["ts"] + span["dur"]))
    assert threads.keys() == named
    for of_thread in threads.values():
        assert all(end <= begin for (_, end), (begin, _) in pairwise(of_thread)), "one after another"
    assert sum(tid % THREADS == 1 for _pid, tid in threads) == 1, "a worker that runs one at a time has one"
    assert abs(sum(span["dur"] for span in spans) - 1e6 * sum(event[1] for event in events)) < len(events)


def test_all_pages_are_read_and_written(tmp_path: Path) -> None:
    def query(_what: str, cursor: int) -> dict[str, object]:
        return {"next": min(cursor + 1, 3), "events": EVENTS[cursor : cursor + 1], "skipped": 0, "running": RUNS}

    *ended, (since, seconds, *fields) = task_events(query)
    assert ended == EVENTS and since == 5.0 and seconds > 5.0
    assert fields == ["n1", 9, "h", "running", "dd"]
    path = tmp_path / "trace.json"
    write(chrome_trace(EVENTS), path)
    told = json.loads(path.read_text())
    assert sum(event["ph"] == "X" for event in told["traceEvents"]) == 3
