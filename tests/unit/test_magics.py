"""What a cell says about itself, options on a magic's line, and which cell a task belongs to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rustray.driver.cells import CellTable
from rustray.errors import OptionError
from rustray.jupyter import options, remote_cell
from rustray.jupyter.reading import read_cell
from rustray.jupyter.remote_magic import OPTIONS, captured, left_behind


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("x = 1\nx + y", {"y"}),
        ("total += n", {"total", "n"}),
        ("del gone", {"gone"}),
        ("def f(a):\n    import os\n    return helper(os, a, b)", {"helper", "b"}),
        ("def f():\n    global n\n    n += 1", {"n"}),
        ("def top():\n    x = 1\n    return x", set()),
        ("def f():\n    h += 1\n    return h", set()),
        ("[i * k for i in xs if i]", {"xs", "k"}),
        ("lambda v: v + u", {"u"}),
        ("class A(Base):\n    y = z\n    def m(self):\n        return q + self.y", {"Base", "z", "q"}),
        ("with a as t:\n    pass\nt", {"a"}),
        ("if c:\n    x = 1\nx", {"c", "x"}),
        ("x: int = y\nx", {"int", "y"}),
        ("import a.b, c as d\na, d", set()),
        ("await f(x)", {"f", "x"}),
        ("[r async for r in stream]", {"stream"}),
        ("match m:\n    case [u, *v]:\n        w", {"m", "w"}),
        ("a, (b, *c) = t\na, b, c", {"t"}),
        ("def f():\n    def g():\n        return deep\n    return g", {"deep"}),
    ],
)
def test_a_cell_reads_what_it_has_not_bound(source: str, reads: set[str]) -> None:
    assert set(read_cell(source, "c").reads) == reads


def test_names_that_a_cell_may_bind() -> None:
    with pytest.raises(SyntaxError, match="'return' outside function") as caught:
        read_cell("a = 1\nreturn a", "c")
    assert (caught.value.lineno, caught.value.text) == (2, "return a")
    assert read_cell("b = await a", "c").reads == ("a",)
    code = read_cell("a = 1\nfor b in []: c = 2\ndef d():\n    global e\n    e = 1\nimport f.g", "c")
    assert code.binds == {"a", "b", "c", "d", "e", "f"}


@pytest.mark.parametrize(
    ("source", "defines"),
    [
        ('"""Doc."""\nimport os\n@deco\ndef f(): ...\nclass A: ...\nasync def g(): ...', ("f", "A", "g")),
        ("import os", ()),
        ("def f(): ...\nf()", None),
        ("x = 1", None),
        ('"only a text"', None),
    ],
)
def test_a_cell_of_definitions_is_told_from_one_that_runs(
    source: str, defines: tuple[str, ...] | None
) -> None:
    code = read_cell(source, "c")
    assert (code.made if code.only_defines else None) == defines


def test_definitions_that_stay_on_the_worker_are_told() -> None:
    code = read_cell("def fx(x): return x\nclass A: ...\nz = 3", "c")
    assert left_behind(code, ()).startswith("%%remote: fx, A were defined on the worker only")
    assert "-o A." in left_behind(code, ("fx",))
    assert left_behind(code, ("A", "fx")) == ""


def test_the_first_magic_of_a_cell_is_found() -> None:
    assert read_cell("x = 1\nget_ipython().system('ls')", "c").kernel_call == 2
    assert read_cell("x = 1", "c").kernel_call == 0


def test_a_cell_that_is_not_python_is_told_by_its_file_and_line() -> None:
    with pytest.raises(SyntaxError) as caught:
        read_cell("\ndef f(:", "Cell In[3]")
    assert (caught.value.filename, caught.value.lineno) == ("Cell In[3]", 2)


def test_only_variables_of_the_user_travel() -> None:
    hidden = {"exit": exit, "open": open}
    shell: Any = SimpleNamespace(user_ns={**hidden, "a": 1, "b": 2, "open": "mine"}, user_ns_hidden=hidden)
    assert captured(("a", "exit", "open", "print", "unknown"), shell) == {"a": 1, "open": "mine"}


KNOWN: options.Options = {"--cpus": ("cpus", float), "-o": ("wanted", options.names), "--name": ("name", str)}


def test_options_are_read() -> None:
    assert options.parse("%%m", "", KNOWN) == {}
    given = options.parse("%%m", "--cpus=0.5 -o a,b --name 'two words'", KNOWN)
    assert given == {"cpus": 0.5, "wanted": ("a", "b"), "name": "two words"}


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("-o a -o b,c", {"wanted": ("a", "b", "c")}),
        ("# -o a: don't", {}),
        ("--cpus 2 # as many as there are", {"cpus": 2.0}),
        ("--name '# 1' -o a", {"name": "# 1", "wanted": ("a",)}),
        ("--name run#1", {"name": "run#1"}),
    ],
)
def test_names_add_up_and_comments_are_left_out(line: str, given: dict[str, Any]) -> None:
    assert options.parse("%%m", line, KNOWN) == given


def test_a_magic_without_options_says_so() -> None:
    with pytest.raises(OptionError, match=r"^%m takes no options; '--verbose' is one too many\.$"):
        options.parse("%m", "--verbose", {})


def test_what_is_hardly_like_an_option_is_not_taken_for_it() -> None:
    with pytest.raises(OptionError, match=r"'--nosuch' is not an option of %%remote\. There are: -o"):
        options.parse("%%remote", "--nosuch", OPTIONS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--cpu 1", "Did you mean '--cpus'"),
        ("-o a b", "joined by commas, as -o a,b; 'b' stands alone"),
        ("word", "'word' is not an option of %%m"),
        ("--cpus", "--cpus needs a value"),
        ("--cpus -o a", "--cpus needs a value"),
        ("--cpus many", "--cpus cannot be 'many'; it takes a number"),
        ("-o a,1b", "-o cannot be 'a,1b'; it takes names of variables"),
        ("--name 'open", "No closing quotation"),
    ],
)
def test_bad_options_are_named(line: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        options.parse("%%m", line, KNOWN)


def test_a_cell_gives_its_last_value_and_what_is_wanted() -> None:
    assert remote_cell.run("a = n + 1\na * 2", "c", ("a",), {"n": 1}) == (4, {"a": 2})
    assert remote_cell.run("a = 1", "c", (), {}) == (None, {})
    assert remote_cell.run("", "c", (), {}) == (None, {})


def test_a_cell_may_await_at_its_top() -> None:
    source = "import asyncio\nawait asyncio.sleep(0)\n[x async for x in numbers()]"

    async def numbers() -> Any:
        yield 1
        yield 2

    assert remote_cell.run(source, "c", (), {"numbers": numbers}) == ([1, 2], {})


def test_a_wanted_name_that_was_not_set_is_an_error() -> None:
    with pytest.raises(OptionError, match="has not set b"):
        remote_cell.run("if False: b = 1", "c", ("b",), {})


def test_functions_of_a_cell_see_its_variables() -> None:
    assert remote_cell.run("def f():\n    return n + k\nk = 2\nf()", "c", (), {"n": 1}) == (3, {})


def test_a_task_belongs_to_the_cell_that_was_running_when_it_was_numbered() -> None:
    table = CellTable(tuple)
    for first, cell in ((1, "a"), (5, "b"), (5, "c"), (9, "d")):
        table.begin(first, cell)
    assert [table.cell_of(number) for number in (1, 4, 5, 8, 9, 100)] == ["a", "a", "c", "c", "d", "d"]
    assert table.latest() == "d"
