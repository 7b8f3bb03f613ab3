"""What feeds widgets: it goes on whatever fails, and says so."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rustray.driver.session import no_fate
from rustray.errors import NotCommittedError
from tests.support import eventually

from .dashboard_rows import ANSWERS

pytest.importorskip("anywidget")

from rustray.dashboard import watch, widget


class Session:
    """As much of one as is used: `fail` is raised by its questions."""

    def __init__(self) -> None:
        self.fail: Exception | None = None
        self.asked = 0
        self.ended: Exception | None = None
        self.was_left = False
        self.fate: Callable[[], str] = no_fate
        self.info: dict[str, Any] = {"folder": "/a/folder"}
        self.on_end: list[Callable[[], None]] = []
        self.requests = SimpleNamespace(query=self.query)

    def query(self, what: str, *_args: Any) -> Any:
        self.asked += 1
        if self.fail is not None:
            raise self.fail
        return ANSWERS[what]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(widget, "UPDATE_S", 0.01)
    session = Session()
    yield session
    for end in session.on_end:
        end()


def feeder(session: Session) -> widget._Feeder:
    return widget._Feeder(session)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [NotCommittedError("no head leads"), ValueError("a defect\nin a panel")])
def test_what_fails_is_said_and_tried_again(
    session: Session, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    shown = feeder(session).add(["queues"]).widget
    session.fail = error
    eventually(lambda: shown.trouble.startswith("Not connected: "))
    assert str(error).partition("\n")[0] in shown.trouble and "in a panel" not in shown.trouble
    asked = session.asked
    eventually(lambda: session.asked > asked + 3)
    defects = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(defects) == isinstance(error, ValueError), "told once"
    session.fail = None
    eventually(lambda: shown.trouble == "")
    assert shown.ended == ""


def test_a_page_that_cannot_be_reached_spoils_no_other(session: Session) -> None:
    feed = feeder(session)
    broken, other = feed.add(["heads"]), feed.add(["heads"])
    broken.widget.observe(lambda _change: 1 / 0, "tables")
    came: list[int] = []
    other.widget.observe(lambda _change: came.append(1), "tables")
    eventually(lambda: len(came) > 2 and broken not in feed._dashboards)


def test_the_end_of_the_session_is_told_to_all_who_look_then_or_later(session: Session) -> None:
    feed = feeder(session)
    first, later = feed.add(["queues"]), feed.add(["queues"])
    later.watch._looked = -watch.LOOKED_S
    feed._wake.set()
    eventually(lambda: later not in feed._dashboards)
    session.on_end.pop()()
    eventually(lambda: first.widget.ended == widget.LOST)
    assert later.widget.ended == ""
    feed.looked(later)
    assert later.widget.ended == widget.LOST


@pytest.mark.parametrize("own", [False, True])
def test_who_has_ended_or_left_the_cluster_is_told_which(session: Session, own: bool) -> None:
    session.was_left = True
    session.fate = (lambda: "") if own else no_fate
    feed = feeder(session)
    shown = feed.add(["queues"])
    session.on_end.pop()()
    eventually(lambda: shown.widget.ended == (widget.ENDED if own else widget.LEFT))


def test_what_nobody_looks_at_is_not_kept(session: Session) -> None:
    feed = feeder(session)
    dashboard = feed.add(["queues"])
    seen = weakref.ref(dashboard)
    dashboard.watch._looked = -watch.LOOKED_S
    eventually(lambda: not feed._dashboards)
    asked = session.asked
    dashboard.widget.close()
    del dashboard

    def gone() -> bool:
        gc.collect()
        return seen() is None

    eventually(gone)
    assert session.asked <= asked + 1
