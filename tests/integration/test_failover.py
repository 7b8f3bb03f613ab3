"""Three heads: the leader dies, all die, is stopped, while work runs. Nothing acknowledged is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import rustray
from rustray.driver import connecting, head_contact
from rustray.errors import GetTimeoutError, NotCommittedError, SessionError
from rustray.testing import Cluster
from tests.patient_head import PatientCluster
from tests.support import Gate, eventually


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with PatientCluster(heads=3, nodes=2, num_cpus=1) as cluster:
        rustray.init(cluster.address)
        yield cluster
        rustray.shutdown()


@rustray.remote
def count(i):
    return i


@rustray.remote(max_restarts=2)
class Counter:
    def __init__(self):
        self.value = 0

    def inc(self):
        self.value += 1
        return self.value


class Writer(threading.Thread):
    """Writes numbers one after the other, and remembers which were acknowledged, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged: list[tuple[int, float]] = []
        self.over = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.over.is_set():
            rustray.kv.put(f"written-{number}", str(number).encode())
            self.acknowledged.append((number, time.monotonic()))
            number += 1

    def longest_gap(self) -> float:
        times = [at for _number, at in self.acknowledged]
        return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))

    def check(self) -> None:
        kept = {int(key.removeprefix("written-")) for key in rustray.kv.keys("written-")}
        assert kept >= {number for number, _at in self.acknowledged}


def test_the_leader_is_killed_while_tasks_run(cluster, tmp_path):
    gate = Gate(tmp_path / "gate")

    @rustray.remote
    def held():
        gate.wait()
        return "undisturbed"

    counter = Counter.options(name="counter").remote()
    rustray.get([counter.inc.remote() for _ in range(10)], timeout=30)
    running = held.remote()
    gate.wait_for_waiters()
    writer = Writer()
    writer.start()
    eventually(lambda: len(writer.acknowledged) > 20)
    results: list[int] = []
    for round_ in range(3):
        refs = [count.remote(i) for i in range(3000)]
        if round_ == 1:
            cluster.kill_head(cluster.leader)
        results += rustray.get(refs, timeout=60)
    assert results == list(range(3000)) * 3
    assert rustray.get(counter.inc.remote(), timeout=30) == 11
    gate.open()
    assert rustray.get(running, timeout=30) == "undisturbed"
    seen = len(writer.acknowledged)
    eventually(lambda: len(writer.acknowledged) > seen + 20)
    writer.over.set()
    writer.join(30)
    writer.check()
    assert writer.longest_gap() < 3.0
    again = rustray.get_actor("counter")
    assert rustray.get(again.inc.remote(), timeout=30) == 12
    other = Counter.options(name="other").remote()
    assert rustray.get(other.inc.remote(), timeout=30) == 1


def test_all_heads_are_killed_and_started_again(cluster, tmp_path):
    gate = Gate(tmp_path / "gate")

    @rustray.remote
    def held():
        gate.wait()
        return "undisturbed"

    counter = Counter.options(name="counter").remote()
    assert rustray.get(counter.inc.remote(), timeout=30) == 1
    for i in range(20):
        rustray.kv.put(f"key-{i}", b"value")
    running = held.remote()
    gate.wait_for_waiters()
    heads = list(cluster.heads)
    for head in heads:
        cluster.kill_head(head)
    # Calls of actors and tasks on leases that are there need no head.
    assert rustray.get(counter.inc.remote(), timeout=30) == 2
    for head in heads:
        cluster.restart_head(head)
    assert len(rustray.kv.keys("key-")) == 20
    gate.open()
    assert rustray.get(running, timeout=40) == "undisturbed"
    assert rustray.get(rustray.get_actor("counter").inc.remote(), timeout=30) == 3
    assert rustray.get([count.remote(i) for i in range(100)], timeout=30) == list(range(100))


def test_a_head_that_comes_back_may_lead_again(cluster):
    for round_ in range(3):
        leader = cluster.leader
        rustray.kv.put(f"round-{round_}", b"x")
        cluster.kill_head(leader)
        rustray.kv.put(f"after-{round_}", b"x")
        cluster.restart_head(leader)
    assert len(rustray.kv.keys("round-")) == len(rustray.kv.keys("after-")) == 3
    assert rustray.get([count.remote(i) for i in range(50)], timeout=30) == list(range(50))


def test_actors_that_die_while_no_head_leads_restart(cluster):
    @rustray.remote(max_restarts=-1, max_task_retries=-1)
    class Fragile:
        def pid(self):
            import os

            return os.getpid()

    import os

    fragile = Fragile.remote()
    pid = rustray.get(fragile.pid.remote(), timeout=30)
    heads = list(cluster.heads)
    for head in heads:
        cluster.kill_head(head)
    os.kill(pid, 9)
    for head in heads:
        cluster.restart_head(head)
    assert rustray.get(fragile.pid.remote(), timeout=40) != pid


def test_who_needs_a_head_while_none_answers_is_told(monkeypatch, capsys):
    @rustray.remote(num_cpus=0.5)
    def other():
        return 1

    with Cluster(heads=1, nodes=1, num_cpus=1) as cluster:
        rustray.init(cluster.address)
        counter = Counter.options(num_cpus=0).remote()
        assert rustray.get(counter.inc.remote(), timeout=30) == 1
        cluster.kill_head(cluster.leader)
        monkeypatch.setattr(head_contact, "GIVE_UP_AFTER_S", 6.0)
        with pytest.raises(NotCommittedError, match="may still be carried out when a head is back"):
            rustray.kv.put("a", b"b")
        with pytest.raises(GetTimeoutError, match="no leading head of the cluster has answered"):
            rustray.get(other.remote(), timeout=0.5)
        assert capsys.readouterr().err.count("no leading head") == 1
        assert rustray.get(counter.inc.remote(), timeout=30) == 2
        rustray.shutdown()
        monkeypatch.setattr(connecting, "CONNECT_TIMEOUT_S", 1.0)
        with pytest.raises(SessionError, match="the node here is well, but no leading head"):
            rustray.init(cluster.address)
