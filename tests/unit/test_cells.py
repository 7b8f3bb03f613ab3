"""`%%remote` without a kernel: the loop of `--map`, what is told of a cell, of failures and of what was stopped."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.driver.grouping import grouped_failures
from rustray.driver.stopping import Stopped
from rustray.errors import OptionError, SerializationError
from rustray.jupyter import options, remote_cell
from rustray.jupyter.attaching import labels
from rustray.jupyter.cell_card import CellCard, card_html, card_text, clock
from rustray.jupyter.cell_run import not_brought
from rustray.jupyter.cell_state import (
    DONE,
    FAILED,
    LEFT,
    LOST,
    RUNNING,
    STOPPED,
    CellState,
)
from rustray.jupyter.cell_tasks import CellRequest, content_hash
from rustray.jupyter.mapping import map_clause
from rustray.jupyter.parcel import Parcel
from rustray.jupyter.reading import read_cell
from rustray.jupyter.remote_magic import OPTIONS, told_sizes
from rustray.serialization import serialize


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("x in xs", ("x", ("x",), "xs")),
        ("a, (b, *c) in zip(us, vs)", ("(a, (b, *c))", ("a", "b", "c"), "zip(us, vs)")),
        ("path in sorted(p for p in paths if p)", ("path", ("path",), "sorted((p for p in paths if p))")),
    ],
)
def test_a_loop_is_read(text: str, clause: tuple[Any, ...]) -> None:
    read = map_clause(text)
    assert (read.target, read.names, read.iterable) == clause


@pytest.mark.parametrize(
    "text",
    ["xs", "x in", "x in xs if x", "x in xs for y in ys", "d['k'] in xs", "o.a in xs", "x in xs] + [0"],
)
def test_what_is_no_loop_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="it takes a loop over elements, as 'x in xs'"):
        options.parse("%%remote", f"--map {text!r}" if "'" not in text else f'--map "{text}"', OPTIONS)


def test_the_name_of_the_loop_does_not_travel() -> None:
    assert read_cell("x * k", "c", ("x",)).reads == ("k",)


def test_options_without_values_and_with_amounts() -> None:
    given = options.parse(
        "%%remote", "-b --resources disk=1,licence=0.5 --timeout 3 --retries 0 --priority -2", OPTIONS
    )
    assert given == {
        "background": True,
        "resources": {"disk": 1.0, "licence": 0.5},
        "timeout": 3.0,
        "max_retries": 0,
        "priority": -2,
    }
    assert options.parse("%%remote", "--no-block", OPTIONS) == {"background": True}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-b=1", "-b takes no value"),
        ("--resources disk", "it takes amounts by name"),
        ("--timeout 0", "it takes seconds, above 0"),
        ("--timeout soon", "it takes seconds, above 0"),
    ],
)
def test_bad_values_are_named(line: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        options.parse("%%remote", line, OPTIONS)


def test_an_element_is_bound_before_the_body() -> None:
    packed = Parcel(serialize({"k": 2}).pickle)
    assert remote_cell.task("a = x * k\na", "c", ("a",), "x", packed, 4) == (8, 8)
    pair = Parcel(serialize((1, [2, 3])).pickle)
    assert remote_cell.task("[a, b, c]", "c", (), "a, (b, c)", {}, pair) == [1, 2, 3]
    assert remote_cell.task("1 + 1", "c", (), "", {}) == 2


def test_a_semicolon_hides_the_value_and_keeps_it_where_it_is() -> None:
    assert remote_cell.task("a = 1\na;\n", "c", ("a",), "", {}) == (None, 1)


def test_equal_failures_are_told_together() -> None:
    failures = [(0, "ValueError: no"), (3, "ValueError: no"), (4, "KeyError: 'a'")]
    assert grouped_failures(9, failures, "element") == (
        "3 of 9 elements failed: 2 x ValueError: no (element 0, 3); 1 x KeyError: 'a' (element 4)"
    )
    many = [(at, f"ValueError: {at % 5}") for at in range(50)]
    told = grouped_failures(50, many, "element")
    assert told.endswith("; 20 others") and "(element 0, 5, 10, ...)" in told


@pytest.mark.parametrize(
    ("stopped", "told"),
    [
        (Stopped(), "nothing of it was running any more"),
        (Stopped(interrupted=1), "1 task stopped (1 interrupted)"),
        (Stopped(3, 2, 1), "6 tasks stopped: 3 not begun, 2 interrupted, 1 killed"),
        (Stopped(2000), "2,000 tasks stopped (2,000 not begun)"),
        (Stopped(left=1), "1 task stopped: 1 still running"),
    ],
)
def test_what_was_stopped_is_told_in_a_line(stopped: Stopped, told: str) -> None:
    assert str(stopped) == told


def cell(how: str = RUNNING, total: int = 1, done: int = 0, failed: int = 0, **more: Any) -> CellState:
    ended = None if how == RUNNING else 112.0
    return CellState("id", "<fit>", how, total, done, failed, more.pop("running", 0), 100.0, ended, **more)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (cell(running=1), "running for 5.0 s"),
        (cell(), "waiting for a worker for 5.0 s"),
        (cell(running=1, ends=117.3, error=2.04), "running for 5.0 s, about 12 s ± 2 s left"),
        (cell(running=1, ends=117.3, error=0.01), "running for 5.0 s, about 12 s ± 1 s left"),
        (
            cell(running=1, ends=106.0, error=0.3, overdue=2.4),
            "running for 5.0 s, longer than the expected 2.4 s ± 0.3 s",
        ),
        (cell(running=1, ends=104.0, error=2.0), "running for 5.0 s"),
        (cell(running=1, ends=105.04, error=2.0), "running for 5.0 s"),
        (
            cell(total=40, done=10, running=2, mapped=True, ends=120.0, error=1.0),
            "10 of 40 done, 2 running, 2/s, for 5.0 s, about 15 s ± 1 s left",
        ),
        (cell(DONE, done=1), "done after 12 s"),
        (cell(FAILED, failed=1), "failed after 12 s"),
        (cell(FAILED, failed=1, failure="ValueError: no"), "failed after 12 s: ValueError: no"),
        (cell(FAILED, failed=1, failure="E: " + 99 * "x"), f"failed after 12 s: E: {76 * 'x'}…"),
        (
            cell(FAILED, 4, 3, 1, mapped=True, failure="KeyError: 3"),
            "3 of 4 done, 1 failed, 15/min, failed after 12 s: KeyError: 3",
        ),
        (
            cell(total=40, done=10, failed=1, running=2, mapped=True),
            "10 of 40 done, 1 failed, 2 running, 2/s, for 5.0 s",
        ),
        (cell(DONE, 4, 4, mapped=True), "4 of 4 done, 20/min, done after 12 s"),
        (cell(STOPPED, 4, 0, 1, mapped=True), "0 of 4 done, 1 failed, 3 stopped, after 12 s"),
        (cell(DONE, 4, 3, stopped=1, mapped=True), "3 of 4 done, 1 stopped, 15/min, done after 12 s"),
        (
            cell(LEFT, 8, 1, 0, mapped=True),
            "1 of 8 done, 5/min, left running after 12 s, %rustray attach shows it",
        ),
        (cell(LOST, running=1), "out of sight after 12 s"),
    ],
)
def test_a_cell_is_told_in_a_line(state: CellState, told: str) -> None:
    as_of = f" (as of {clock(105.0)})" if state.how == RUNNING else ""
    assert card_text(state, 105.0) == f"<fit>: {told}{as_of}"
    html = card_html(state, 105.0)
    assert "&lt;fit&gt;" in html and told in html and as_of in html
    assert ("width:25.0%;background:#14976f" in html) == (state.total == 40)


def test_cells_with_one_source_are_one_function_whatever_they_are_called() -> None:
    def cell_of(source: str, file: str, target: str = "") -> CellRequest:
        return CellRequest("id", file, source, file, (), Parcel(b""), target=target)

    first = content_hash(cell_of("\nfit(data)", "Cell In[3]"))
    assert first == content_hash(cell_of("\n\nfit(data)\n", "Cell In[9]"))
    assert first != content_hash(cell_of("\nfit(data, 2)", "Cell In[3]"))
    assert first != content_hash(cell_of("\nfit(data)", "Cell In[3]", "data"))


def test_big_variables_are_told_the_biggest_first() -> None:
    mib = 1 << 20
    assert told_sizes({"a": 3 * mib, "b": 24 * mib, "c": 10}) == "b 24 MiB, a 3 MiB"


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        (
            "the result of fit() -> .lock: no. Advice.",
            ".lock",
            "the value of its last line (.lock) cannot be",
        ),
        ("result 0 of fit(): no. Advice.", "", "the value of its last line cannot be"),
        ("result 2 of fit() -> ['a']: no. Advice.", "['a']", "b['a'] cannot be"),
    ],
)
def test_a_result_that_cannot_travel_is_named(text: str, path: str, told: str) -> None:
    request = CellRequest("id", "fit", "", "c", ("a", "b"), Parcel(b""))
    error = not_brought(SerializationError(text, path=path, reason="no"), request)
    assert told in str(error)


def test_an_error_of_the_cells_own_code_stays_as_it_is() -> None:
    request = CellRequest("id", "fit", "", "c", (), Parcel(b""))
    for text in ("the value given to put(): no.", "the result of other(): no."):
        error = SerializationError(text)
        assert not_brought(error, request) is error


def test_a_card_of_an_earlier_kernel_tells_which_cell_it_was_in_one_line() -> None:
    known = {"wanted": ("model",), "origin": "In[5] model = train(data)", "tail": ("loss 0.2",)}
    told = f"fit#1: %s; In[5] model = train(data); begun {clock(100.0)}; gives model"
    assert repr(CellCard(cell(DONE, done=1, **known), "fit#1", True)) == (
        told % "done after 12 s" + "\n    loss 0.2"
    )
    running = repr(CellCard(cell(running=1, **known), "fit#1", True))
    assert "loss" not in running, "what it has printed is shown beside the card"


def test_cells_of_one_name_are_told_apart() -> None:
    assert labels(["fit", "plot", "fit", "fit"]) == ["fit#1", "plot", "fit#2", "fit"]


def test_the_origin_of_a_cell_is_its_number_and_first_line_of_code() -> None:
    source = "\n# why\nimport time\n\nmodel = train(data)\nmodel"
    request = CellRequest("id", "fit", source, "Cell In[5]", (), Parcel(b""))
    assert request.origin == "In[5] model = train(data)"
    imports = CellRequest("id", "fit", "import a\nfrom b import c", "Cell In[6]", (), Parcel(b""))
    assert imports.origin == "In[6] import a"
