"""`rustray.explain` with real processes, and the line that a long `get` prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rustray
from rustray.errors import OptionError, SessionError
from rustray.explanation import Explanation
from tests.support import ROOT, eventually, run_program, start_program

CPUS = 2


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=CPUS)
    yield
    rustray.shutdown()


@rustray.remote
def until(path):
    """Not over before the test makes a file at `path`."""
    while not os.path.exists(path):
        time.sleep(0.01)
    return os.getpid()


@rustray.remote
def identity(value):
    return value


@rustray.remote
class Holder:
    def __init__(self, path=None):
        until._function(path) if path else None

    def pid(self):
        return os.getpid()

    def until(self, path):
        return until._function(path)


def when(ref: object, state: str, also: Callable[[Explanation], object] = lambda _found: True) -> Explanation:
    """The explanation once it has this state."""

    def look() -> Explanation | None:
        found = rustray.explain(ref)  # type: ignore[arg-type]
        return found if found.state == state and also(found) else None

    found = eventually(look)
    assert found is not None
    return found


def test_a_task_from_its_queue_to_its_result(tmp_path: Path) -> None:
    refs = [until.remote(str(tmp_path / str(n))) for n in range(CPUS + 2)]
    last = when(refs[-1], "queued", lambda found: found.position == 2)
    assert last.queued == 2 and "2 of 2 here" in repr(last)
    waiting = when(identity.remote(refs[0]), "waiting for arguments")
    assert waiting.waits_for == (refs[0].hex(),)
    running = when(refs[0], "running", lambda found: found.since_s > 0.3)
    assert running.function == "until" and running.task == refs[0].task_id()
    for n in range(CPUS + 2):
        (tmp_path / str(n)).touch()
    assert rustray.get(refs)[0] == running.pid
    assert rustray.explain(refs[0]).state == "done"
    assert rustray.explain(rustray.put(1)).state == "done"


def test_errors_and_cancelled_tasks(tmp_path: Path) -> None:
    @rustray.remote
    def fails():
        raise KeyError("what")

    failed = when(fails.remote(), "failed")
    assert failed.function.endswith("fails") and "KeyError: 'what'" in failed.text
    held = [until.remote(str(tmp_path / "go")) for _ in range(CPUS)]
    ref = until.remote(str(tmp_path / "go"))
    rustray.cancel(ref)
    assert when(ref, "cancelled").state == "cancelled"
    (tmp_path / "go").touch()
    rustray.get(held)


def test_calls_of_an_actor(tmp_path: Path) -> None:
    actor = Holder.remote(str(tmp_path / "up"))
    call = actor.pid.remote()
    assert when(call, "waiting for its actor", lambda found: "its constructor runs" in found.text)
    assert rustray.explain(actor).state == "pending"
    (tmp_path / "up").touch()
    pid = rustray.get(call)
    assert when(actor, "alive")
    busy, then = actor.until.remote(str(tmp_path / "go")), actor.pid.remote()
    assert when(busy, "running").pid == pid
    assert rustray.explain(then).state in ("sent", "queued")
    (tmp_path / "go").touch()
    rustray.get([busy, then])
    rustray.kill(actor)
    assert "rustray.kill()" in when(actor, "dead").text


def test_who_holds_the_slots(tmp_path: Path) -> None:
    holders = [Holder.options(num_cpus=1).remote() for _ in range(CPUS)]
    rustray.get([holder.pid.remote() for holder in holders])
    ref = until.remote(str(tmp_path / "go"))
    found = when(ref, "waiting for a lease", lambda found: found.missing == {"CPU": 1.0} and found.holders)
    assert {(row["class"], row["pinned"]) for row in found.holders} == {("Holder", True)}
    assert sum(row["leases"] for row in found.holders) == CPUS
    other = Holder.options(num_cpus=1).remote()
    said = "waits for a slot, of which 1 CPU is missing"
    assert when(other.pid.remote(), "waiting for its actor", lambda found: said in found.text)
    for holder in holders:
        rustray.kill(holder)
    (tmp_path / "go").touch()
    rustray.get(ref)


def test_a_task_that_another_process_has_submitted(tmp_path: Path) -> None:
    @rustray.remote
    def nested(path):
        ref = until.remote(path)
        return [ref], ref.task_id()

    ((inner,), name) = rustray.get(nested.remote(str(tmp_path / "go")))
    for question in (inner, name, inner.hex()):
        found = when(question, "running")
        assert found.function == "until" and found.task == name
    (tmp_path / "go").touch()
    assert rustray.get(inner) == found.pid
    assert rustray.explain(name).state in ("done", "ended")

    @rustray.remote
    def ask(path):
        return rustray.explain(until.remote(path)).state

    state = rustray.get(ask.remote(str(tmp_path / "later")))
    (tmp_path / "later").touch()  # not before: it might be done when it is asked for
    assert state in ("queued", "waiting for a lease", "sent", "running")


def test_what_cannot_be_explained() -> None:
    with pytest.raises(OptionError, match="28 hexadecimal digits"):
        rustray.explain("no id")
    with pytest.raises(OptionError, match="not an int"):
        rustray.explain(3)  # type: ignore[arg-type]
    started = time.monotonic()
    with pytest.raises(SessionError, match="has ended"):
        rustray.explain("00001fffffff" + "00" * 7 + "01")
    assert time.monotonic() - started < 20


def test_the_command_line_asks_the_owner(tmp_path: Path) -> None:
    with rustray.testing.Cluster(num_cpus=1) as lasting:
        program = start_program(
            f"""
            import sys, time, rustray
            rustray.init({lasting.address!r})
            @rustray.remote
            def slow(): time.sleep(60)  # until the driver ends
            ref = slow.remote()
            print(ref.task_id(), ref.hex())
            sys.stdin.read()
            """,
            folder=tmp_path,
        )
        assert program.stdout is not None
        names = program.stdout.readline().split()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}

        def ask(name: str, *more: str) -> str:
            command = [sys.executable, "-m", "rustray", "explain", name, "--address", lasting.address, *more]
            return subprocess.check_output(command, env=environment, text=True)

        eventually(lambda: "slow() is running on node" in ask(names[0]))
        found = json.loads(ask(names[1], "--json"))
        assert found["state"] == "running" and found["task"] == names[0] and found["pid"] > 0
        program.communicate("")


PATIENT = """
    import sys, time, threading
    import rustray
    from rustray.driver import patience
    patience.PATIENCE_S, patience.LACKING_S = 0.5, 0.8
    rustray.init(num_cpus=1)

    @rustray.remote(num_cpus=1)
    class Counter:
        def add(self): return 1

    @rustray.remote
    def task(): return 2

    def wait(ref):
        try: return rustray.get(ref, timeout=1.2)
        except rustray.exceptions.GetTimeoutError: return "waited"

    actor = Counter.remote()
    rustray.get(actor.add.remote())
    ref = task.remote()
    print(wait(ref), wait(ref))
    threading.Timer(1.0, lambda: rustray.kill(actor)).start()
    print(rustray.get(ref))
    sleeper = rustray.remote(lambda: time.sleep(1.2)).remote()  # as long as it is waited for the next one
    print(wait(task.remote()))
"""


def test_a_get_that_waits_for_what_an_actor_holds_says_so_once() -> None:
    lines = run_program(PATIENT).splitlines()
    (warning,) = [line for line in lines if line.startswith("rustray:")]
    assert "task() waits for 1 CPU, held by 1 actor Counter. Actors keep" in warning
    assert [line for line in lines if line != warning][:2] == ["waited waited", "2"]


PATIENT_TASK = """
    import rustray
    rustray.init(num_cpus=2, resources={"gold": 1})

    @rustray.remote(resources={"gold": 1})
    class Counter:
        def add(self): return 1

    @rustray.remote(resources={"gold": 1})
    def nested(): return 2

    @rustray.remote(num_cpus=0)
    def outer(name):
        from rustray.driver import patience
        patience.LACKING_S = patience.PATIENCE_S = 0.5
        ref = nested.remote()
        for _ in range(2):
            try: rustray.get(ref, timeout=1.5)
            except rustray.exceptions.GetTimeoutError: pass
        rustray.cancel(ref)
        return name

    actor = Counter.remote()
    rustray.get(actor.add.remote())
    print(rustray.get(outer.remote("one")))
    print(rustray.get(outer.remote("two")))
"""


def test_a_task_that_waits_for_what_an_actor_holds_says_so_once_in_its_output() -> None:
    lines = run_program(PATIENT_TASK).splitlines()
    told = [line for line in lines if "rustray: get() has waited" in line]
    assert len(told) == 2 and all(line.startswith("(outer pid=") for line in told)  # one for each call of outer()
    assert all("nested() waits for 1 gold, held by 1 actor Counter. Actors keep" in line for line in told)
    assert [line for line in lines if line in ("one", "two")] == ["one", "two"]


def test_across_nodes(tmp_path: Path) -> None:
    program = f"""
        import os, time, rustray
        from rustray import kv
        from rustray.testing import Cluster
        from rustray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        from tests.support import eventually

        with Cluster(heads=1, nodes=2, num_cpus=1) as cluster:
            rustray.init(cluster.address)
            here, there = cluster.nodes

            @rustray.remote
            def until(path):
                while not os.path.exists(path): time.sleep(0.02)
                return os.getpid()

            @rustray.remote
            def ask(name): return repr(rustray.explain(name)), kv.get("where")

            def on(function, node):
                return function.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.name, False))

            kv.put("where", b"everywhere")
            path = {str(tmp_path / "go")!r}
            ref = on(until, there).remote(path)
            eventually(lambda: (found := rustray.explain(ref)).state == "running" and found.pid)
            found = rustray.explain(ref)
            told, value = rustray.get(on(ask, here).remote(ref.task_id()))
            open(path, "w").close()
            print(found.node == there.name, found.pid == rustray.get(ref), there.name in told, value)
            # What was learned there is known here.
            eventually(lambda: rustray.explain(on(until, there).remote(path + "no")).predicted_run_s is not None)
            rustray.shutdown()
    """
    assert run_program(program, timeout=100).splitlines()[-1] == "True True True b'everywhere'"
