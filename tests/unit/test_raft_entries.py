"""Commands as entries: whole, in fragments, and fragments that never became whole."""

from __future__ import annotations

import pytest

from rustray.head.raft_entries import COMMAND_BYTES, Assembly, CommandTooLarge, pack_command


def test_small_commands_are_one_entry() -> None:
    (entry,) = pack_command("op", {"a": (1, b"2", {"c": None})}, bytes(16))
    assert Assembly().take(entry) == ("op", {"a": (1, b"2", {"c": None})})


def test_entries_stay_under_32_kib_and_make_the_command_again() -> None:
    payload = {"value": bytes(range(256)) * 4000}
    entries = pack_command("op", payload, b"i" * 16)
    assert len(entries) > 40 and max(map(len, entries)) < 32 << 10
    assembly = Assembly()
    results = [assembly.take(entry) for entry in entries]
    assert results[-1] == ("op", payload) and set(map(type, results[:-1])) == {type(None)}
    assert not assembly.pieces


def test_an_assembly_goes_on_after_a_snapshot() -> None:
    entries = pack_command("op", {"value": bytes(100_000)}, b"i" * 16)
    before = Assembly()
    for entry in entries[:2]:
        before.take(entry)
    after = Assembly(list(before.pieces))
    assert [after.take(entry) for entry in entries[2:]][-1] == ("op", {"value": bytes(100_000)})


def test_abandoned_fragments_do_not_pile_up_or_mix() -> None:
    one = pack_command("one", {"value": bytes(100_000)}, b"1" * 16)
    two = pack_command("two", {"value": bytes(100_000)}, b"2" * 16)
    small = pack_command("small", {}, b"3" * 16)
    assembly = Assembly()
    for _ in range(100):
        for entry in one[:-1]:
            assembly.take(entry)
        assert len(assembly.pieces) < len(one)
    assert assembly.take(two[1]) is None
    assert assembly.take(one[-1]) is None  # its beginning was given up
    for entry in one[:2]:
        assembly.take(entry)
    assert assembly.take(small[0]) == ("small", {})
    assert [assembly.take(entry) for entry in one[2:]][-1] is None
    assert [assembly.take(entry) for entry in two][-1] is not None


def test_entries_of_raft_itself_are_no_commands() -> None:
    assert Assembly().take(b"\1") is None


def test_what_cannot_be_a_command_is_refused() -> None:
    with pytest.raises(CommandTooLarge):
        pack_command("op", {"value": bytes(COMMAND_BYTES)}, bytes(16))
    with pytest.raises(ValueError):
        pack_command("op", {"value": object()}, bytes(16))
