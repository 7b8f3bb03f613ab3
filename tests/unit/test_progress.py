"""Bars: how far tasks are, when they will be done, and what a terminal and a notebook are told of it."""

from __future__ import annotations

import io
import itertools
import json
import random
import statistics
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from rustray.driver import bars, output
from rustray.driver.entry import ERROR, VALUE, Entry
from rustray.driver.output import Output, Terminal
from rustray.driver.task import Task
from rustray.driver.tasks import cancelled
from rustray.error_packing import pack_error
from rustray.errors import OptionError
from rustray.model import colours
from rustray.model.quantities import lapse_with_error, pace
from rustray.progress import _refs, bar
from rustray.progress.bar import Bar, drawing
from rustray.progress.counting import Count, Counting, expected
from rustray.progress.forecast import Group, by_pace, forecast
from rustray.util.tqdm import tqdm, trange

# -- forecasts -----------------------------------------------------------------------------------------------


def test_nothing_is_forecast_while_nothing_runs() -> None:
    assert forecast([Group(10, (), 1.0, 0.0)], 0) is None
    assert by_pace(2, 10, 1.0) is None


def test_tasks_of_one_length_take_turns() -> None:
    found = forecast([Group(8, (0.0, 0.5), 1.0, 0.0)], 2)
    assert found is not None
    # 8 s of work that waits and 1.5 s that runs, on two workers, and half a run for the last one.
    assert found.seconds == pytest.approx(4.75 + 0.5)
    assert forecast([Group(0, (0.2,), 1.0, 0.0)], 1).seconds == pytest.approx(0.8)  # type: ignore[union-attr]


def told_of_one(ran: float, spread: float) -> str:
    """Of a lone task that was to take 2.4 s."""
    found = forecast([Group(0, (ran,), 2.4, spread)], 1)
    assert found is not None
    return found.told()


def test_one_that_overruns_is_told_to() -> None:
    assert told_of_one(1.0, 0.0) == "about 1.4 s ± 0.2 s left"
    assert told_of_one(2.7, 0.0) == told_of_one(60.0, 0.0) == "longer than the expected 2.4 s ± 0.2 s"
    assert told_of_one(4.8, 2.3) == "longer than the expected 2.4 s ± 2.3 s"
    # Where others are to come, it has about as much left as one at the border.
    found = forecast([Group(3, (60.0,), 2.4, 0.0)], 1)
    assert found is not None and found.seconds == pytest.approx(3 * 2.4 + 0.13, abs=0.01) and not found.overdue


@pytest.mark.parametrize("spread", [0.0, 0.3, 2.3])
def test_what_is_left_of_one_counts_down(spread: float) -> None:
    found = [forecast([Group(0, (at / 10,), 2.4, spread)], 1) for at in range(24)]
    left = [one.seconds for one in found if one is not None]
    assert len(left) == 24 and all(after < before for before, after in itertools.pairwise(left))
    assert all("±" in one.told() for one in found if one is not None)


@pytest.mark.parametrize(("tasks", "workers", "spread"), [(100, 4, 0.2), (30, 8, 0.5), (12, 1, 0.3)])
def test_a_forecast_is_within_its_error(tasks: int, workers: int, spread: float) -> None:
    found = forecast([Group(tasks - workers, (0.0,) * workers, 1.0, spread)], workers)
    assert found is not None
    draw = random.Random(1)
    ends = []
    for _run in range(300):
        free = [0.0] * workers
        for _task in range(tasks):
            first = min(range(workers), key=free.__getitem__)
            free[first] += max(0.01, draw.gauss(1.0, spread))
        ends.append(max(free))
    assert abs(statistics.mean(ends) - found.seconds) < 2 * found.error
    assert 0.3 < statistics.stdev(ends) / found.error < 3


def test_the_pace_so_far_stands_in_for_what_is_not_known() -> None:
    found = by_pace(100, 50, 10.0)
    assert found is not None and (found.seconds, found.error) == (5.0, 0.5)
    known = Count(10, 4, 0, 1, 1, (Group(5, (0.0,), 1.0, 0.0),), 0)
    partly = Count(10, 4, 0, 1, 1, (Group(4, (0.0,), 1.0, 0.0),), 1)
    assert expected(known, 8.0, 0) == forecast(known.groups, 1)
    assert expected(partly, 8.0, 0) == by_pace(4, 6, 8.0)
    assert expected(partly, 8.0, 1) == by_pace(3, 6, 8.0)


# -- counting ------------------------------------------------------------------------------------------------


def a_task(number: int, name: str, where: Any = None) -> tuple[Any, Task]:
    task = Task(number, SimpleNamespace(name=name, key=name.encode()), b"", b"", 1, 0, None)
    task.where = where
    entry = Entry(bytes(16), True, task)
    task.entries = (entry,)
    return SimpleNamespace(_entry=entry), task


def test_tasks_are_counted_as_their_owner_sees_them() -> None:
    lease = SimpleNamespace(page=SimpleNamespace(started=2))
    tasks = [a_task(1, "f", lease), a_task(2, "f", lease), a_task(3, "f")]
    tasks += [a_task(4, "g"), a_task(5, "g"), a_task(6, "g")]
    counting: Any = Counting([ref for ref, _task in tasks], threading.RLock())
    tasks[3][0]._entry.settle(VALUE, None)
    tasks[4][0]._entry.settle(ERROR, pack_error(ValueError("no"), "g"))
    tasks[5][0]._entry.settle(ERROR, cancelled(tasks[5][1]))
    counting.look(10.0, {})
    count = counting.look(11.5, {b"f": (2.0, 0.1)})
    assert (count.done, count.failed, count.running, count.workers, count.left) == (1, 1, 1, 1, 3)
    assert count.cancelled == 1 and count.ended == 3
    assert count.groups == (Group(2, (1.5,), 2.0, 0.1),)
    assert count.unknown == 0 and counting.keys == [b"f"]
    assert len(counting.pending) == 3


def test_what_is_no_ref_is_refused() -> None:
    with pytest.raises(OptionError, match="this is an int"):
        _refs([1])
    with pytest.raises(OptionError, match="this is a str"):
        _refs("abc")
    assert _refs([]) == []


# -- what is shown -------------------------------------------------------------------------------------------


def test_a_bar_in_words() -> None:
    count = Count(100, 40, 2, 4, 4, (), 58)
    assert (
        bar("f", count, 7.0).words() == "40 of 100 done, 2 failed, 4 running, 6/s, about 9.7 s ± 1.5 s left"
    )
    done = Count(1_000_000, 1_000_000, 0, 0, 0, (), 0)
    assert bar("", done, 2.0).words() == "1,000,000 of 1,000,000 done, in 2.0 s, 500,000/s"
    assert bar("", done, 2.0, 999_990).words() == "1,000,000 of 1,000,000 done, in 2.0 s, 5/s"
    assert bar("", done, 2.0, 1_000_000).words() == "1,000,000 of 1,000,000 done"
    stopped = Count(10, 4, 1, 2, 2, (), 2, 3)
    assert (
        bar("", stopped, 2.0).words()
        == "4 of 10 done, 1 failed, 3 stopped, 2 running, 4/s, about 0.5 s ± 0.2 s left"
    )
    assert Bar("", 1.5, None).words() == "1.50"


def test_a_bar_is_drawn() -> None:
    assert drawing(0.5, 4) == "██  "
    assert drawing(1.0, 4) == "████"
    assert drawing(0.4, 4) == "█▌  "
    assert Bar("f", 1, 2).text() == f"f:  50 % │{drawing(0.5)}│ 1 of 2 done"
    assert Bar("", 3, None, ("x",)).text() == "3, x"
    assert Bar("f", 0, 0).part == 1.0


def test_a_bar_in_a_notebook_has_the_colours_of_panels_and_no_markup_of_the_users() -> None:
    html = Bar("<b>", 5, 20, (), 1, 2, 4).html()
    assert "&lt;b&gt;" in html
    for part, colour in (
        (25.0, colours.DONE),
        (5.0, colours.FAILED),
        (10.0, colours.CANCELLED),
        (20.0, colours.RUNNING),
    ):
        assert f"width:{part}%;background:{colour}" in html
    assert "width" not in Bar("", 3, None).html()


@pytest.mark.parametrize(
    ("per_second", "unit", "told"),
    [
        (12.5, "", "12.5/s"),
        (2000, "row", "2,000 row/s"),
        (999.7, "", "1,000/s"),
        (0.2, "", "12/min"),
        (0.01, "", "36/h"),
    ],
)
def test_a_pace(per_second: float, unit: str, told: str) -> None:
    assert pace(per_second, unit) == told


@pytest.mark.parametrize(
    ("seconds", "error", "told"),
    [
        (0.25, 0.11, "0.2 s ± 0.1 s"),
        (8.98, 0.38, "9.0 s ± 0.4 s"),
        (25.2, 0.8, "25 s ± 1 s"),
        (25.2, 0.3, "25 s"),
        (5.2, 12.2, "5 s ± 12 s"),
        (185.0, 61.0, "3 min 5 s ± 1 min 1 s"),
        (7380.0, 250.0, "2 h 3 min ± 4 min"),
    ],
)
def test_a_time_with_its_error_has_one_unit_and_no_more_digits_than_it_deserves(
    seconds: float, error: float, told: str
) -> None:
    assert lapse_with_error(seconds, error) == told


def test_a_terminal_has_one_line_a_bar_below_all_else() -> None:
    block = bars.Block()
    up = "\x1b[1A\x1b[2K"
    assert block.take("a", "a 1", False, 80) == "a 1\n"
    assert block.take("b", "b 1", False, 80) == f"{up}a 1\nb 1\n"
    assert block.take("a", "a 2", False, 80) == f"{up}{up}a 2\nb 1\n"
    assert block.erase() + "printed\n" + block.draw(80) == f"{up}{up}printed\na 2\nb 1\n"
    assert block.take("a", "a end", True, 80) == f"{up}{up}a end\nb 1\n"  # stays, above those that move
    assert block.take("b", "x" * 200, True, 10) == f"{up}{'x' * 8}…\n"
    assert not block and block.erase() == ""


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_text_of_tasks_does_not_tear_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = FakeTerminal()
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}", screen)
    terminal = Terminal()
    terminal.show_bar("a", "a 1", False)
    terminal.take("stdout", "hello\n", "f", 7, None)
    terminal.take(bars.UPDATE, json.dumps(bars.content("a", "a 2", "<p>", True)), "f", 7, None)
    up = "\x1b[1A\x1b[2K"
    assert screen.getvalue() == f"a 1\n{up}(f pid=7) hello\na 1\n{up}a 2\n"


def test_a_file_has_a_line_of_a_bar_a_minute_and_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(output.time, "monotonic", lambda: now)
    terminal = Terminal()
    for after_s in (0, 1, 59, 60, 61, 119, 120):
        now = 100.0 + after_s
        terminal.show_bar("a", f"a {after_s}", False)
    terminal.show_bar("a", "a end", True)
    assert capsys.readouterr().err == "a 60\na 120\na end\n"


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (200, f"preprocessing all of the images:  90 % │{drawing(0.9)}│ 36 of 40 done, 8.75/s, 20 s left"),
        (75, f"preprocessing all …:  90 % │{drawing(0.9)}│ 36 of 40 done, 8.75/s, 20 s left"),
        (65, "preprocessing all of th…:  90 % 36 of 40 done, 8.75/s, 20 s left"),
        (45, "preprocessi…:  90 % 36 of 40 done, 8.75/s, …"),
    ],
)
def test_in_a_narrow_terminal_a_bar_keeps_its_numbers_longest(columns: int, shown: str) -> None:
    line = Bar("preprocessing all of the images", 36, 40, ("8.75/s", "20 s left")).text()
    assert bars.cut(line, columns) == shown and len(shown) < columns


def test_a_bar_is_over_with_its_task() -> None:
    taken: list[tuple[str, str]] = []
    session_output = Output(lambda kind, text, *_whose: taken.append((kind, text)))
    _ref, task = a_task(1, "f")
    session_output.take(task, bars.SHOW, json.dumps(bars.content("a", "a 1", "<p>", False)), 1, 7)
    session_output.take(task, bars.SHOW, json.dumps({"data": {"text/plain": "other"}}), 1, 7)
    session_output.tick()
    assert len(taken) == 2
    task.entries[0].settle(ERROR, b"")
    session_output.tick()
    session_output.tick()
    kind, text = taken[-1]
    message = bars.read(kind, text)
    assert len(taken) == 3 and kind == bars.UPDATE
    assert message is not None and (message.id, message.text, message.over) == ("a", "a 1", True)


def test_a_bar_that_says_itself_that_it_is_over_is_not_ended_again() -> None:
    opened = bars.Open()
    for over in (False, True):
        message = bars.read(bars.SHOW, json.dumps(bars.content("a", "", "", over)))
        assert message is not None
        opened.take(message, "task")
    assert not opened and opened.end("task") == []


# -- tqdm ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What bars of this process have shown: text, and whether it was the last."""
    told: list[tuple[str, bool]] = []
    monkeypatch.setattr(output.terminal, "show_bar", lambda _id, text, over: told.append((text, over)))
    return told


def test_a_loop_moves_its_bar_and_ends_it(shown: list[tuple[str, bool]]) -> None:
    assert list(tqdm("abc", desc="letters")) == ["a", "b", "c"]
    assert shown[0] == (f"letters:   0 % │{drawing(0)}│ 0 of 3 done", False)
    text, over = shown[-1]
    assert text.startswith(f"letters: 100 % │{drawing(1)}│ 3 of 3 done, ") and over
    assert sum(over for _text, over in shown) == 1


def test_a_loop_that_is_left_ends_its_bar(shown: list[tuple[str, bool]]) -> None:
    for number in trange(10):
        if number == 2:
            break
    assert shown[-1][1]
    with pytest.raises(ZeroDivisionError):
        for number in tqdm([1, 0]):
            number = 1 // number
    assert shown[-1][1]


def test_a_bar_by_hand(shown: list[tuple[str, bool]]) -> None:
    with tqdm(total=10, unit="batch") as steps:
        steps.update(4)
        steps.set_description("second")
        steps.set_postfix(loss=0.12345)
        assert (steps.n, len(steps)) == (4, 10)
    assert "second:  40 %" in shown[-1][0] and "loss 0.123" in shown[-1][0] and "batch" in shown[-1][0]


def test_a_bar_that_is_disabled_shows_nothing(shown: list[tuple[str, bool]]) -> None:
    assert list(tqdm([1, 2], disable=True)) == [1, 2]
    assert shown == []


def test_calls_of_tqdm_itself_work_here(shown: list[tuple[str, bool]]) -> None:
    assert list(tqdm(range(3), desc="f", leave=False, ncols=80, mininterval=1)) == [0, 1, 2]
    assert shown[-1][0].startswith("f: 100 %")
    with pytest.raises(OptionError, match="'dsc' is not an argument of tqdm.*Did you mean 'desc'"):
        tqdm(range(3), dsc="f")


def test_what_cannot_be_looped_over_says_so() -> None:
    with pytest.raises(TypeError, match="nothing to loop over"):
        iter(tqdm(total=3, disable=True)).__next__()
    with pytest.raises(TypeError, match="does not know"):
        len(tqdm(iter([]), disable=True))
