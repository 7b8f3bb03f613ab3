"""References that leave a process: what the node is told of them, and in which order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rustray.driver.entry import VALUE, Entry
from rustray.driver.objects import ObjectTable
from rustray.driver.sharing import Sharing


@pytest.fixture
def told() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def sharing(told: list[tuple[Any, ...]]) -> Sharing:
    session: Any = SimpleNamespace(lineage=SimpleNamespace(tasks={}), tell=lambda *messages: told.extend(messages))
    session.objects = ObjectTable(session)
    return Sharing(session)


def test_the_owner_holds_what_he_declares(sharing: Sharing, told: list[tuple[Any, ...]]) -> None:
    """A declaration goes with the last hold, which may be that of somebody who has had the ref from the owner."""
    table = sharing._table
    pending, valued = Entry(b"pending", owned=True), Entry(b"valued", owned=True)
    valued.settle(VALUE, b"1")
    sharing.escape([table.new_ref(pending), table.new_ref(valued)])
    assert told == [
        ("hold", [b"pending"]),
        ("declare", b"pending"),
        ("hold", [b"valued"]),
        ("declare", b"valued"),
        ("publish", b"valued", VALUE, b"1", []),
    ]


def test_a_new_value_is_held_before_it_is_told(sharing: Sharing, told: list[tuple[Any, ...]]) -> None:
    entry = Entry(b"new", owned=True)
    entry.settle(VALUE, b"1")
    sharing.publish_new(entry, ())
    assert [message[0] for message in told] == ["hold", "declare", "publish"]


def test_refs_in_one_value_are_held_together_before_the_value_can_go(
    sharing: Sharing, told: list[tuple[Any, ...]]
) -> None:
    with sharing.reading():
        refs = [sharing.ref_of(b"%d" % at) for at in range(3)]
        with sharing.reading():  # by code of the value itself
            refs.append(sharing.ref_of(b"inner"))
        assert told == [("hold", [b"inner"])]
        with sharing.lending(lent := []):
            refs.append(sharing.ref_of(b"lent"))
    assert told[1:] == [("hold", [b"0", b"1", b"2"])] and [entry.id for entry in lent] == [b"lent"]
    refs.append(sharing.ref_of(b"alone"))
    assert told[2:] == [("hold", [b"alone"])] and len(refs) == 6
