"""Connections to clusters: opened when asked for, closed when nobody asks, and never waited for by the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from rustray.errors import ClusterStartError, SessionError
from rustray_jupyter.contacts import THREADS, Contacts


class Fake:
    """A contact that answers with the question, or as `answer` says."""

    def __init__(self, answer: Callable[..., Any] | None = None) -> None:
        self.alive = True
        self._answer = answer or (lambda what, *args: (what, *args))

    def query(self, what: str, *args: Any) -> Any:
        return self._answer(what, *args)

    def close(self) -> None:
        self.alive = False


class Connections:
    """Counts what is opened."""

    def __init__(self, answer: Callable[..., Any] | None = None) -> None:
        self.made: list[Fake] = []
        self._answer = answer

    def open(self, cluster: str) -> Fake:
        self.made.append(Fake(self._answer))
        return self.made[-1]


async def test_one_connection_serves_all_questions() -> None:
    opened = Connections()
    contacts = Contacts(opened.open, timeout=5, idle=60)
    assert not opened.made
    assert await contacts.query("a", "nodes") == ("nodes",)
    assert await contacts.query("a", "metrics", 1.0) == ("metrics", 1.0)
    assert len(opened.made) == 1
    await contacts.close()
    assert not opened.made[0].alive


async def test_a_connection_that_has_ended_is_opened_anew() -> None:
    opened = Connections()
    contacts = Contacts(opened.open, timeout=5, idle=60)
    await contacts.query("a", "nodes")
    opened.made[0].alive = False
    await contacts.query("a", "nodes")
    assert len(opened.made) == 2
    await contacts.close()


async def test_what_nobody_asks_is_closed() -> None:
    opened = Connections()
    contacts = Contacts(opened.open, timeout=5, idle=0)
    await contacts.query("a", "nodes")
    time.sleep(0.001)  # so that some time has gone since it was asked
    await contacts.close_idle()
    assert contacts.open == [] and not opened.made[0].alive


async def test_what_is_asked_stays_open() -> None:
    opened = Connections()
    contacts = Contacts(opened.open, timeout=5, idle=60)
    await contacts.query("a", "nodes")
    await contacts.close_idle()
    assert contacts.open == ["a"] and opened.made[0].alive
    await contacts.close()


async def test_a_cluster_that_does_not_answer_holds_up_no_other() -> None:
    freed = threading.Event()
    opened = {"hangs": Connections(lambda *_question: freed.wait(20)), "answers": Connections()}
    contacts = Contacts(lambda cluster: opened[cluster].open(cluster), timeout=0.05, idle=60)
    for _ in range(5):
        with pytest.raises(SessionError, match="'hangs' has not answered within 0.05 s"):
            await contacts.query("hangs", "nodes")
    assert await contacts.query("answers", "nodes") == ("nodes",)
    freed.set()
    await contacts.close()


async def test_errors_of_connecting_are_told_and_not_kept() -> None:
    answers: list[Any] = [ClusterStartError("none"), Fake()]

    def connect(_cluster: str) -> Fake:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    contacts = Contacts(connect, timeout=5, idle=60)
    with pytest.raises(ClusterStartError):
        await contacts.query("a", "nodes")
    assert await contacts.query("a", "nodes") == ("nodes",)
    await contacts.close()


async def test_once_closed_nothing_is_opened() -> None:
    opened = Connections()
    contacts = Contacts(opened.open, timeout=5, idle=60)
    await contacts.close()
    with pytest.raises(SessionError, match="The Jupyter server is ending"):
        await contacts.query("a", "nodes")
    assert not opened.made and contacts.open == []


async def test_a_question_that_waits_for_a_thread_when_all_is_closed_opens_nothing() -> None:
    opened = Connections()
    asked, freed = threading.Event(), threading.Event()

    def connect(cluster: str) -> Fake:
        asked.set()
        assert freed.wait(20)
        return opened.open(cluster)

    contacts = Contacts(connect, timeout=20, idle=60)
    waiting = [asyncio.create_task(contacts.query("a", "nodes")) for _ in range(THREADS + 2)]
    await asyncio.to_thread(asked.wait, 20)
    closing = asyncio.create_task(contacts.close())
    while contacts.open:
        await asyncio.sleep(0)
    freed.set()
    await closing
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, SessionError)]
    assert len(refused) == THREADS + 1 and len(opened.made) == 1, "only who was connecting already goes on"
    assert not opened.made[0].alive


async def test_a_connection_is_not_idle_while_somebody_waits_for_an_answer() -> None:
    asked, freed = threading.Event(), threading.Event()

    def answer(*_question: Any) -> str:
        asked.set()
        assert freed.wait(20)
        return "late"

    opened = Connections(answer)
    contacts = Contacts(opened.open, timeout=20, idle=0)
    waiting = asyncio.create_task(contacts.query("a", "nodes"))
    await asyncio.to_thread(asked.wait, 20)
    await contacts.close_idle()
    assert contacts.open == ["a"]
    freed.set()
    assert await waiting == "late"
    await contacts.close()
