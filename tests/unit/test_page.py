"""The page of a lease, as two processes and a test that knows its layout see it."""

from __future__ import annotations

import os

import pytest

from rustray.wire.page import LeasePage, new_page


def test_what_one_side_notes_the_other_reads() -> None:
    fd = new_page()
    worker = LeasePage(fd, writable=True)
    raw = os.dup(fd)
    client = LeasePage.received(fd)
    assert (client.started, client.pid, client.may_be_behind) == (0, 0, False)
    worker.begin(1 << 40)
    worker.pid = 4321
    assert (client.started, client.pid, client.may_be_behind) == (1 << 40, 4321, False)
    worker.fall_behind()
    assert client.may_be_behind
    assert os.pread(raw, 17, 0) == (1 << 40).to_bytes(8, "little") + (4321).to_bytes(8, "little") + b"\1"
    os.close(raw)
    worker.close()
    assert client.pid == 4321
    client.close()


def test_a_received_page_has_closed_its_descriptor_and_is_read_only() -> None:
    fd = new_page()
    client = LeasePage.received(fd)
    with pytest.raises(OSError):
        os.fstat(fd)
    with pytest.raises(TypeError):
        client.begin(1)
