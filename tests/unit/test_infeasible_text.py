from __future__ import annotations

import pytest

from rustray.head.infeasible import infeasible_text
from rustray.scheduler.actions import Infeasible

GIB = float(2**30)


@pytest.mark.parametrize(
    ("missing", "have", "reason", "text"),
    [
        (
            {"CPU": 5.0},
            {"CPU": 3.0, "memory": GIB},
            "",
            "Missing: 5 CPU; the closest node has 3 CPU, 1 GiB memory.",
        ),
        ({"CPU": 5.0}, {}, "", "Missing: 5 CPU; the closest node has nothing."),
        ({"CPU": 1.0}, {"CPU": 1.0}, "on node n1", "Missing on node n1: 1 CPU; the closest node has 1 CPU."),
        (
            {"CPU": 1.0},
            {"CPU": 1.0},
            "in placement group ab",
            "Missing in placement group ab: 1 CPU; the closest bundle",
        ),
        (
            {"memory": 2.0**60},
            {"memory": 2.0**28},
            "",
            "Missing: 1,024 PiB memory; the closest node has 256 MiB memory.",
        ),
        ({}, {}, "no node has label zone=a", "no node has label zone=a. Ask for"),
    ],
)
def test_what_is_told(missing: dict[str, float], have: dict[str, float], reason: str, text: str) -> None:
    assert text in infeasible_text(Infeasible(b"f", 1, missing, have, reason))
