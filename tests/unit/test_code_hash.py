"""The hash of a function: what it depends on, and what not."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from rustray.driver.code_hash import HASH_BYTES, code_hash
from tests.support import ROOT

SOURCE = """
def f(x, limit=3):
    if x in {"a", "b", "c", "d"}:
        return [x * 2 for x in range(limit)]
    return lambda: x
"""


def made(source: str, file: str = "<one>", name: str = "f") -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), names)
    found: Callable[..., Any] = names[name]
    return found


def test_file_and_line_do_not_matter_and_the_code_does() -> None:
    known = code_hash(made(SOURCE))
    assert known is not None and len(known) == HASH_BYTES
    assert code_hash(made("\n\n# a comment\n" + SOURCE, "/tmp/ipykernel_1/2.py")) == known
    for old, new in (("* 2", "* 3"), ('"d"', '"e"'), ("lambda: x", "lambda: limit"), ("f(x", "f(y")):
        assert code_hash(made(SOURCE.replace(old, new))) != known
    assert code_hash(made(SOURCE.replace("def f", "def g"), name="g")) != known


def test_it_is_the_same_in_every_process() -> None:
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from rustray.driver.code_hash import code_hash
names = {{"__name__": "__main__"}}
exec(compile({SOURCE!r}, "<one>", "exec"), names)
print(code_hash(names["f"]).hex())
"""
    for seed in ("1", "2"):
        told = subprocess.check_output(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, text=True
        )
        assert bytes.fromhex(told.strip()) == code_hash(made(SOURCE))


def test_functions_of_one_decorator_differ() -> None:
    def twice(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any) -> Any:
            return function(*args), function(*args)

        return call

    one, two = made(SOURCE), made(SOURCE.replace("* 2", "* 3"))
    assert code_hash(twice(one)) not in (code_hash(one), code_hash(twice(two)))
    assert code_hash(twice(one)) == code_hash(twice(made(SOURCE, "<other>")))


def test_what_is_not_written_in_python_has_none() -> None:
    class Callee:
        def __call__(self) -> None: ...

    assert code_hash(len) is None and code_hash(Callee()) is None
    assert code_hash(functools.partial(made(SOURCE), 1)) is None
