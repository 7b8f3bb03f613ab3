"""Live data is asked for while somebody looks, and only what he looks at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import pytest

from rustray.errors import SessionError
from rustray_jupyter.live import Live

LOG = logging.getLogger(__name__)


class Look:
    """A view that keeps what it is shown."""

    def __init__(self, *panels: str) -> None:
        self.panels = list(panels)
        self.ready = True
        self.shown: list[dict[str, Any]] = []
        self.ended = ""

    def show(self, message: dict[str, Any]) -> None:
        self.shown.append(message)

    def end(self, why: str) -> None:
        self.ended = why


class Source:
    """Columns that say how often they were asked for."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.opened = 0
        self.error: Exception | None = None
        self.since: float | None = 1.0

    def open(self, _cluster: str) -> Callable[[Collection[str]], Awaitable[dict[str, Any]]]:
        self.opened += 1
        return self.fetch

    async def fetch(self, panels: Collection[str]) -> dict[str, Any]:
        self.asked.append(set(panels))
        if self.error is not None:
            raise self.error
        return {panel: {"source": {"n": [len(self.asked)]}} for panel in panels}

    async def started(self, _cluster: str) -> float | None:
        return self.since


async def until(look: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not look():
            await asyncio.sleep(0)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def live(source: Source) -> Live:
    return Live(source.open, source.started, 0.0, LOG)


async def test_each_sees_his_panels_of_one_question_for_all(live: Live, source: Source) -> None:
    one, both = Look("a"), Look("a", "b")
    live.add("c", one)
    live.add("c", both)
    await until(lambda: len(both.shown) > 1)
    assert source.asked[0] == {"a", "b"}
    assert [set(view.shown[0]) for view in (one, both)] == [{"a"}, {"a", "b"}]
    assert both.shown[0]["a"] != both.shown[1]["a"]
    await live.close()


async def test_nothing_is_asked_when_nobody_looks(live: Live, source: Source) -> None:
    view = Look("a")
    live.add("c", view)
    await until(lambda: view.shown)
    live.remove("c", view)
    await until(lambda: not live.watched)
    asked = len(source.asked)
    await asyncio.sleep(0.01)
    assert len(source.asked) == asked

    live.add("c", view)
    await until(lambda: len(source.asked) > asked)
    assert source.opened == 2
    await live.close()


async def test_who_comes_while_the_cluster_is_asked_waits_for_the_next_answer(source: Source) -> None:
    first, second = Look("a"), Look("b")

    async def slow_fetch(panels: Collection[str]) -> dict[str, Any]:
        columns = await source.fetch(panels)
        if len(source.asked) == 1:
            live.add("c", second)
        return columns

    live = Live(lambda _cluster: slow_fetch, source.started, 0.0, LOG)
    live.add("c", first)
    await until(lambda: second.shown)
    assert set(second.shown[0]) == {"b"}
    assert not first.ended
    await live.close()


async def test_a_slow_page_misses_messages(live: Live) -> None:
    slow, quick = Look("a"), Look("a")
    slow.ready = False
    live.add("c", slow)
    live.add("c", quick)
    await until(lambda: len(quick.shown) > 2)
    assert not slow.shown
    slow.ready = True
    await until(lambda: slow.shown)
    await live.close()


async def test_a_cluster_without_an_answer_is_asked_again(live: Live, source: Source) -> None:
    view = Look("a")
    source.error = SessionError("an election")
    live.add("c", view)
    await until(lambda: len(source.asked) > 2)
    assert not view.shown and not view.ended
    source.error = None
    await until(lambda: view.shown)
    await live.close()


async def test_the_same_trouble_is_logged_once(
    live: Live, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source.error = SessionError("an election")
    live.add("c", Look("a"))
    await until(lambda: len(source.asked) > 3)
    source.error = SessionError("no head")
    asked = len(source.asked)
    await until(lambda: len(source.asked) > asked + 3)
    await live.close()
    told = [record.getMessage() for record in caplog.records if record.name == __name__]
    assert told == [f"No live data of the cluster 'c': {trouble}" for trouble in ("an election", "no head")]


async def test_who_comes_when_all_is_closed_is_sent_away(live: Live, source: Source) -> None:
    await live.close()
    view = Look("a")
    live.add("c", view)
    assert view.ended == "The Jupyter server is ending." and live.watched == [] and not source.asked


@pytest.mark.parametrize("now", [None, 2.0])
async def test_views_of_a_cluster_that_has_ended_end(live: Live, source: Source, now: float | None) -> None:
    view = Look("a")
    live.add("c", view)
    await until(lambda: view.shown)
    source.error, source.since = SessionError("lost"), now  # 2.0: there is another one of that name
    await until(lambda: view.ended)
    assert view.ended == "The cluster 'c' has ended."
    await until(lambda: not live.watched)


async def test_a_defect_ends_the_view_and_is_logged(
    live: Live, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    view = Look("a")
    source.error = KeyError("column")
    live.add("c", view)
    await until(lambda: view.ended)
    await until(lambda: caplog.records)
    assert view.ended == "Live data has failed; the Jupyter server's log says more. KeyError: 'column'"
    assert "KeyError" in caplog.text
