"""Threads and coroutines that do at random all that may be done with refs, actors and streams, dropping them at every
moment: each value is right, everything ends, and in the end nothing is left."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from rustray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    SerializationError,
    TaskCancelledError,
)
from tests.integration.test_leaks import cluster, nothing_is_left, tables  # noqa: F401
from tests.support import eventually, tick

DURATION_S = 4.0
END_S = 60.0
SIZES = (10, 24_000, 102_000, 103_000, 600_000)  # bytes: inline, at the limit, in the store
DEAD = (ActorDiedError, ActorUnavailableError)


def array(number, size):
    return np.full(size, number % 251, dtype=np.uint8)


@rustray.remote
def make(number, size, pause=0.0):
    time.sleep(pause)
    return array(number, size)


@rustray.remote
def echo(value, *_others):
    return value


@rustray.remote
def look(box, **_others):
    return rustray.get(box[0]).copy()


@rustray.remote
def boxed(number, size):
    return [rustray.put(array(number, size)), [rustray.put([rustray.put(array(number, size))])]]


@rustray.remote(num_returns=2)
def two(number, size):
    return [rustray.put(number)], array(number, size)


@rustray.remote(max_retries=3)
def dies_once(path, number, size, box):
    if tick(path) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return array(number, size), box


@rustray.remote
def fail(*_args):
    raise KeyError("as it should")


@rustray.remote(preemptible=False)
def stream(number, size, pause=0.0):
    for index in range(6):
        time.sleep(pause)
        yield array(number + index, size)


@rustray.remote(num_cpus=0, max_restarts=-1)
class Keeper:
    def __init__(self, *given):
        self.kept, self.given = {}, given

    def keep(self, key, box):
        self.kept[key] = box

    def give(self, key):
        return self.kept.pop(key)

    def make(self, number, size):
        return array(number, size)

    def size(self):
        return len(self.given[0])

    def tables(self):
        self.kept.clear()
        return tables()


@rustray.remote(num_cpus=0)
class Coroutines:
    async def look(self, box):
        return (await box[0]).copy()

    async def echo(self, value, pause=0.0):
        await asyncio.sleep(pause)
        return value

    async def tables(self):
        return tables()


class Steps:
    """What one thread or loop does, as `rng` says. Those of a loop begin with "a_"."""

    def __init__(self, rng, folder, keeper, coroutines):
        self.rng, self.folder, self.keeper, self.coroutines = rng, folder, keeper, coroutines
        self.number, self.size = 0, SIZES[0]

    def draw(self):
        self.number, self.size = self.rng.randrange(10**6), self.rng.choice(SIZES)
        return self.number, self.size

    def drop(self):
        if self.rng.random() < 0.3:
            current().objects.settle_drops()
        elif self.rng.random() < 0.03:
            gc.collect()

    def get(self, ref):
        self.drop()
        return rustray.get(ref, timeout=END_S)

    def check(self, value, number, size):
        assert value.shape == (size,) and value[0] == value[size // 2] == value[-1] == number % 251

    def made(self, ref, at):
        self.check(self.get(ref), *at)

    def temporary(self, at):
        self.made(echo.remote(echo.remote(make.remote(*at)), rustray.put(array(*at))), at)

    def waited_for(self, at):
        ready, _rest = rustray.wait([make.remote(*at) for _ in range(3)], num_returns=2, timeout=END_S)
        self.made(ready[1], at)

    def timed_out(self, at):
        ref = make.remote(*at, 0.02)
        with pytest.raises(GetTimeoutError):
            rustray.get(ref, timeout=0.0001)
        self.made(ref, at)

    def nested(self, at):
        self.made(look.remote([make.remote(*at), rustray.put(1)], other=rustray.put(array(*at))), at)

    def returned(self, at):
        one, [two] = self.get(boxed.remote(*at))
        self.made(one, at)
        self.made(self.get(two)[0], at)

    def passed_through(self, at):
        box = [make.remote(*at, 0.01)]
        for _ in range(self.rng.randint(1, 3)):
            box = self.get(echo.remote(echo.remote([box])))[0]
        self.made(box[0], at)

    def in_one_another(self, at):
        outer = echo.remote(rustray.put([rustray.put([make.remote(*at)])]))
        self.made(self.get(self.get(outer)[0])[0], at)

    def two_results(self, at):
        box, ref = two.remote(*at)
        if self.rng.random() < 0.5:
            self.made(ref, at)
        del ref
        assert self.get(self.get(box)[0]) == at[0]

    def refused(self, at):
        ref = make.remote(*at)
        with pytest.raises(SerializationError):
            echo.remote([ref, rustray.put(array(*at)), threading.Lock()])
        self.made(ref, at)

    def killed_worker(self, at):
        path = os.path.join(self.folder, f"{threading.get_ident()}-{time.monotonic_ns()}")
        value, box = self.get(dies_once.remote(path, *at, [make.remote(*at)]))
        self.check(value, *at)
        self.made(box[0], at)

    def failed(self, at):
        with pytest.raises(KeyError):
            self.get(echo.remote(fail.remote(make.remote(*at), [rustray.put(array(*at))])))

    def cancelled(self, at):
        refs = [make.remote(*at, 0.005) for _ in range(4)]
        refs.append(self.coroutines.echo.remote(make.remote(*at), 0.02))
        used = echo.remote(refs[0])
        time.sleep(0.02 * self.rng.random())
        for ref in refs:
            rustray.cancel(ref)
        for ref in (*refs, used):
            try:
                self.made(ref, at)
            except TaskCancelledError:
                pass

    def lost(self, at):
        ref = make.remote(*at, 0.005)
        used = echo.remote(ref)
        rustray.wait([ref, used], num_returns=2, timeout=END_S)
        self.get(used)
        if at[1] >= SIZES[3]:
            lost = ref.binary()
            eventually(lambda: current().requests.query("lose", lost))
        again = [look.remote([ref]), *(echo.remote(ref) for _ in range(3))]
        del ref
        for ref in (used, *again):
            self.made(ref, at)

    def streamed(self, at):
        for index, ref in enumerate(stream.remote(*at)):
            self.made(ref, (at[0] + index, at[1]))
            if self.rng.random() < 0.1:
                return

    def future(self, at):
        future = make.remote(*at).future()
        self.drop()
        if self.rng.random() < 0.8:
            self.check(future.result(timeout=END_S), *at)

    def kept(self, at):
        key = (*at, time.monotonic_ns())
        self.keeper.keep.remote(key, [make.remote(*at), rustray.put(array(*at))])
        for ref in self.get(self.keeper.give.remote(key)):
            self.made(ref, at)

    def awaited_in_an_actor(self, at):
        self.made(self.coroutines.look.remote([make.remote(*at)]), at)

    def temporary_actor(self, at):
        self.made(Keeper.remote().make.remote(*at), at)
        assert self.get(Keeper.remote(make.remote(*at)).size.remote()) == at[1]

    def killed_actor(self, at):
        actor = Keeper.options(max_restarts=0).remote()
        refs = [actor.make.remote(*at) for _ in range(20)]
        time.sleep(0.02 * self.rng.random())
        rustray.kill(actor)
        for ref in refs:
            try:
                self.made(ref, at)
            except DEAD:
                pass

    def in_a_cycle(self, at):
        cycle = [make.remote(*at), stream.remote(*at), self.keeper, self.get(make.remote(*at))]
        cycle.append(cycle)

    async def a_awaited_alone(self, at):
        self.check(await make.remote(*at, 0.02), *at)

    async def a_temporary(self, at):
        for value in await asyncio.gather(*(echo.remote(make.remote(*at)) for _ in range(3))):
            self.check(value, *at)

    async def a_timed_out(self, at):
        ref = make.remote(*at, 0.02)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ref, 0.0001)
        self.drop()
        if self.rng.random() < 0.5:
            self.check(await ref, *at)

    async def a_cancelled(self, at):
        async def value():
            return await make.remote(*at, 0.01)

        waiting = asyncio.ensure_future(value())
        await asyncio.sleep(0.02 * self.rng.random())
        waiting.cancel()
        await asyncio.wait([waiting])

    async def a_streamed(self, at):
        refs, index = stream.remote(*at, 0.001), 0
        async for ref in refs:
            self.check(await ref, at[0] + index, at[1])
            index += 1
            if self.rng.random() < 0.1:
                return

    async def a_returned(self, at):
        self.check(await (await boxed.remote(*at))[0], *at)

    async def a_actor(self, at):
        self.check(await Keeper.remote().make.remote(*at), *at)


BOTH = ("draw", "drop", "get", "check", "made")
OF_A_LOOP = [name for name in vars(Steps) if name.startswith("a_")]
OF_A_THREAD = [name for name in vars(Steps) if name[0] != "_" and name not in (*BOTH, *OF_A_LOOP)]


def test_at_random(tmp_path):
    keeper, coroutines = Keeper.remote(), Coroutines.remote()
    end = time.monotonic() + DURATION_S

    def steps(seed):
        return Steps(random.Random(seed), tmp_path, keeper, coroutines)

    def in_a_thread(seed):
        does = steps(seed)
        while time.monotonic() < end:
            getattr(does, does.rng.choice(OF_A_THREAD))(does.draw())

    async def in_a_loop(seed):
        does = steps(seed)
        while time.monotonic() < end:
            await asyncio.wait_for(getattr(does, does.rng.choice(OF_A_LOOP))(does.draw()), END_S)

    async def loops():
        await asyncio.gather(*map(in_a_loop, range(10, 13)))

    with ThreadPoolExecutor(3) as threads:
        for run in [
            *(threads.submit(in_a_thread, seed) for seed in (1, 2)),
            threads.submit(asyncio.run, loops()),
        ]:
            run.result(DURATION_S + 2 * END_S)
    for actor in (keeper, coroutines):
        eventually(lambda actor=actor: not rustray.get(actor.tables.remote()))
