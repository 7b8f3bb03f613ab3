"""Objects that are made on one node and used on another: real nodes, real bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from rustray.testing import Cluster
from tests.support import Gate, eventually, tick, ticks

MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=0) as running:
        running.add_node(2, resources={"here": 1})
        running.add_node(2, resources={"there": 1})
        yield running


@pytest.fixture
def driver(cluster: Cluster) -> Iterator[None]:
    rustray.init(cluster.address, log_to_driver=False)
    yield
    rustray.shutdown()


def on(node: str, function: Any) -> Any:
    return rustray.remote(num_cpus=0, resources={node: 0.001})(function)


def stats() -> dict[str, int]:
    found: dict[str, int] = current().requests.ask("query", "store", ()).fields[1]
    return found


def stores() -> list[dict[str, int]]:
    return rustray.get([on(node, stats).remote() for node in ("here", "there")], timeout=20)


def full(size: int, value: int) -> np.ndarray:
    return np.full(size, value, dtype=np.uint8)


def total(array: np.ndarray) -> int:
    return int(array.sum())


def assert_all_gone() -> None:
    eventually(lambda: [store["objects"] for store in stores()] == [0, 0])
    eventually(lambda: [store["used"] for store in stores()] == [0, 0])


def test_arguments_and_results(driver: None) -> None:
    array = rustray.put(np.arange(MIB))
    sums = [on(node, total).remote(array) for node in ("here", "there") for _task in range(4)]
    assert set(rustray.get(sums, timeout=20)) == {MIB * (MIB - 1) // 2}
    made = [on(node, full).remote(3 * MIB, 7) for node in ("here", "there")]
    crossed = [on(node, total).remote(ref) for node in ("here", "there") for ref in made]
    assert rustray.get(crossed, timeout=20) == [21 * MIB] * 4
    assert all((value == 7).all() for value in rustray.get(made, timeout=20))
    del array, made, sums, crossed
    assert_all_gone()


def test_a_result_is_not_brought_here_unless_it_is_read(driver: None) -> None:
    made = on("there", full).remote(8 * MIB, 1)
    assert rustray.wait([made], timeout=20) == ([made], [])
    assert stats()["used"] < MIB or stats()["remote"] == 0  # the driver may be on that node itself
    assert rustray.get(on("there", total).remote(made), timeout=20) == 8 * MIB
    del made
    assert_all_gone()


def test_refs_in_values(driver: None) -> None:
    def box(refs: list[Any]) -> dict[str, Any]:
        return {"old": refs[0], "new": rustray.put(full(2 * MIB, 2)), "small": rustray.put("text")}

    def open_all(boxes: list[Any]) -> int:
        inner = rustray.get(boxes[0])
        return (
            total(rustray.get(inner["old"]))
            + total(rustray.get(inner["new"]))
            + len(rustray.get(inner["small"]))
        )

    for maker, user in (("here", "there"), ("there", "here"), ("there", "there")):
        boxed = on(maker, box).remote([rustray.put(full(MIB, 1))])
        assert rustray.get(on(user, open_all).remote([boxed]), timeout=20) == 5 * MIB + 4
        inner = rustray.get(boxed, timeout=20)
        del boxed
        time.sleep(0.3)  # that a wrong release arrives cannot be awaited
        assert total(rustray.get(inner["old"], timeout=20)) == MIB
        assert total(rustray.get(inner["new"], timeout=20)) == 4 * MIB
        del inner
    # A worker that has put something lives on as its owner; what it put goes with the last ref.
    assert_all_gone()


def test_a_pending_result_is_awaited_elsewhere(driver: None, tmp_path: Path) -> None:
    def held(gate: Gate) -> np.ndarray:
        gate.wait()
        return full(MIB, 3)

    def use(refs: list[Any], begun: Path) -> int:
        tick(begun)
        return total(rustray.get(refs[0]))

    for maker, user in (("here", "there"), ("there", "here")):
        gate, begun = Gate(tmp_path / maker), tmp_path / f"{maker}-user"
        used = on(user, use).remote([on(maker, held).remote(gate)], begun)
        gate.wait_for_waiters()
        eventually(lambda begun=begun: ticks(begun))
        gate.open()
        assert rustray.get(used, timeout=20) == 3 * MIB


def test_errors_cross_nodes(driver: None) -> None:
    def fail() -> None:
        raise ValueError("on purpose")

    def use(refs: list[Any]) -> str:
        try:
            rustray.get(refs[0])
        except ValueError as error:
            return str(error)
        return "no error"

    failed = on("here", fail).remote()
    assert "on purpose" in rustray.get(on("there", use).remote([failed]), timeout=20)


def test_actors_keep_what_they_are_given(driver: None) -> None:
    class Keeper:
        def __init__(self, first: np.ndarray, refs: list[Any]) -> None:
            self.first = first
            self.refs = refs

        def keep(self, refs: list[Any]) -> None:
            self.refs += refs

        def total(self) -> int:
            return total(self.first) + sum(total(array) for array in rustray.get(self.refs))

    keepers = [
        on(node, Keeper).remote(rustray.put(full(MIB, 1)), [rustray.put(full(MIB, 2))])
        for node in ("here", "there")
    ]
    for keeper in keepers:
        rustray.get(
            keeper.keep.remote([rustray.put(full(MIB, 3)), on("there", full).remote(MIB, 4)]), timeout=20
        )
    time.sleep(0.5)  # that a wrong release arrives cannot be awaited
    assert rustray.get([keeper.total.remote() for keeper in keepers], timeout=20) == [10 * MIB] * 2
    del keepers, keeper
    assert_all_gone()


def test_streams(driver: None) -> None:
    def parts(count: int) -> Iterator[np.ndarray]:
        for value in range(count):
            yield full(MIB, value)

    for node in ("here", "there"):
        stream = on(node, parts).options(num_returns="streaming").remote(5)
        assert [total(rustray.get(ref, timeout=20)) for ref in stream] == [value * MIB for value in range(5)]
        del stream
    assert_all_gone()


def test_several_results_of_one_task(driver: None) -> None:
    def pair() -> tuple[np.ndarray, str]:
        return full(MIB, 5), "small"

    for node in ("here", "there"):
        big, small = on(node, pair).options(num_returns=2).remote()
        assert total(rustray.get(big, timeout=20)) == 5 * MIB and rustray.get(small, timeout=20) == "small"
        del big, small
    assert_all_gone()


def test_more_than_fits_in_memory() -> None:
    with Cluster(nodes=0, object_store_memory=32 * MIB) as cluster:
        cluster.add_node(1, resources={"here": 1})
        cluster.add_node(1, resources={"there": 1})
        rustray.init(cluster.address, log_to_driver=False)
        try:
            for node in ("here", "there"):
                made = [on(node, full).remote(4 * MIB, value) for value in range(16)]
                for user in ("here", "there"):
                    one = on(user, total).options(
                        num_cpus=1
                    )  # at a time: what is being read cannot make room
                    sums = rustray.get([one.remote(ref) for ref in made], timeout=60)
                    assert sums == [4 * MIB * value for value in range(16)]
                assert [total(rustray.get(ref, timeout=20)) for ref in made] == sums
                del made
        finally:
            rustray.shutdown()


def test_what_is_lost_with_a_node_is_made_again() -> None:
    with Cluster(nodes=0) as cluster:
        cluster.add_node(1, resources={"here": 1})
        lost = cluster.add_node(1, resources={"there": 1})
        rustray.init(cluster.address, log_to_driver=False)
        try:
            kept = on("there", full).remote(MIB, 1)
            made = on("there", full).remote(MIB, 2)
            rustray.wait([kept, made], num_returns=2, timeout=20)
            if lost.name == rustray.get_runtime_context().get_node_id():
                pytest.skip("the driver is on the node that is to be killed")
            assert total(rustray.get(kept, timeout=20)) == MIB
            cluster.kill_node(lost)
            cluster.add_node(1, resources={"there": 1})
            assert total(rustray.get(kept, timeout=20)) == MIB
            assert total(rustray.get(made, timeout=30)) == 2 * MIB
        finally:
            rustray.shutdown()


def test_objects_of_a_lost_owner_fail() -> None:
    def own(keeper: Any) -> None:
        rustray.get(keeper.keep.remote([rustray.put("of a worker")]))
        time.sleep(60)  # until its node dies

    class Keeper:
        def keep(self, refs: list[Any]) -> None:
            self.refs = refs

        def count(self) -> int:
            return len(getattr(self, "refs", []))

        def read(self) -> Any:
            return rustray.get(self.refs[0])

    with Cluster(nodes=0) as cluster:
        cluster.add_node(2, resources={"here": 1})
        lost = cluster.add_node(1, resources={"there": 1})
        rustray.init(cluster.address, log_to_driver=False)
        try:
            if lost.name == rustray.get_runtime_context().get_node_id():
                pytest.skip("the driver is on the node that is to be killed")
            keeper = on("here", Keeper).remote()
            owner = on("there", own).options(max_retries=0).remote(keeper)
            eventually(lambda: rustray.get(keeper.count.remote(), timeout=20) == 1, 20.0)
            cluster.kill_node(lost)
            with pytest.raises(rustray.exceptions.OwnerDiedError):
                rustray.get(keeper.read.remote(), timeout=30)
            del owner
        finally:
            rustray.shutdown()
