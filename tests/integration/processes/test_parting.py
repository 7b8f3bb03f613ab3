"""What a program has run is counted whole, also what ended just before it left."""

from __future__ import annotations

import pytest

from rustray.driver.current import current
from rustray.testing import Cluster
from tests.support import eventually, run_program

PROGRAM = """
import os, sys, time, rustray
rustray.init({address!r}, log_to_driver=False)

@rustray.remote
def quick_{way}(): pass

@rustray.remote
def slow_{way}(): time.sleep(0.7)  # long enough to be told as running

rustray.get([quick_{way}.remote() for _ in range(4)])
rustray.get(slow_{way}.remote())
{end}
"""


@pytest.mark.parametrize(("way", "end"), [("leaves", "rustray.shutdown()"), ("dies", "os._exit(0)")])
def test_what_ended_before_the_program_did_is_counted(
    cluster: Cluster, session: None, way: str, end: str
) -> None:
    run_program(PROGRAM.format(address=cluster.address, way=way, end=end))
    query = current().requests.query

    def counted() -> tuple[int, ...]:
        rows = {row["name"]: row for row in query("function_metrics", False)}
        return tuple(rows[name]["finished"] for name in (f"quick_{way}", f"slow_{way}") if name in rows)

    eventually(lambda: counted() == (4, 1))
    events = [event for event in query("task_events", 0)["events"] if event[4] == f"slow_{way}"]
    assert [event[5] for event in events] == ["ok"]
