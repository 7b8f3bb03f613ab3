from __future__ import annotations

import functools
import linecache
import pickle
import sqlite3
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rustray.errors import DeserializationError, SerializationError
from rustray.serialization import (
    Packed,
    collecting,
    current_collector,
    deregister_serializer,
    deserialize,
    find_unpicklable,
    note_ref,
    on_ref_pickled_outside,
    register_serializer,
    serialize,
    serialize_call,
)


def there_and_back(value: Any) -> Any:
    packed = serialize(value)
    return deserialize(packed.pickle, packed.buffers)


class Ref:
    """Stands for an ObjectRef."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        note_ref(self)
        return Ref, (self.number,)


class Point:
    def __init__(self, x: object) -> None:
        self.x = x


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2.5,
        "text",
        b"bytes",
        b"x" * 100_000,
        (),
        (1, "a", None),
        [1, [2, [3, [4, [5, [6]]]]]],
        {"a": 1, 2: (3,)},
        ((1, 2, "x"), {"k": [1.0]}),
        list(range(1000)),
        {1, 2},
        bytearray(b"ab"),
        {(1, 2): frozenset({3})},
        1 + 2j,
        range(3),
        types.SimpleNamespace(a=1),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values_come_back_equal(value: Any) -> None:
    back = there_and_back(value)
    assert back == value and type(back) is type(value)


def test_shared_and_cyclic_members_stay_so() -> None:
    inner = [1]
    first, second = there_and_back((inner, inner))
    assert first is second
    cycle: list[Any] = []
    cycle.append(cycle)
    back = there_and_back(cycle)
    assert back[0] is back


def test_arrays_travel_without_a_copy_and_arrive_read_only() -> None:
    for array in (np.arange(10), np.arange(12.0).reshape(3, 4).T, np.zeros(3, dtype="f4,i8"), np.array(5)):
        packed = serialize(array)
        if array.ndim:
            assert np.shares_memory(np.frombuffer(packed.buffers[0], "u1"), array)
        back = deserialize(packed.pickle, [bytes(buffer) for buffer in packed.buffers])
        assert (back == array).all() and back.dtype == array.dtype
        assert not back.flags.writeable
    nested = serialize({"a": [np.ones(3), np.ones((4, 4))[:, 1]]})
    assert (deserialize(nested.pickle, nested.buffers)["a"][1] == 1).all()
    assert len(nested.buffers) == 2 and all(buffer.contiguous for buffer in nested.buffers)
    strided = serialize(np.arange(12).reshape(3, 4)[:, 1:3])
    assert (deserialize(strided.pickle, strided.buffers) == [[1, 2], [5, 6], [9, 10]]).all()
    assert len(strided.buffers) == 1


def test_arrays_of_objects_and_subclasses() -> None:
    objects = np.array([Ref(1), None], dtype=object)
    packed = serialize(objects)
    assert [ref.number for ref in packed.refs] == [1]
    masked = np.ma.array([1, 2], mask=[True, False])
    assert (there_and_back(masked) == masked).all()


def test_long_bytes_are_not_copied() -> None:
    value = b"y" * (1 << 20)
    packed = serialize(value)
    assert len(packed.pickle) < 100 and packed.buffers[0].obj is value
    assert deserialize(packed.pickle, [memoryview(bytearray(value))]) == value


def test_a_stock_unpickler_reads_what_is_packed() -> None:
    packed = serialize(Point([1, np.arange(3)]))
    assert pickle.loads(packed.pickle, buffers=packed.buffers).x[0] == 1


def test_functions_and_classes_that_cannot_be_imported_travel_by_value() -> None:
    scale = 3

    def times(x: int) -> int:
        return scale * x

    class Local:
        def __init__(self) -> None:
            self.x = times(2)

    assert there_and_back(times)(5) == 15
    assert there_and_back([lambda: 7])[0]() == 7
    assert there_and_back(Local()).x == 6
    assert there_and_back(functools.partial(times, 2))() == 6
    assert there_and_back(there_and_back) is there_and_back  # by reference: this module can be imported


SCRIPT = """
import enum, sys
sys.path.insert(0, {here!r})
from rustray.serialization import serialize
class Thing:
    def __init__(self): self.colour = Colour.RED
    def name(self): return helper(self.colour)
class Colour(enum.Enum):
    RED = 1
def helper(colour): return colour.name
class MyError(ValueError): pass
data = serialize((Thing(), helper, MyError("x"), {{"k": Colour.RED}}))
assert not data.buffers
sys.stdout.buffer.write(data.pickle)
"""


def test_main_travels_by_value_to_another_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parents[2])))
    out = subprocess.run([sys.executable, str(script)], capture_output=True, check=True, timeout=60).stdout
    thing, helper, error, table = deserialize(out)
    assert thing.name() == "RED"
    assert type(thing).__module__ == "__main__"
    assert helper(table["k"]) == "RED"
    assert isinstance(error, ValueError)


def test_the_source_of_a_cell_travels_with_its_functions() -> None:
    cell = "def g(x):\n    return 1 / x\n"
    linecache.cache["<cell 9>"] = (len(cell), None, cell.splitlines(keepends=True), "<cell 9>")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(cell, "<cell 9>", "exec"), namespace)
    packed = serialize([namespace["g"], namespace["g"]])
    assert packed.pickle.count(b"return 1 / x") == 1
    del linecache.cache["<cell 9>"]
    back, again = deserialize(packed.pickle)
    assert back is again and back(2) == 0.5
    linecache.checkcache()
    assert linecache.getline("<cell 9>", 2) == "    return 1 / x\n"


def test_refs_are_collected() -> None:
    one, two = Ref(1), Ref(2)
    packed = serialize({"a": [one, (two, one)], "f": lambda: two})
    assert packed.refs == [one, two]
    assert serialize((1, 2)).refs == ()
    assert current_collector() is None


def test_a_nested_serialize_collects_for_itself() -> None:
    class Holder:
        def __reduce__(self) -> Any:
            assert serialize([Ref(5)]).refs[0].number == 5
            return Holder, ()

    assert [ref.number for ref in serialize([Ref(1), Holder(), Ref(2)]).refs] == [1, 2]


def test_refs_pickled_outside_go_to_the_hook() -> None:
    seen: list[Any] = []
    on_ref_pickled_outside(seen.append)
    try:
        ref = Ref(1)
        pickle.dumps(ref)
        assert seen == [ref]
        serialize([ref])
        with collecting() as refs:
            pickle.dumps(ref)
        other = threading.Thread(target=pickle.dumps, args=(ref,))
        with collecting():
            other.start()
            other.join()
        assert seen == [ref, ref] and refs == [ref]
    finally:
        on_ref_pickled_outside(None)
    pickle.dumps(Ref(2))


def test_registered_serializers() -> None:
    lock = threading.Lock()
    register_serializer(type(lock), serializer=lambda _: "locked", deserializer=lambda text: [text])
    try:
        assert there_and_back({"a": lock}) == {"a": ["locked"]}
    finally:
        deregister_serializer(type(lock))
    with pytest.raises(SerializationError):
        serialize(lock)
    deregister_serializer(type(lock))
    with pytest.raises(TypeError):
        register_serializer(int, serializer=str, deserializer=int)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


LOCK = threading.Lock()


def uses_lock() -> object:
    return LOCK


uses_lock.__module__ = "__main__"  # so that it travels by value


class Slots:
    __slots__ = ("item", "unset")


def test_the_path_to_the_member_at_fault(connection: sqlite3.Connection) -> None:
    told = "cannot pickle 'sqlite3.Connection' object"
    slots = Slots()
    slots.item = connection

    def closure() -> object:
        return connection

    def default(a: int, c: object = connection) -> object:
        return c

    for value, path in [
        (connection, "v"),
        ({"db": Point(connection)}, "v -> ['db'].x"),
        ([1, (2, connection)], "v -> [1][1]"),
        (slots, "v -> .item"),
        ({"f": [closure]}, "v -> ['f'][0] closure variable 'connection' of closure()"),
        (default, "v -> default of 'c' of default()"),
        (functools.partial(print, 1, end=connection), "v -> .keywords['end']"),
        (functools.partial(print, connection), "v -> .args[0]"),
        (Point(connection).__init__, "v -> .__self__.x"),
        (ValueError("x", connection), "v -> .args[1]"),
    ]:
        assert find_unpicklable(value, "v") == (path, told), value
    assert find_unpicklable([uses_lock], "v")[0] == "v -> [0] global 'LOCK' used by uses_lock()"
    assert find_unpicklable({"a": 1}, "v") == ("v", "")


def test_a_search_ends_for_cycles_and_long_lists(connection: sqlite3.Connection) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    cycle.append({"c": connection})
    assert find_unpicklable(cycle)[0] == "value -> [1]['c']"
    assert find_unpicklable([[]] * 100_000 + [connection])[1]


def test_errors_name_the_argument(connection: sqlite3.Connection) -> None:
    def f(data: object, *rest: object, config: object = None) -> None: ...

    with pytest.raises(SerializationError) as caught:
        serialize_call((1,), {"config": {"db": Point(connection)}}, f, "f")
    assert str(caught.value).startswith(
        "argument 'config' of f() -> ['db'].x: cannot pickle 'sqlite3.Connection' object. "
    )
    assert (caught.value.path, caught.value.reason) == (
        "['db'].x",
        "cannot pickle 'sqlite3.Connection' object",
    )
    assert isinstance(caught.value, TypeError)
    with pytest.raises(SerializationError, match="argument 'data' of f"):
        serialize_call((connection,), {}, f, "f")
    with pytest.raises(SerializationError, match="argument 2 of f"):
        serialize_call((1, connection), {}, f, "f")
    assert deserialize(serialize_call((1,), {"config": 2}, f, "f").pickle) == ((1,), {"config": 2})


def test_too_deep_a_value_is_told() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SerializationError, match="nested too deeply"):
        serialize(deep)


def test_failures_of_the_users_own_code_are_told() -> None:
    class Bad:
        def __getstate__(self) -> Any:
            raise KeyError("mine")

    with pytest.raises(SerializationError, match=r"value -> \['x'\]: KeyError: 'mine'"):
        serialize({"x": Bad()})


class Fails:
    def __setstate__(self, state: object) -> None:
        raise ZeroDivisionError("at work")


def test_values_that_cannot_be_rebuilt() -> None:
    with pytest.raises(DeserializationError, match="Module 'no_such_module' cannot be imported") as caught:
        deserialize(b"cno_such_module\nthing\n.")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError) and "py_modules" in str(caught.value)
    with pytest.raises(DeserializationError, match="same|one version"):
        deserialize(b"cpickle\nno_such_name\n.")
    failing = Fails()
    failing.__dict__["x"] = 1
    with pytest.raises(DeserializationError, match="ZeroDivisionError: at work"):
        there_and_back([failing])


def test_packed_is_plain() -> None:
    packed = serialize(5)
    assert isinstance(packed, Packed)
    assert packed == (pickle.dumps(5, 5), (), ())
