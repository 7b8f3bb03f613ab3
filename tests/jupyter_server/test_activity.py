"""Looking whether clusters work, for idle cullers."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from rustray.errors import SessionError


@pytest.fixture
def extension(jp_serverapp: Any) -> Any:
    return jp_serverapp.extension_manager.extension_points["rustray_jupyter"].app


class Answers:
    """In place of the clusters and of the connections to them. An answer comes once all that are to be asked were."""

    def __init__(self, clusters: dict[str, float | Exception], nodes: int = 1) -> None:
        self._answers = clusters
        self._nodes = nodes
        self._asked: set[str] = set()
        self._all = asyncio.Event()

    async def all(self) -> list[dict[str, Any]]:
        return [{"name": name, "nodes": self._nodes} for name in self._answers]

    async def query(self, cluster: str, what: str, since: float) -> list[dict[str, Any]]:
        assert what == "metrics" and since < time.time()
        self._asked.add(cluster)
        if len(self._asked) == len(self._answers):
            self._all.set()
        async with asyncio.timeout(5):
            await self._all.wait()
        answer = self._answers[cluster]
        if isinstance(answer, Exception):
            raise answer
        return [{"time": answer, "busy": 1, "tasks_per_s": 0.0}]


def use(extension: Any, monkeypatch: pytest.MonkeyPatch, answers: Answers) -> dict[str, datetime]:
    monkeypatch.setattr(extension.clusters, "all", answers.all)
    monkeypatch.setattr(extension.contacts, "query", answers.query)
    return extension.settings["last_activity_times"]  # type: ignore[no-any-return]


async def test_all_are_asked_at_once_and_one_that_fails_hides_no_other(
    extension: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked = time.time() - 5
    times = use(
        extension, monkeypatch, Answers({"a": worked, "b": SessionError("no answer"), "c": worked - 100})
    )
    await extension.note_activity()
    assert times["rustray"].timestamp() == pytest.approx(worked)


async def test_a_head_whose_clock_is_ahead_does_not_keep_the_server_for_long(
    extension: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = use(extension, monkeypatch, Answers({"a": time.time() + 3600}))
    await extension.note_activity()
    assert times["rustray"] <= datetime.now(UTC)


async def test_where_no_node_is_nobody_is_asked(extension: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    times = use(extension, monkeypatch, Answers({"a": time.time()}, nodes=0))
    await extension.note_activity()
    assert "rustray" not in times
