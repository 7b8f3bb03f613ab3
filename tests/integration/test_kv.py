"""`rustray.kv` in drivers, tasks and actors."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import rustray
from rustray import kv
from rustray.errors import OptionError, SessionError


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=1)
    yield
    rustray.shutdown()


@rustray.remote
def put_there(key, value, **options):
    return kv.put(key, value, **options)


def test_a_value_is_set_read_replaced_and_forgotten() -> None:
    assert kv.get("a") is None and kv.get("a", 7) == 7 and not kv.exists("a")
    assert kv.put("a", b"1")
    assert kv.get("a") == b"1" and kv.exists("a")
    assert not kv.put("a", b"2") and kv.get("a") == b"2"
    assert not kv.put("a", b"3", overwrite=False) and kv.get("a") == b"2"
    assert kv.delete("a") and not kv.delete("a") and not kv.exists("a")
    assert kv.put("empty", b"") and kv.get("empty", 7) == b"" and kv.exists("empty")


def test_text_and_bytes_name_the_same_keys() -> None:
    kv.put("fish/ä", b"1", namespace="keys")
    kv.put(b"fish/\xff", b"2", namespace="keys")
    assert kv.get("fish/ä".encode(), namespace="keys") == b"1"
    assert kv.keys(b"fish/", namespace="keys") == ["fish/ä".encode(), b"fish/\xff"]
    assert kv.keys("fish", namespace="keys") == ["fish/ä", "fish/\udcff"]
    assert [kv.get(key, namespace="keys") for key in kv.keys(namespace="keys")] == [b"1", b"2"]
    assert kv.keys("bird", namespace="keys") == []


def test_tasks_and_actors_see_what_the_driver_sees() -> None:
    @rustray.remote
    class Reader:
        def read(self, key):
            return kv.get(key)

    assert rustray.get(put_there.remote("from task", b"here"))
    assert kv.get("from task") == b"here"
    kv.put("from driver", bytearray(b"there"))
    assert rustray.get(Reader.remote().read.remote("from driver")) == b"there"


def test_namespaces_are_apart() -> None:
    kv.put("same", b"1")
    kv.put("same", b"2", namespace="other")
    assert kv.get("same") == b"1" and kv.get("same", namespace="other") == b"2"
    assert rustray.get(put_there.remote("same", b"3", namespace="other")) is False
    assert kv.get("same") == b"1" and kv.get("same", namespace="other") == b"3"


def test_what_is_not_allowed_says_what_is() -> None:
    with pytest.raises(OptionError, match=r"value\.encode\(\)"):
        kv.put("a", "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not list.*pickle.dumps"):
        kv.put("a", [1])  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="str or bytes, not int"):
        kv.get(3)  # type: ignore[call-overload]
    with pytest.raises(OptionError, match="at most 4,096 bytes; this one has 5,000"):
        kv.put("k" * 5000, b"")
    with pytest.raises(OptionError, match="namespace=''"):
        kv.get("a", namespace="")
    with pytest.raises(OptionError, match=r"16,777,216 bytes.*16,777,217.*rustray.put\(\)"):
        kv.put("a", bytes(kv.MAX_VALUE_BYTES + 1))


def test_the_largest_value_fits_and_does_not_stop_the_cluster() -> None:
    value = b"x" * kv.MAX_VALUE_BYTES
    started = time.monotonic()
    kv.put("large", value)
    assert kv.get("large") == value
    assert time.monotonic() - started < 20
    kv.delete("large")


def test_values_outlive_a_job_that_has_a_named_namespace() -> None:
    # A second driver of the same cluster, in a process of its own.
    with rustray.testing.Cluster(num_cpus=1) as lasting:
        from tests.support import run_program

        program = f"""
            import sys, rustray
            rustray.init({lasting.folder!r}, namespace=sys.argv[1] or None)
            print(rustray.kv.get("k"), rustray.kv.put("k", sys.argv[1].encode()))
        """
        assert run_program(program, "shared") == "None True\n"
        assert run_program(program, "shared") == "b'shared' False\n"
        assert run_program(program, "") == run_program(program, "") == "None True\n"


def test_without_a_cluster_the_error_says_so() -> None:
    rustray.shutdown()
    try:
        with pytest.raises(SessionError, match=r"init\(\)"):
            kv.get("a")
    finally:
        rustray.init(num_cpus=1)
