"""What a task leaves behind, threads and forked children, disturbs nobody."""

from __future__ import annotations

import os
import threading
import time

import pytest

import rustray
from tests.integration.failures.tasks import CPUS
from tests.support import eventually, lives, threads_in_get


def test_a_thread_that_waits_does_not_block_the_worker(tmp_path):
    @rustray.remote
    class Never:
        async def end(self):
            import asyncio

            await asyncio.sleep(1000)

    @rustray.remote
    def leave(refs):
        threading.Thread(target=lambda: rustray.get(refs[0]), daemon=True).start()
        eventually(threads_in_get)
        return os.getpid()

    @rustray.remote
    def pid():
        time.sleep(0.01)  # so that one worker does not run all
        return os.getpid()

    never = Never.remote()
    left = rustray.get([leave.remote([never.end.remote()]) for _ in range(CPUS)], timeout=60)
    assert set(left) & set(rustray.get([pid.remote() for _ in range(20)], timeout=60))
    del never


@pytest.mark.parametrize("end", ["return", "raise", "yield"])
def test_a_forked_child_answers_nobody(tmp_path, end):
    def work(path):
        child = os.fork()
        if not child:
            path.write_text(str(os.getpid()))
            if end == "raise":
                raise ValueError("in the child")
        if end != "yield":
            return [os.waitpid(child, 0)[1], 1] if child else ["child"]
        return iter([os.waitpid(child, 0)[1], 1] if child else ["child"])

    f = rustray.remote(max_retries=0, num_returns="streaming" if end == "yield" else 1)(work)
    path = tmp_path / "child"
    if end == "yield":
        found = [rustray.get(ref, timeout=60) for ref in f.remote(path)]
    else:
        found = rustray.get(f.remote(path), timeout=60)
    assert found == [256 if end == "raise" else 0, 1]
    assert not lives(int(path.read_text()))
