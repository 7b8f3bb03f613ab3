from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rustray.store import layout
from rustray.store.mapping import Mapping
from rustray.store.segments import create_segment

SIZE = 8 << 20


@pytest.fixture
def fd(tmp_path: Path) -> int:
    return create_segment(str(tmp_path), SIZE)


@pytest.fixture
def mapping(fd: int) -> Iterator[Mapping]:
    made = Mapping(fd, SIZE)
    yield made
    made.close()


def nothing() -> None:
    pass


def is_mapped(address: int) -> bool:
    with open("/proc/self/maps") as maps:
        ranges = [line.split()[0].split("-") for line in maps]
    return any(int(start, 16) <= address < int(end, 16) for start, end in ranges)


def test_what_is_written_is_seen(mapping: Mapping) -> None:
    big = os.urandom(3 << 20)
    numbers = np.arange(1000)
    parts = [b"head", bytearray(b"er"), memoryview(big), b"", memoryview(numbers), b"end"]
    assert mapping.write(100, parts) == 9 + len(big) + numbers.nbytes
    view = mapping.view(100, 9 + len(big) + numbers.nbytes, nothing)
    assert bytes(view) == b"header" + big + numbers.tobytes() + b"end"


def test_another_mapping_of_the_segment_sees_it_too(mapping: Mapping, fd: int) -> None:
    other = Mapping(os.dup(fd), SIZE)
    mapping.write(0, [b"first"])
    view = other.view(0, 5, nothing)
    assert view == b"first"
    mapping.write(0, [b"again"])
    assert view == b"again"
    other.close()


def test_a_view_cannot_be_written(mapping: Mapping) -> None:
    view = mapping.view(0, 80, nothing)
    with pytest.raises(TypeError):
        view[0] = 1
    array = np.frombuffer(view)
    assert not array.flags.writeable
    with pytest.raises(ValueError):
        array.flags.writeable = True


def test_release_is_told_once_when_all_that_was_made_of_a_view_is_gone(mapping: Mapping) -> None:
    released: deque[str] = deque()
    view = mapping.view(0, 8000, lambda: released.append("view"))
    part = view[8:800]
    array = np.frombuffer(part)
    reshaped = array[:90].reshape(9, 10)[::2]
    del view, part, array
    gc.collect()
    assert not released
    del reshaped
    assert list(released) == ["view"]


def test_arrays_of_a_value_keep_its_block(mapping: Mapping) -> None:
    value = {"a": np.arange(1000), "b": [np.ones((10, 10)), "text"]}
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    size = mapping.write(0, layout.parts(data, raw))
    released: list[int] = []
    back = pickle.loads(
        *(found := layout.read(mapping.view(0, size, lambda: released.append(1))))[:1], buffers=found[1]
    )
    del found
    np.testing.assert_equal(back, value)
    one = back["b"][0]
    del back
    gc.collect()
    assert released == []
    assert one.sum() == 100
    del one
    assert released == [1]


def test_views_outlive_their_mapping_and_then_the_pages_go(fd: int) -> None:
    mapping = Mapping(fd, SIZE)
    mapping.write(4096, [b"still here"])
    view = mapping.view(4096, 10, nothing)
    array = np.frombuffer(view, "u1")
    address = array.ctypes.data
    mapping.close()
    mapping.close()
    del mapping, view
    gc.collect()
    assert bytes(array) == b"still here" and is_mapped(address)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    del array
    assert not is_mapped(address)


def test_a_closed_mapping_refuses(fd: int) -> None:
    mapping = Mapping(fd, SIZE)
    mapping.close()
    with pytest.raises(ValueError, match="closed"):
        mapping.write(0, [b"x"])
    with pytest.raises(ValueError, match="closed"):
        mapping.view(0, 1, nothing)


@pytest.mark.parametrize(("offset", "size"), [(-1, 10), (SIZE - 5, 10), (SIZE + 1, 0), (10, -1)])
def test_nothing_outside_the_segment(mapping: Mapping, offset: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"of a segment of {SIZE}"):
        mapping.view(offset, size, nothing)
    if size >= 0:
        with pytest.raises(ValueError, match=f"of a segment of {SIZE}"):
            mapping.write(offset, [bytes(size)])


def test_the_last_byte_and_no_byte(mapping: Mapping) -> None:
    mapping.write(SIZE - 1, [b"x"])
    assert mapping.view(SIZE - 1, 1, nothing) == b"x"
    assert len(mapping.view(SIZE, 0, nothing)) == 0


def test_a_segment_that_cannot_be_mapped(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    mapping = Mapping(fd, SIZE)
    with pytest.raises(OSError, match="cannot map"):
        mapping.view(0, 1, nothing)
    mapping.close()


def test_threads_write_and_view_at_the_same_time(mapping: Mapping) -> None:
    released: deque[int] = deque()
    wrong: list[int] = []

    def work(number: int) -> None:
        offset = number * (2 << 20)
        for turn in range(20):
            value = bytes([number * 20 + turn]) * (2 << 20)
            mapping.write(offset, [value])
            view = mapping.view(offset, len(value), lambda: released.append(number))
            if view != value:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(released) == 80


def test_views_that_are_left_when_the_interpreter_ends(tmp_path: Path) -> None:
    code = """
import sys
import numpy as np
from rustray.store.mapping import Mapping
from rustray.store.segments import create_segment
mapping = Mapping(create_segment(sys.argv[1], 1 << 20), 1 << 20)
mapping.write(0, [bytes(1 << 20)])
class Leak: pass
leak = Leak(); leak.self = leak
leak.array = np.frombuffer(mapping.view(0, 1 << 20, lambda: print("released")))
sys.kept = leak
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
