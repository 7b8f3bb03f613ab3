"""Handles and names of actors with real processes, and what goes when the last one is gone."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from rustray.errors import ActorAlreadyExistsError, ActorNotFoundError
from rustray.util import list_named_actors
from tests.integration.actors.classes import Counter, Keeper, behind
from tests.support import Gate, eventually, lives


def test_handles_travel() -> None:
    counter = Counter.remote()
    keeper = Keeper.remote({"deep": [counter]}, counter)
    rustray.get(keeper.keep.remote(counter))
    assert rustray.get(keeper.call.remote(2)) == 1
    back = rustray.get(keeper.give.remote(1))
    assert back == counter and hash(back) == hash(counter) and rustray.get(back.add.remote()) == 2

    @rustray.remote
    def make() -> Any:
        return [Counter.remote(7)]

    # Its creator is the worker of the task, which lives on: so does the actor.
    (made,) = rustray.get(make.remote())
    assert rustray.get(made.add.remote()) == 8
    assert rustray.get(rustray.get(rustray.put([counter]))[0].add.remote()) == 3
    # Nobody can tell when a pickle of the user's own is lost: this actor lives until it is killed.
    assert rustray.get(pickle.loads(pickle.dumps(counter)).add.remote()) == 4
    rustray.kill(counter)


def test_a_handle_is_shown() -> None:
    counter = Counter.remote()
    assert repr(counter) == f"Actor(Counter, {counter._actor_id})"
    assert "add" in counter._repr_html_() and "add" in dir(counter)


def test_an_actor_ends_with_its_last_handle_after_the_calls_it_has(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    counter = Counter.remote()
    pid = rustray.get(counter.pid.remote())
    refs = [counter.add.remote() for _ in range(10_000)]
    last = counter.hold.remote(gate)
    del counter
    assert rustray.get(refs[-1]) == 10_000
    gate.open()
    assert rustray.get(last) == 10_001
    eventually(lambda: not lives(pid))


def test_a_handle_kept_elsewhere_keeps_the_actor() -> None:
    counter = Counter.remote()
    pid = rustray.get(counter.pid.remote())
    keeper = Keeper.remote()
    rustray.get(keeper.keep.remote(counter))
    del counter
    assert rustray.get(keeper.call.remote(0)) == 1
    again = rustray.get(keeper.give.remote(0))
    rustray.get(keeper.drop.remote())
    assert rustray.get(again.add.remote()) == 2 and lives(pid)
    del again
    eventually(lambda: not lives(pid))


def test_an_actor_that_keeps_a_handle_to_itself_ends_all_the_same() -> None:
    @rustray.remote
    class Narcissus:
        def look(self, also: Any) -> int:
            self.me = rustray.get_runtime_context().current_actor
            self.also = also
            return os.getpid()

        def friend(self) -> Any:
            return self.me

    actor = Narcissus.remote()
    pid = rustray.get(actor.look.remote([actor]))
    same = rustray.get(actor.friend.remote())
    assert same == actor
    del actor
    assert lives(pid) and rustray.get(same.look.remote(None)) == pid
    del same
    eventually(lambda: not lives(pid))


def test_named_actors() -> None:
    counter = Counter.options(name="counter").remote(1)
    with pytest.raises(ActorAlreadyExistsError, match="counter"):
        Counter.options(name="counter").remote()
    same = Counter.options(name="counter", get_if_exists=True).remote()
    assert same == counter == rustray.get_actor("counter") == rustray.get_actor("counter", "tests")
    other = Counter.options(name="counter", namespace="elsewhere").remote(2)
    assert rustray.get(rustray.get_actor("counter", namespace="elsewhere").get.remote()) == 2
    assert "counter" in list_named_actors()
    assert {"name": "counter", "namespace": "elsewhere"} in list_named_actors(all_namespaces=True)

    @rustray.remote
    def find() -> int:
        return rustray.get(rustray.get_actor("counter").add.remote())

    assert rustray.get(find.remote()) == 2
    rustray.kill(counter)
    with pytest.raises(ActorNotFoundError, match="counter"):
        rustray.get_actor("counter")
    again = Counter.options(name="counter", get_if_exists=True).remote(40)
    assert rustray.get(again.get.remote()) == 40
    del other


def test_a_name_is_taken_at_once_though_an_argument_is_pending(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    counter = Counter.options(name="early").remote(behind.remote(gate, 3))
    with pytest.raises(ActorAlreadyExistsError):
        Counter.options(name="early").remote()

    @rustray.remote
    def ask(counter: Any) -> int:
        return rustray.get(counter.add.remote())

    asked = ask.remote(counter)
    gate.open()
    assert rustray.get(asked) == 4 and rustray.get(rustray.get_actor("early").get.remote()) == 4


def test_a_name_is_free_when_the_last_handle_is_gone() -> None:
    counter = Counter.options(name="short").remote()
    rustray.get(counter.add.remote())
    del counter
    eventually(lambda: "short" not in list_named_actors())


def test_what_an_actor_keeps_is_freed_with_it() -> None:
    objects = current().objects

    def used() -> int:
        objects.settle_drops()
        return int(current().requests.query("store")["used"])

    before = used()
    keeper = Keeper.remote(rustray.put(np.ones(100_000)), [rustray.put(np.ones(100_000))], np.ones(100_000))
    for _ in range(5):
        keeper.keep.remote(np.ones(100_000))
        keeper.keep.remote([rustray.put(np.ones(100_000))])
    rustray.get(keeper.give.remote(3))
    assert used() > before
    rustray.kill(keeper)
    eventually(lambda: used() <= before)
    del keeper


def test_workers_and_leases_come_back_when_many_actors_have_ended() -> None:
    def processes() -> int:
        return sum(row["actor"] is not None for row in current().requests.query("workers"))

    eventually(lambda: processes() == 0)
    channels = set(current().actors._channels)
    actors = [Counter.remote(i) for i in range(20)]
    assert rustray.get([actor.add.remote() for actor in actors]) == list(range(1, 21))
    assert processes() == 20
    for actor in actors[:10]:
        rustray.kill(actor)
    del actor, actors
    eventually(lambda: processes() == 0)
    eventually(lambda: all(row["leases"] == 0 for row in current().requests.query("workers")))
    eventually(lambda: set(current().actors._channels) <= channels)
    eventually(lambda: rustray.available_resources().get("CPU") == 2)
