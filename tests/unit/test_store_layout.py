from __future__ import annotations

import pickle

import numpy as np
import pytest

from rustray.store import layout
from rustray.store.errors import LayoutError


def dump(value: object) -> tuple[bytes, list[memoryview]]:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return data, [buffer.raw() for buffer in buffers]


def block_of(value: object) -> memoryview:
    data, buffers = dump(value)
    block = b"".join(layout.parts(data, buffers))
    assert len(block) == layout.size_of(data, buffers)
    return memoryview(block)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        "text" * 1000,
        [np.arange(7), np.zeros((3, 5), order="F"), np.empty(0), {"a": np.ones(1000, "f4")}],
    ],
)
def test_a_value_comes_back(value: object) -> None:
    data, buffers = layout.read(block_of(value))
    back = pickle.loads(data, buffers=buffers)
    np.testing.assert_equal(back, value)


def test_buffers_are_aligned_and_not_copied() -> None:
    arrays = [np.arange(count, dtype="u1") for count in (1, 63, 64, 65, 1000)]
    block = block_of(arrays)
    data, buffers = layout.read(block)
    start = np.frombuffer(block, "u1").ctypes.data
    for buffer in buffers:
        view = np.frombuffer(buffer, "u1")
        assert (view.ctypes.data - start) % 64 == 0
        assert np.shares_memory(view, np.frombuffer(block, "u1"))
    back = pickle.loads(data, buffers=buffers)
    assert all(np.shares_memory(array, np.frombuffer(block, "u1")) for array in back)


def test_a_block_may_be_longer_than_its_value() -> None:
    data, _ = layout.read(memoryview(bytes(block_of([1, 2])) + bytes(100)))
    assert pickle.loads(data) == [1, 2]


@pytest.mark.parametrize("cut", [0, 10, 20, 100, 8100])
def test_a_part_of_a_value_is_an_error(cut: int) -> None:
    block = block_of(np.arange(1000))
    with pytest.raises(LayoutError):
        layout.read(block[:cut])


def test_something_else_is_an_error() -> None:
    with pytest.raises(LayoutError):
        layout.read(memoryview(bytes(4096)))
