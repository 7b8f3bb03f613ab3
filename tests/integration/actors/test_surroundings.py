"""What an actor has around it: resources, devices, environment, runtime context, output."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

import rustray
from rustray.errors import InfeasibleError
from tests.integration.actors.classes import Counter
from tests.support import eventually


def test_resources_are_held_for_the_life_of_an_actor() -> None:
    eventually(lambda: rustray.available_resources().get("CPU") == 2)
    holder = Counter.options(num_cpus=1, resources={"special": 1}).remote()
    rustray.get(holder.add.remote())
    free = rustray.available_resources()
    assert free["CPU"] == 1 and "special" not in free
    rustray.kill(holder)
    eventually(lambda: rustray.available_resources().get("special") == 1)
    eventually(lambda: rustray.available_resources().get("CPU") == 2)
    many = [Counter.remote(i) for i in range(6)]
    assert rustray.get([counter.add.remote() for counter in many]) == [1, 2, 3, 4, 5, 6]


def test_an_actor_that_fits_nowhere_is_told_so_at_once() -> None:
    with pytest.raises(InfeasibleError, match="3 CPU"):
        rustray.get(Counter.options(num_cpus=5).remote().add.remote())
    with pytest.raises(InfeasibleError, match="unknown_thing"):
        rustray.get(Counter.options(resources={"unknown_thing": 1}).remote().add.remote())


def test_gpus() -> None:
    @rustray.remote(num_gpus=1)
    class Device:
        def visible(self) -> tuple[str, list[int], dict[str, list[str]]]:
            return (
                os.environ["CUDA_VISIBLE_DEVICES"],
                rustray.get_gpu_ids(),
                rustray.get_runtime_context().get_accelerator_ids(),
            )

    devices = [Device.remote(), Device.remote()]
    seen = rustray.get([device.visible.remote() for device in devices])
    assert sorted(seen) == [("0", [0], {"GPU": ["0"]}), ("1", [1], {"GPU": ["1"]})]
    third = Device.remote()
    waiting = third.visible.remote()
    assert rustray.wait([waiting], timeout=0.1)[0] == []
    rustray.kill(devices[1])
    assert rustray.get(waiting)[0] == seen[1][0]


def test_environment_of_one_actor() -> None:
    @rustray.remote
    class Reader:
        def read(self) -> str | None:
            return os.environ.get("RUSTRAY_TEST_COLOUR")

    blue = Reader.options(runtime_env={"env_vars": {"RUSTRAY_TEST_COLOUR": "blue"}}).remote()
    assert rustray.get([blue.read.remote(), Reader.remote().read.remote()]) == ["blue", None]


def test_runtime_context() -> None:
    @rustray.remote(num_cpus=1)
    class Inside:
        def __init__(self) -> None:
            self.child = Counter.remote(1)

        def look(self) -> dict[str, Any]:
            context = rustray.get_runtime_context()
            return {
                **context.get(),
                "name": context.get_actor_name(),
                "method": context.get_task_name(),
                "again": context.was_current_actor_reconstructed,
                "resources": context.get_assigned_resources(),
                "child": rustray.get(self.child.add.remote()),
            }

        async def coroutine(self) -> str | None:
            return rustray.get_runtime_context().get_task_name()

    inside = Inside.options(name="inside").remote()
    seen = rustray.get(inside.look.remote())
    mine = rustray.get_runtime_context()
    assert seen["job_id"] == mine.get_job_id() and seen["node_id"] == mine.get_node_id()
    assert seen["actor_id"] == inside._actor_id and mine.get_actor_id() is None
    assert (seen["name"], seen["method"], seen["namespace"]) == ("inside", "Inside.look", "tests")
    assert seen["resources"] == {"CPU": 1} and seen["again"] is False and seen["child"] == 2
    assert rustray.get(inside.coroutine.remote()) == "Inside.coroutine"


def test_prints_reach_the_driver(capsys: pytest.CaptureFixture[str]) -> None:
    @rustray.remote
    class Talker:
        def __init__(self) -> None:
            print("constructed")

        def say(self, text: str) -> int:
            print(text)
            return os.getpid()

        def in_thread(self) -> None:
            thread = threading.Thread(target=print, args=("from a thread",))
            thread.start()
            thread.join()

    @rustray.remote
    class AsyncTalker:
        async def say(self, text: str) -> None:
            print(text)

    talker = Talker.remote()
    pid = rustray.get(talker.say.remote("hello"))
    rustray.get(talker.in_thread.remote())
    rustray.get(AsyncTalker.remote().say.remote("softly"))
    told = ""

    def complete() -> bool:
        nonlocal told
        told += capsys.readouterr().out
        return all(text in told for text in ("constructed\n", "hello\n", "from a thread\n", "softly\n"))

    eventually(complete)
    assert f"(Talker pid={pid}) hello\n" in told and f"(Talker pid={pid}) constructed\n" in told
    assert "softly\n" in told and "(AsyncTalker pid=" in told
