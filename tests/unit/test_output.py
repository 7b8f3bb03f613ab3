"""What a cell shows of what tasks print: repeated lines, floods, unfinished lines and progress bars, displays."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rustray.driver.cells import KEEP_CELLS, SPARE, CellTable
from rustray.driver.flood import Flood, Pace, counted
from rustray.driver.folding import ALONE, WINDOW_S, Source
from rustray.driver.task_logs import ALL_CHARS, TASK_CHARS, TaskLogs, plain_text
from rustray.driver.transcript import STREAMS, Transcript
from rustray.worker import displays
from rustray.worker.channel import Channel
from rustray.worker.open_line import BAR_S, OpenLine

FOREVER = float("inf")


def worker(pid: int) -> Source:
    return Source("f", pid)


def text(shown: list[tuple[str, str]]) -> str:
    return "".join(text for _kind, text in shown)


class TestFolding:
    def test_the_first_is_shown_and_the_others_are_counted(self) -> None:
        cell = Transcript("")
        shown = [text(cell.take(0.1 * n, "stdout", "loaded\n", worker(n))) for n in range(8)]
        assert shown == ["(f pid=0) loaded\n", *[""] * 7]
        assert cell.waits and cell.due(WINDOW_S - 0.01) == []
        assert text(cell.due(WINDOW_S)) == "(f pid=7) loaded  [7 more times, by 8 workers in all]\n"
        assert not cell.waits

    def test_after_the_window_it_is_shown_again(self) -> None:
        cell = Transcript("")
        cell.take(0, "stdout", "tick\n", worker(1))
        assert text(cell.take(WINDOW_S + 0.1, "stdout", "tick\n", worker(2))) == "(f pid=2) tick\n"

    def test_one_worker_that_repeats_itself_is_shown_as_it_is(self) -> None:
        cell = Transcript("")
        assert text(cell.take(0, "stdout", "tick\ntick\n", worker(1))).count("tick") == 2

    def test_what_one_worker_repeats_a_lot_is_told_where_it_ends(self) -> None:
        cell = Transcript("")
        shown = text(cell.take(0, "stdout", "tick\n" * 1000 + "tock\n" + "tick\n" * 2, worker(1)))
        told = "(f pid=1) tick  [980 more times]"
        assert shown.splitlines() == ["(f pid=1) tick"] * ALONE + [told, "(f pid=1) tock"]
        assert text(cell.take(0.1, "stdout", "part", worker(1))).startswith(
            "(f pid=1) tick  [2 more times]\n"
        )
        cell.take(0.2, "stdout", "\n" + "tick\n" * 5, worker(1))
        display = cell.take(0.3, "display_data", "{}", worker(1))
        assert display == [("stdout", "(f pid=1) tick  [5 more times]\n"), ("display_data", "{}")]
        cell.due(FOREVER)
        assert not cell._folding._latest

    def test_what_workers_repeat_one_after_the_other_is_told_once(self) -> None:
        cell = Transcript("")
        shown = "".join(text(cell.take(n / 10, "stdout", "tick\n" * 20_000, worker(n))) for n in range(8))
        assert shown.splitlines() == ["(f pid=0) tick"] * ALONE
        told = f"(f pid=7) tick  [{160_000 - ALONE:,} more times, by 8 workers in all]\n"
        assert text(cell.due(FOREVER)) == told

    def test_other_streams_functions_and_lines_are_others(self) -> None:
        cell = Transcript("")
        cell.take(0, "stdout", "x\n", worker(1))
        for kind, line, source in (
            ("stderr", "x\n", worker(2)),
            ("stdout", "y\n", worker(2)),
            ("stdout", "x\n", Source("g", 2)),
            ("stdout", "\n", worker(2)),
        ):
            assert cell.take(0, kind, line, source) != []

    def test_lines_are_not_kept_with_their_cell(self) -> None:
        cell = Transcript("")
        cell.take(0, "stdout", "x\n", worker(1))
        assert cell.waits and cell.due(WINDOW_S) == []
        assert not cell.waits and not cell._folding._seen

    def test_a_line_that_came_twice_is_shown_twice(self) -> None:
        cell = Transcript("")
        cell.take(0, "stdout", "x\n", worker(1))
        cell.take(0, "stdout", "x\n", worker(2))
        assert text(cell.due(FOREVER)) == "(f pid=2) x\n"


class TestFlood:
    def test_what_is_too_much_is_counted_and_told(self) -> None:
        flood: Flood[int] = Flood(Pace(burst=100, per_second=10, tell_s=2, last=2))
        assert [flood.shows(0, n, 10) for n in range(15)] == [True] * 10 + [False] * 5
        assert flood.due(0.1) is None
        left = flood.due(0.4)  # quiet since a moment
        assert left is not None and (left.lines, left.chars, left.last) == (5, 50, [13, 14])
        assert not flood.waits
        assert not flood.shows(1, 0, 10), "it opens when a good part of the allowance is there again"
        flood.due(FOREVER)
        assert flood.shows(6, 0, 10)

    def test_a_flood_that_goes_on_is_told_now_and_then(self) -> None:
        flood: Flood[int] = Flood(Pace(burst=0, per_second=0, tell_s=2))
        told = []
        for n in range(50):
            flood.shows(n / 10, n, 1)
            if left := flood.due(n / 10):
                told.append((n / 10, left.lines))
        assert told == [(2.0, 21), (4.1, 21)]

    def test_a_cell_tells_how_many_and_shows_the_last(self) -> None:
        cell = Transcript("; the log has more")
        shown = text(cell.take(0, "stdout", "".join(f"line {n}\n" for n in range(100_000)), worker(1)))
        shown += text(cell.due(FOREVER))
        lines = shown.splitlines()
        assert len(lines) < 5000
        assert lines[0].endswith("line 0") and lines[-1].endswith("line 99999")
        assert "not shown; the log has more ..." in lines[-11]

    def test_a_flood_of_displays_ends_with_the_last_of_them(self) -> None:
        cell = Transcript("")
        shown = []
        for n in range(3000):
            shown += cell.take(n / 1e4, "display_data", f"picture {n:6}", None)
        early = len(shown)
        cell.take(0.3, "stdout", "a line\n", None)
        assert early < 120 and not any(kind in STREAMS for kind, _text in shown)
        last = cell.due(FOREVER)
        assert last[0] == ("stderr", f"... {2997 - early:,} displays (40 kB) not shown ...\n")
        pictures = [("display_data", f"picture {n:6}") for n in (2997, 2998, 2999)]
        assert last[1:] == [*pictures, ("stdout", "a line\n")]

    def test_numbers_in_words(self) -> None:
        assert counted(1, 10) == "1 line (1 kB)"
        assert counted(40_123, 1_200_000) == "40,123 lines (1.2 MB)"


class TestLines:
    def test_lines_of_two_never_mix(self) -> None:
        cell = Transcript("")
        shown = cell.take(0, "stdout", "a", worker(1))
        shown += cell.take(0, "stdout", "b\n", worker(2))
        shown += cell.take(0, "stdout", "c\n", worker(1))
        assert text(shown) == "(f pid=1) a\n(f pid=2) b\n(f pid=1) c\n"

    def test_an_unfinished_line_goes_on(self) -> None:
        cell = Transcript("")
        shown = [text(cell.take(0, "stdout", piece, worker(1))) for piece in (".", ".", ".\nnext\n")]
        assert shown == ["(f pid=1) .", ".", ".\n(f pid=1) next\n"]

    def test_a_bar_stays_in_its_line(self) -> None:
        cell = Transcript("")
        shown = [text(cell.take(0, "stderr", bar, worker(1))) for bar in ("\r10%", "\r20% 3it", "\r30%")]
        assert shown == ["(f pid=1) 10%", "\r(f pid=1) 20% 3it", "\r(f pid=1) 30%    "]
        assert text(cell.take(0, "stderr", "done\n", worker(2))) == "\r(f pid=2) done\n"
        assert text(cell.take(0, "stderr", "\r100%\n", worker(1))) == "(f pid=1) 100%\n"

    def test_two_bars_take_turns(self) -> None:
        cell = Transcript("")
        shown = [text(cell.take(0, "stderr", f"\r{n}%", worker(n % 2))) for n in range(4)]
        assert "\n" not in "".join(shown) and shown[3] == "\r(f pid=1) 3%"

    def test_a_file_has_only_the_end_of_a_bar(self) -> None:
        cell = Transcript("", moves=False)
        assert cell.take(0, "stderr", "\r10%", worker(1)) == []
        assert text(cell.take(0, "stderr", "\r100%\n", worker(1))) == "(f pid=1) 100%\n"

    def test_the_end_of_a_task_ends_its_line(self) -> None:
        cell = Transcript("")
        shown = [cell.take(0, "stdout", piece, worker(1)) for piece in ("a\r\n", "b", "\r\n", "\r\n")]
        assert [text(one) for one in shown] == ["(f pid=1) a\n", "(f pid=1) b", "\n", ""]
        assert text(cell.take(0, "stdout", "a\r\n", None)) == "a", "of a cell's own there is no other"

    def test_without_a_source_text_stays_as_it_is(self) -> None:
        cell = Transcript("")
        for piece in ("a", "b\n", "1%", "\r2%", "\r3%\n", "a\n", "a\n"):
            assert text(cell.take(0, "stdout", piece, None)) == piece
        assert cell.take(0, "display_data", "{}", None) == [("display_data", "{}")]


class TestRedrawing:
    @staticmethod
    def update(id: str, n: int) -> str:
        return json.dumps({"data": {"text/plain": str(n)}, "transient": {"display_id": id}})

    def test_a_display_is_updated_ten_times_a_second_and_ends_right(self) -> None:
        cell, shown = Transcript(""), []
        for n in range(1000):
            shown += cell.take(n / 1000, "update_display_data", self.update("a", n), None)
        shown += cell.take(0.9995, "update_display_data", self.update("b", 1), None)
        shown += cell.due(FOREVER)
        assert 8 <= len(shown) <= 15
        assert shown[-1][1] == self.update("a", 999) and not cell.waits

    def test_a_picture_that_is_drawn_anew(self) -> None:
        cell, shown = Transcript(""), []
        for n in range(1000):
            shown += cell.take(n / 1000, "clear_output", "{}", None)
            shown += cell.take(n / 1000, "stdout", f"{n}\n", None)
        shown += cell.due(FOREVER)
        assert 16 <= len(shown) <= 30
        assert shown[-2:] == [("clear_output", "{}"), ("stdout", "999\n")] and not cell.waits

    def test_a_page_that_is_cleared_has_room_again(self) -> None:
        cell = Transcript("")
        cell.take(0, "stdout", "x\n" * 10_000, None)
        cell.take(1, "clear_output", "{}", None)
        assert cell.take(1, "stdout", "y\n" * 100, None) == [("stdout", "y\n" * 100)]


class TestOpenLine:
    def test_whole_lines_go_and_the_rest_waits(self) -> None:
        line = OpenLine()
        assert [line.feed(piece) for piece in ("a", "b\nc", "", "\n")] == ["", "ab\n", "", "c\n"]
        assert line.end() == ""
        line.feed("d")
        assert line.end() == "d\r\n"

    def test_only_the_last_state_of_a_bar_counts(self) -> None:
        line = OpenLine()
        assert line.feed("\r10%\r20%\r30%\n") == "30%\n"
        assert line.feed("windows\r\n") == "windows\n"
        line.feed("\r10%")
        assert line.part(0) == "\r10%"
        line.feed("\r20%")
        assert line.part(BAR_S / 2) == "", "too soon"
        line.feed("\r30%")
        assert line.part(BAR_S) == "\r30%"
        assert line.feed("\r100%\nnext\n") == "\r100%\nnext\n"

    def test_a_bar_whose_return_comes_after_it(self) -> None:
        line = OpenLine()
        line.feed("10%\r")
        assert line.part(0) == "10%"
        line.feed("20%\r")
        assert line.part(1) == "\r20%"
        assert line.feed("\n") == "\n"

    def test_what_stays_unfinished_is_sent_after_a_while(self) -> None:
        line = OpenLine()
        line.feed("epoch 1 ...")
        assert line.settled(0.1) == ""
        assert line.settled(0.2) == "epoch 1 ..."
        assert line.settled(0.3) == line.settled(0.4) == ""
        assert line.feed(" done\n") == " done\n"


class TestTaskLogs:
    def test_the_end_is_kept(self) -> None:
        logs = TaskLogs()
        for n in range(40):
            logs.add(7, "stdout", f"{n}".ljust(TASK_CHARS // 20) + "\n", 1)
        told = str(logs.of(7))
        assert told.startswith("... 21 lines") and told.rstrip().endswith("39")
        assert len(told) < TASK_CHARS + 200
        assert repr(logs.of(8)) == "(it has printed nothing)"

    def test_the_oldest_tasks_go_first(self) -> None:
        logs = TaskLogs()
        for number in range(100):
            logs.add(number, "stdout", "x" * TASK_CHARS, 1)
        kept = [number for number in range(100) if logs.of(number).entries]
        assert kept == list(range(100 - len(kept), 100)) and 0 < len(kept) <= ALL_CHARS // TASK_CHARS

    def test_displays_have_a_text(self) -> None:
        content = json.dumps({"data": {"text/plain": "<Figure>", "image/png": "xx"}})
        assert plain_text("display_data", content) == "<Figure>\n"
        assert plain_text("clear_output", "{}") == ""


class TestCellTable:
    def test_a_thread_stays_with_the_cell_that_started_it(self) -> None:
        table = CellTable(tuple)
        table.outlived(1, {100})
        table.begin(1, "first")
        table.outlived(5, {100, 200})  # 200 was started by the first cell, 100 was there before
        table.begin(5, "second")
        table.outlived(9, {100})
        table.begin(9, "third")
        assert table.cell_of(3, 1) == "first" and table.cell_of(6, 1) == "second"
        assert table.cell_of(6, 100) == "second"
        assert table.cell_of(6, 200) == "first", "also when it has ended"
        assert table.cell_of(9, 200) == "third", "it may be the thread that runs it"

    def test_nothing_is_shown_by_another_cell_than_its_own(self) -> None:
        running = [15, 16, 300]  # of the cells that began with the numbers 10 and 300
        table = CellTable(lambda: running)
        for number in range(0, 10 * (KEEP_CELLS + SPARE + 101), 10):
            table.begin(number, f"cell {number}")
        assert table.cell_of(0) is None and table.cell_of(290) is None and table.cell_of(310) is None
        assert table.cell_of(25) is None, "it is after a cell that is kept, and not of it"
        assert table.cell_of(15) == "cell 10" and table.cell_of(309) == "cell 300"
        newest = 10 * (KEEP_CELLS + SPARE + 100)
        assert table.latest() == table.cell_of(newest + 7) == f"cell {newest}"
        assert table.cell_of(newest - 10 * KEEP_CELLS + 11) == f"cell {newest - 10 * KEEP_CELLS + 10}"
        running.clear()
        for number in range(newest + 10, newest + 10 * SPARE + 1000, 10):
            table.begin(number, f"cell {number}")
        assert table.cell_of(15) is None and len(table._first) <= KEEP_CELLS + SPARE


class TestDisplays:
    def test_values_become_json(self) -> None:
        numpy = pytest.importorskip("numpy")
        content = {"data": {"image/png": b"png", "application/json": {"n": numpy.int64(3)}}}
        assert json.loads(displays.packed(content))["data"] == {
            "image/png": "cG5n",
            "application/json": {"n": 3},
        }

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("x" * (displays.MAX_CHARS + 1), "10 MB, and at most 10 are shown"),
            (object(), "it is no JSON: object"),
        ],
    )
    def test_what_cannot_be_shown_is_told(self, value: Any, why: str) -> None:
        data = json.loads(displays.packed({"data": {"text/plain": "<Plot>", "text/html": value}}))["data"]
        assert list(data) == ["text/plain"]
        assert data["text/plain"].startswith("<Plot> [text/html not shown: ") and why in data["text/plain"]

    def test_a_widget_is_its_text_where_its_model_is_not(self) -> None:
        view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "IntSlider(value=1)"}
        assert json.loads(displays.packed({"data": view, "metadata": {}})) == {
            "data": {"text/plain": "IntSlider(value=1)"},
            "metadata": {},
        }

    def test_a_module_is_seen_when_it_is_imported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[str] = []
        hook = displays.AfterImport({"this": lambda: seen.append(sys.modules["this"].__name__)})
        monkeypatch.setattr(sys, "meta_path", [hook, *sys.meta_path])
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=lambda _text: None))
        for _ in range(2):
            sys.modules.pop("this", None)
            __import__("this")
        assert seen == ["this"]


class Sent:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, messages: list[Any]) -> None:
        self.messages.append(messages)


def test_the_first_lines_are_sent_as_they_are_printed_and_a_flood_is_gathered() -> None:
    sent: Any = Sent()
    page: Any = SimpleNamespace()
    channel = Channel(1, 2, sent, page, {}, None)
    for n in range(10):
        channel.log("stdout", f"{n}\n", 7)
    assert [messages[0][2] for messages in sent.messages] == [f"{n}\n" for n in range(10)]
    for _ in range(100_000):
        channel.log("stdout", "line\n", 7)
    channel.flush()
    assert len(sent.messages) < 1000
    assert "".join(messages[0][2] for messages in sent.messages).count("line\n") == 100_000
