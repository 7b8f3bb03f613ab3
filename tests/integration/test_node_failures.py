"""Nodes that die, are stopped and wake again, leave and join while work runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

import rustray
from rustray import errors
from rustray.testing import Cluster
from rustray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tests.support import Gate, eventually, tick, ticks

NODE_TIMEOUT_S = 3.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head, a node with no CPU for the driver, and one that may be lost."""
    with Cluster(heads=1, nodes=1, num_cpus=0) as cluster:
        cluster.add_node(num_cpus=2, resources={"lost": 4})
        rustray.init(cluster.address)
        yield cluster
        rustray.shutdown()


def alive() -> set[str]:
    return {node["NodeID"] for node in rustray.nodes() if node["Alive"]}


def test_the_tasks_of_a_dead_node_run_again(cluster):
    doomed = cluster.nodes[1]

    @rustray.remote(max_retries=3)
    def work(i):
        time.sleep(0.2)  # work that is not over when the node dies
        return i

    refs = [work.remote(i) for i in range(20)]
    rustray.wait(refs, num_returns=3, timeout=30)
    cluster.add_node(num_cpus=2)
    cluster.kill_node(doomed)
    assert rustray.get(refs, timeout=40) == list(range(20))
    eventually(lambda: doomed.name not in alive())


def test_a_task_that_may_not_run_twice_fails_with_its_node(cluster, tmp_path):
    never = Gate(tmp_path / "never")

    @rustray.remote(max_retries=0)
    def once():
        never.wait()

    ref = once.remote()
    never.wait_for_waiters()
    cluster.kill_node(cluster.nodes[1])
    with pytest.raises(errors.WorkerCrashedError, match="node"):
        rustray.get(ref, timeout=20)


def test_objects_that_were_only_there_are_made_again(cluster):
    doomed = cluster.nodes[1]

    @rustray.remote(max_retries=2)
    def make(seed):
        return np.full(500_000, seed)

    refs = [make.remote(i) for i in range(3)]
    rustray.wait(refs, num_returns=3, timeout=30, fetch_local=False)
    cluster.add_node(num_cpus=2)
    cluster.kill_node(doomed)
    assert [int(array[0]) for array in rustray.get(refs, timeout=40)] == [0, 1, 2]


def test_actors_of_a_dead_node_restart_elsewhere(cluster):
    doomed = cluster.nodes[1]

    @rustray.remote(num_cpus=1, max_restarts=1, max_task_retries=2)
    class Service:
        def where(self):
            return rustray.get_runtime_context().get_node_id()

    service = Service.options(name="service").remote()
    assert rustray.get(service.where.remote(), timeout=30) == doomed.name
    mortal = Service.options(max_restarts=0, max_task_retries=0).remote()
    rustray.get(mortal.where.remote(), timeout=30)
    other = cluster.add_node(num_cpus=2)
    cluster.kill_node(doomed)
    assert rustray.get(service.where.remote(), timeout=40) == other.name
    assert rustray.get(rustray.get_actor("service").where.remote(), timeout=30) == other.name
    with pytest.raises(errors.ActorDiedError):
        rustray.get(mortal.where.remote(), timeout=30)


def test_a_call_that_had_just_begun_is_not_repeated_when_its_node_dies(cluster, tmp_path):
    """The caller's page is behind the worker's by then: nobody knows what had begun."""
    doomed, trace = cluster.nodes[1], tmp_path / "trace"

    @rustray.remote(num_cpus=1, max_restarts=1)
    class Once:
        def ready(self):
            return True

        def run(self):
            tick(trace)
            time.sleep(60)  # until its node dies

    actor = Once.remote()
    assert rustray.get(actor.ready.remote(), timeout=30)
    cluster.add_node(num_cpus=1)
    time.sleep(0.3)  # so that nothing of earlier calls is on its way
    ref = actor.run.remote()
    eventually(lambda: ticks(trace), pause=0.0005)
    cluster.kill_node(doomed)
    with pytest.raises(errors.ActorUnavailableError):
        rustray.get(ref, timeout=40)
    assert rustray.get(actor.ready.remote(), timeout=40)
    assert ticks(trace) == 1


def test_a_stopped_node_is_fenced_and_comes_back_as_a_new_one(cluster, tmp_path):
    stopped = cluster.nodes[1]
    gate = Gate(tmp_path / "gate")

    @rustray.remote(max_retries=2)
    def work(i):
        gate.wait()
        return i, rustray.get_runtime_context().get_node_id()

    refs = [work.remote(i) for i in range(2)]
    gate.wait_for_waiters(2)
    cluster.pause_node(stopped)
    gate.open()
    other = cluster.add_node(num_cpus=2)
    results = rustray.get(refs, timeout=40)
    assert [i for i, _node in results] == [0, 1]
    assert {node for _i, node in results} == {other.name}
    cluster.resume_node(stopped)
    # It is the same process, but for the cluster a new node, and it works.
    eventually(lambda: len(alive()) == 3, timeout=20)
    assert len(set(rustray.get([work.remote(i) for i in range(8)], timeout=40))) >= 1


def test_workers_of_a_dead_node_are_gone(cluster):
    doomed = cluster.nodes[1]

    @rustray.remote(max_retries=0)
    def pid():
        return os.getpid()

    pids = set(rustray.get([pid.remote() for _ in range(4)], timeout=30))
    cluster.kill_node(doomed)
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_a_node_that_leaves_lets_its_work_finish(cluster, tmp_path):
    leaving = cluster.nodes[1]
    gate = Gate(tmp_path / "gate")

    @rustray.remote(max_retries=0)
    def work():
        gate.wait()
        return rustray.get_runtime_context().get_node_id()

    refs = [work.remote() for _ in range(2)]
    gate.wait_for_waiters(2)
    other = cluster.add_node(num_cpus=2)
    # That it does not leave before its work ends cannot be awaited: it has this long to do wrong.
    threading.Timer(0.5, gate.open).start()
    cluster.remove_node(leaving, graceful=True)
    assert set(rustray.get(refs, timeout=30)) == {leaving.name}
    eventually(lambda: leaving.name not in alive())
    assert rustray.get(work.remote(), timeout=30) == other.name


def test_what_a_node_that_leaves_has_made_is_not_made_again(cluster, tmp_path):
    """The result of a long task is still where it was made, and nobody has asked for it."""
    leaving, trace = cluster.nodes[1], tmp_path / "trace"

    @rustray.remote(max_retries=3)
    def make(seed):
        with open(trace, "a") as file:
            file.write(f"{seed} ")
        return np.full(500_000, seed)

    @rustray.remote
    def total(array):
        return int(array.sum())

    refs = [make.remote(seed) for seed in range(6)]
    rustray.wait(refs, num_returns=6, timeout=30, fetch_local=False)
    cluster.add_node(num_cpus=2)
    cluster.remove_node(leaving, graceful=True)
    eventually(lambda: leaving.name not in alive())
    assert [int(array[0]) for array in rustray.get(refs, timeout=30)] == list(range(6))
    assert rustray.get(total.remote(refs[5]), timeout=30) == 2_500_000
    assert sorted(trace.read_text().split()) == list("012345"), "each has run once"


def test_who_waits_for_a_node_gets_it_when_it_joins(cluster):
    @rustray.remote(resources={"rare": 1})
    def rare():
        return rustray.get_runtime_context().get_node_id()

    ref = rare.remote()
    eventually(lambda: rustray.explain(ref).state == "infeasible")
    new = cluster.add_node(num_cpus=1, resources={"rare": 1})
    assert rustray.get(ref, timeout=30) == new.name


def test_the_node_of_a_driver_dies(cluster):
    rustray.shutdown()
    home = cluster.add_node(num_cpus=0)
    rustray.init(home.address)

    @rustray.remote(num_cpus=1)
    class Orphan:
        def pid(self):
            return os.getpid()

    orphan = Orphan.remote()
    pid = rustray.get(orphan.pid.remote(), timeout=30)
    cluster.kill_node(home)
    with pytest.raises(errors.SessionError):
        rustray.get(orphan.pid.remote(), timeout=60)
    # Its job has ended, and with it all that belonged to it on other nodes.
    eventually(lambda: not psutil.pid_exists(pid), timeout=60)


def test_affinity_to_a_node_that_is_gone(cluster):
    doomed = cluster.nodes[1]
    cluster.add_node(num_cpus=1)

    @rustray.remote
    def f():
        return rustray.get_runtime_context().get_node_id()

    cluster.kill_node(doomed)
    eventually(lambda: doomed.name not in alive())
    soft = NodeAffinitySchedulingStrategy(doomed.name, soft=True)
    assert rustray.get(f.options(scheduling_strategy=soft).remote(), timeout=30) != doomed.name
