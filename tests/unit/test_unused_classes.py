"""Scheduling classes at the head: known as long as a client uses them."""

from __future__ import annotations

from typing import Any

from tests.unit.head_bench import DRIVER, Bench

SPEC = {"name": "f", "resources": {"CPU": 1.0}}


def two_nodes() -> Bench:
    bench = Bench()
    bench._said["n2"] = []
    bench.head.members.on_node_up("n2", {"CPU": 1.0}, {}, {}, bench._said["n2"].append)
    bench.said(), bench.said("n2")
    return bench


def test_a_class_is_kept_while_a_client_of_any_node_uses_it() -> None:
    bench = two_nodes()
    bench.say("class", b"key", 1, SPEC, DRIVER)
    bench.say("class", b"key", 1, SPEC, 2001, node="n2")
    bench.said("n2")
    bench.say("unused", [b"key"])
    assert bench.head.status.knows(b"key") and not bench.said()
    bench.say("unused", [b"key"], node="n2")
    assert not bench.head.status.knows(b"key")
    assert [bench.said(node) for node in ("n1", "n2")] == [[("unused", [b"key"])]] * 2
    bench.say("class", b"key", 1, SPEC, DRIVER)
    bench.say("demand", b"key", DRIVER, 1)
    assert [op for op in bench.ops() if op != "estimate"] == ["grant"]


def test_a_class_with_leases_goes_after_them() -> None:
    bench = two_nodes()
    bench.say("class", b"key", 1, SPEC, DRIVER)
    bench.say("demand", b"key", DRIVER, 1)
    ((_op, lease, *_),) = (message for message in bench.said() if message[0] == "grant")
    bench.say("unused", [b"key"])
    assert bench.head.status.knows(b"key")
    bench.say("demand", b"key", DRIVER, 0)
    bench.say("returned", lease)
    bench.say("class", b"other", 1, SPEC, DRIVER)
    bench.say("unused", [b"other"])
    assert not bench.head.status.knows(b"key") and not bench.head.status.knows(b"other")


def test_who_uses_a_class_is_what_the_last_report_says() -> None:
    bench = two_nodes()
    bench.say("class", b"key", 1, SPEC, DRIVER)
    bench.say("class", b"old", 1, SPEC, DRIVER)
    told: list[Any] = []
    report = {"jobs": [1], "clients": [(DRIVER, 1)], "classes": [(b"key", 1, SPEC, True)]}
    info = {"number": bench.head.nodes["n1"].number}
    bench.head.members.on_node_up("n1", {"CPU": 1.0}, {}, info, told.append, report=report)
    assert bench.head.status.knows(b"key") and not bench.head.status.knows(b"old")
    bench.head.members.on_node_lost("n1", "gone")
    assert not bench.head.status.knows(b"key")
