"""Objects with real processes: what goes in comes out, without a copy where it is big, and under memory pressure."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import gc
import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from rustray.exceptions import GetTimeoutError, ObjectStoreFullError
from tests.support import eventually, run_program

MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=2, object_store_memory=64 * MIB)
    yield
    rustray.shutdown()


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: float
    y: float


VALUES = [
    None,
    True,
    0,
    -(2**200),
    1.5,
    1 + 2j,
    "text \N{SNOWMAN} \ud800",
    "long" * 100_000,
    b"",
    b"x" * 1_000_000,
    bytearray(b"ab"),
    [],
    (),
    {},
    {1: [2, (3, {"four": {5}})]},
    frozenset({1}),
    range(10),
    slice(1, 2),
    datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
    decimal.Decimal("1.10"),
    uuid.UUID(int=1),
    collections.OrderedDict(a=1),
    collections.Counter("abca"),
    Color.RED,
    Point(1.0, 2.0),
    int,
    len,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{str(value)[:8]!a}")
def test_what_is_put_comes_back(value):
    got = rustray.get(rustray.put(value))
    assert got == value and type(got) is type(value)

    @rustray.remote
    def through_a_task(x):
        return x

    got = rustray.get(through_a_task.remote(value))
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize("dtype", ["float64", "int8", "bool", "complex128", "U5", "datetime64[s]", "f4,i8"])
def test_arrays(dtype):
    for shape in [(), (0,), (3,), (500, 700)]:
        array = np.zeros(shape, dtype)
        for form in (array, array.T, array[::2] if array.ndim else array):
            got = rustray.get(rustray.put(form))
            assert got.dtype == form.dtype and got.shape == form.shape and (got == form).all()


def test_arrays_of_objects():
    array = np.array([{"a": 1}, None, [2]], dtype=object)
    assert (rustray.get(rustray.put(array)) == array).all()


class TestViews:
    def test_big_arrays_are_not_copied_and_read_only(self):
        ref = rustray.put(np.arange(MIB, dtype=np.uint8))
        one, two = rustray.get(ref), rustray.get(ref)
        assert one.__array_interface__["data"][0] == two.__array_interface__["data"][0]
        with pytest.raises(ValueError, match="read-only"):
            one[0] = 1

    def test_a_view_outlives_its_reference(self):
        ref = rustray.put(np.full(2 * MIB, 7, dtype=np.uint8))
        view = rustray.get(ref)[::2]
        del ref
        gc.collect()
        for number in range(60):
            rustray.put(np.full(2 * MIB, number, dtype=np.uint8))
        assert (view == 7).all()

    def test_what_is_no_longer_viewed_is_freed(self):
        eventually(lambda: current().requests.query("store")["used"] == 0)
        view = rustray.get(rustray.put(np.ones(MIB, dtype=np.uint8)))
        assert current().requests.query("store")["used"] >= MIB
        del view
        eventually(lambda: current().requests.query("store")["used"] == 0)

    def test_in_a_task_that_keeps_it(self):
        @rustray.remote
        class Keeper:
            def keep(self, array):
                self.array = array

            def total(self):
                return int(self.array.sum())

        keeper = Keeper.remote()
        rustray.get(keeper.keep.remote(rustray.put(np.ones(MIB, dtype=np.uint8))))
        for number in range(80):
            rustray.put(np.full(2 * MIB, number, dtype=np.uint8))
        assert rustray.get(keeper.total.remote()) == MIB


class TestReferences:
    def test_as_keys_and_in_comparisons(self):
        one, two = rustray.put(1), rustray.put(2)
        assert one != two and len({one, two, one}) == 2
        assert one.hex() in repr(one) and len(one.binary()) == 16

    def test_pickled_by_the_user_himself(self):
        import pickle

        data = pickle.dumps(
            rustray.put({"kept": "for ever"})
        )  # nobody can tell when the copy is no longer needed
        gc.collect()
        assert rustray.get(pickle.loads(data)) == {"kept": "for ever"}

    def test_a_long_chain_of_them(self):
        ref = rustray.put("the end")
        for _ in range(3000):
            ref = rustray.put([ref])
        inner = rustray.get(ref)
        del ref
        for _ in range(2999):
            inner = rustray.get(inner[0])
        assert rustray.get(inner[0]) == "the end"

    def test_put_refuses_a_reference(self):
        with pytest.raises(TypeError, match="ObjectRef"):
            rustray.put(rustray.put(1))


class TestPressure:
    @pytest.fixture(autouse=True)
    def empty(self):
        gc.collect()
        eventually(lambda: current().requests.query("store")["used"] == 0)
        yield
        gc.collect()
        store = current().requests
        eventually(lambda: store.query("store")["used"] + store.query("store")["spilled"] == 0)

    def test_more_than_fits_is_spilled_and_read_back(self):
        query = current().requests.query
        began = time.time()
        refs = [rustray.put(np.full(4 * MIB, number, dtype=np.uint8)) for number in range(50)]
        assert query("store")["spilled"] > 0
        for number, ref in enumerate(refs):
            assert (rustray.get(ref) == number).all()
        for way in ("spilled_per_s", "restored_per_s"):
            eventually(lambda way=way: any(sample[way] > 0 for sample in query("metrics", began)))

    def test_small_and_big_ones(self):
        sizes = [200_000, 5 * MIB, 1 * MIB, 300_000] * 25
        refs = [rustray.put(np.full(size, n % 251, dtype=np.uint8)) for n, size in enumerate(sizes)]
        for n, (size, ref) in enumerate(zip(sizes, refs, strict=True)):
            got = rustray.get(ref)
            assert got.size == size and got[0] == got[-1] == n % 251

    def test_results_and_arguments(self):
        @rustray.remote
        def make(number):
            return np.full(4 * MIB, number, dtype=np.uint8)

        @rustray.remote
        def total(array):
            return int(array[0]) * len(array)

        refs = [make.remote(number) for number in range(40)]
        totals = [total.remote(ref) for ref in refs]
        assert rustray.get(totals) == [number * 4 * MIB for number in range(40)]

    def test_what_is_viewed_stays_and_there_is_an_end(self):
        views = []
        with pytest.raises(ObjectStoreFullError, match=r"no room for .* MiB by this process\. Delete arrays"):
            for number in range(40):
                views.append(rustray.get(rustray.put(np.full(4 * MIB, number, dtype=np.uint8))))
        assert 8 <= len(views) <= 16
        for number, view in enumerate(views):
            assert (view == number).all()
        views.clear()
        assert rustray.get(rustray.put(np.ones(4 * MIB, dtype=np.uint8))).all()

    def test_room_that_comes_late_is_waited_for(self):
        views = [rustray.get(rustray.put(np.ones(4 * MIB, dtype=np.uint8))) for _ in range(12)]

        @rustray.remote
        def make():
            return [rustray.put(np.ones(4 * MIB, dtype=np.uint8)) for _ in range(5)]

        ref = make.remote()
        rustray.wait([ref], timeout=0.3)
        views.clear()
        assert len(rustray.get(ref)) == 5

    def test_reading_back_needs_room_too(self):
        refs = [rustray.put(np.full(4 * MIB, number, dtype=np.uint8)) for number in range(30)]
        views = []
        with pytest.raises(ObjectStoreFullError):
            for ref in refs:
                views.append(rustray.get(ref))
        failed = len(views)
        views.clear()
        assert (rustray.get(refs[failed]) == failed).all()

    def test_who_reads_waits_for_room_that_others_keep(self, capfd):
        @rustray.remote(num_cpus=0)
        class Keeper:
            def keep(self, refs):
                self.views = rustray.get(refs)

            def drop(self, delay_s):
                time.sleep(delay_s)
                self.views = None

        refs = [rustray.put(np.full(4 * MIB, number, dtype=np.uint8)) for number in range(30)]
        keeper = Keeper.remote()
        rustray.get(keeper.keep.remote(refs[-15:]))

        def told() -> object:
            with pytest.raises(GetTimeoutError) as caught:
                rustray.get(refs[0], timeout=0.5)
            wanted = r"no room for 4,\d+,\d+ bytes.* by 1 other process.*Delete arrays"
            return re.search(wanted, str(caught.value), re.S)

        eventually(told)
        dropped = keeper.drop.remote(3.5)
        assert (rustray.get(refs[0]) == 0).all()  # however long it takes
        rustray.get(dropped)
        assert "rustray: get() waits: no room" in capfd.readouterr().err

    def test_larger_than_the_store(self):
        with pytest.raises(ObjectStoreFullError, match="larger object_store_memory"):
            rustray.put(np.ones(65 * MIB, dtype=np.uint8))


@pytest.fixture
def tiny_filesystem(tmp_path):
    folder = tmp_path / "shm"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_shared_memory_filesystem_is_no_crash(tiny_filesystem, tmp_path):
    program = """
        import os, sys
        os.environ["RUSTRAY_SHM_DIR"] = sys.argv[1]
        import numpy as np, rustray
        rustray.init(num_cpus=1, object_store_memory=256 << 20)

        @rustray.remote
        def make(n):
            return np.full(1 << 20, n, dtype=np.uint8)

        for turn in ("spilled", "spilled again"):
            refs = [rustray.put(np.full(1 << 20, n, dtype=np.uint8)) for n in range(20)]
            refs += [make.remote(n) for n in range(20, 40)]
            try:
                assert all((rustray.get(ref) == n).all() for n, ref in enumerate(refs))
                print(turn)
            except rustray.exceptions.ObjectStoreFullError as error:
                print("refused:", error)
            del refs
            with open(sys.argv[1] + "/other", "wb") as file:  # somebody else fills it
                try:
                    while file.write(bytes(1 << 20)):
                        pass
                except OSError as error:
                    print(error)
        try:
            rustray.put(np.ones(20 << 20, dtype=np.uint8))
        except rustray.exceptions.ObjectStoreFullError as error:
            print("refused:", error)
    """
    output = run_program(program, str(tiny_filesystem), folder=tmp_path)
    assert output.startswith("spilled") and output.count("refused:") >= 1
