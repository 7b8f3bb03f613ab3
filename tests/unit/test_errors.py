from __future__ import annotations

import asyncio
import errno
import linecache
import pickle
import signal
import threading
from dataclasses import dataclass

import pytest

import rustray.errors
import rustray.exceptions
from rustray.error_packing import pack_error, pack_system_error, unpack_error
from rustray.errors import (
    GetTimeoutError,
    InfeasibleError,
    ObjectLostError,
    RustRayError,
    SerializationError,
    SessionError,
    TaskError,
    WorkerCrashedError,
    WorkerExitedError,
    exit_advice,
    exit_text,
)
from rustray.task_error import plain
from rustray.traceback_text import traceback_text


def raised(error: BaseException) -> BaseException:
    """`error` with a traceback, as a worker catches it."""
    try:
        raise error
    except BaseException as caught:
        return caught


def travelled(error: BaseException, function_name: str = "f", **where: object) -> TaskError:
    got = unpack_error(pack_error(raised(error), function_name, **where))  # type: ignore[arg-type]
    assert isinstance(got, TaskError)
    return got


class TwoArguments(Exception):
    """Pickles, but cannot be unpickled: `args` has one item, `__init__` wants two."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class FormatsTwice(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")


class KeywordOnly(Exception):
    def __init__(self, *, name: str) -> None:
        super().__init__(name)
        self.name = name


class OwnNew(Exception):
    def __new__(cls, a: int, b: int) -> OwnNew:
        return super().__new__(cls, a)

    def __init__(self, a: int, b: int) -> None:
        self.total = a + b


class Slotted(Exception):
    __slots__ = ("code", "unset")

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Frozen(Exception):
    code: int


class HasCause(Exception):
    def __init__(self) -> None:
        super().__init__("mine")
        self.cause = "my own"
        self.pid = -1


class PropertyArgs(Exception):
    @property
    def args(self) -> tuple[object, ...]:  # type: ignore[override]
        return ("made up",)


class OsDerived(OSError):
    pass


class NoSubclass(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError("final")


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class HoldsLock(Exception):
    def __init__(self) -> None:
        super().__init__("locked", threading.Lock())
        self.lock = threading.Lock()
        self.code = 7


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        KeyError("missing"),
        OSError(errno.ENOENT, "no such file", "/x"),
        OsDerived(errno.EACCES, "denied", "/y"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        ExceptionGroup("two", [ValueError(1), TypeError(2)]),
        ImportError("no", name="m", path="p"),
        SyntaxError("odd", ("file", 1, 2, "text")),
        TwoArguments(3, "text"),
        FormatsTwice(4),
        KeywordOnly(name="n"),
        OwnNew(1, 2),
        Slotted(5),
        Frozen(6),
        HasCause(),
        PropertyArgs("real"),
        HoldsLock(),
        asyncio.InvalidStateError("state"),
        GetTimeoutError.of(1, 2, 3.0),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_task_error_is_an_instance_of_its_cause(error: Exception) -> None:
    got = travelled(error)
    assert isinstance(got, TaskError)
    assert isinstance(got, type(error))
    again = pickle.loads(pickle.dumps(got))
    assert type(again) is type(got)
    assert str(again) == str(got)


def test_state_of_the_cause_is_reachable() -> None:
    missing = travelled(OSError(errno.ENOENT, "no such file", "/x"))
    assert isinstance(missing, FileNotFoundError)
    assert (missing.errno, missing.strerror, missing.filename) == (errno.ENOENT, "no such file", "/x")
    group = travelled(ExceptionGroup("two", [ValueError(1), TypeError(2)]))
    assert isinstance(group, ExceptionGroup)
    assert [type(one) for one in group.exceptions] == [ValueError, TypeError]
    decode = travelled(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"))
    assert isinstance(decode, UnicodeDecodeError)
    assert (decode.object, decode.end) == (b"\xff", 1)
    assert travelled(Slotted(5)).code == 5  # type: ignore[attr-defined]
    assert travelled(Frozen(6)).code == 6  # type: ignore[attr-defined]
    assert travelled(TwoArguments(3, "text")).code == 3  # type: ignore[attr-defined]
    assert travelled(KeyError("missing")).args == ("missing",)
    assert travelled(FormatsTwice(4)).args == ("code 4",)


def test_what_the_cause_has_wins_over_what_task_error_has() -> None:
    got = travelled(HasCause(), pid=12)
    assert got.cause == "my own" and got.pid == -1
    assert isinstance(plain(got).cause, HasCause)
    assert plain(got).pid == 12
    assert "12" in str(got)


def test_classes_are_made_once() -> None:
    assert type(travelled(ValueError(1))) is type(travelled(ValueError(2)))


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), StopIteration(), asyncio.CancelledError()]
)
def test_what_would_stop_the_driver_stays_a_plain_task_error(error: BaseException) -> None:
    got = travelled(error)
    assert type(got) is TaskError
    assert type(got.cause) is type(error)


def test_a_class_that_forbids_subclasses_gives_the_plain_error() -> None:
    got = travelled(NoSubclass("x"))
    assert type(got) is TaskError
    assert isinstance(got.cause, NoSubclass)


def test_a_local_class_arrives_by_value() -> None:
    class Local(Exception):
        pass

    assert isinstance(travelled(Local("x")), Local)


def test_what_cannot_be_pickled_is_told_as_text() -> None:
    got = travelled(HoldsLock())
    assert isinstance(got, HoldsLock)
    assert got.code == 7
    assert got.args[0] == "locked" and "lock" in got.args[1]
    group = travelled(ExceptionGroup("g", [HoldsLock(), ValueError("v")]))
    assert isinstance(group, ExceptionGroup)
    assert [type(one) for one in group.exceptions] == [HoldsLock, ValueError]


def test_a_class_that_cannot_be_pickled_leaves_its_text() -> None:
    lock = threading.Lock()

    class Holds(Exception):
        member = lock

    got = travelled(Holds("the message"), "f")
    assert type(got) is TaskError and got.cause is None
    assert "Holds: the message" in str(got)
    assert "in raised" in str(got)


def test_an_exception_without_text_arrives() -> None:
    got = travelled(BadText())
    assert isinstance(got, BadText)
    assert "BadText" in str(got)


def test_the_text_tells_where_and_ends_with_the_message() -> None:
    got = travelled(ValueError("bad value"), "f", pid=12, node="n1", task_id=b"\x01")
    lines = str(got).splitlines()
    assert lines[0] == "f() failed in worker process 12 on node n1"
    assert "in raised" in lines[1]
    assert lines[2].strip() == "raise error"
    assert lines[-1] == "ValueError: bad value"
    assert type(got).__name__ == "TaskError(ValueError)"
    assert (got.function_name, got.pid, got.node, got.task_id) == ("f", 12, "n1", b"\x01")


def test_an_error_through_several_tasks_tells_the_chain() -> None:
    def middle(error: TaskError) -> None:
        raise error

    inner = travelled(KeyError("k"), "inner", pid=1)
    try:
        middle(inner)
    except TaskError as error:
        outer = unpack_error(pack_error(error, "middle", pid=2))
    got = travelled(outer, "outer", pid=3)
    assert isinstance(got, KeyError)
    assert got.function_name == "inner"
    assert [caller.function_name for caller in got.callers] == ["middle", "outer"]
    text = str(got)
    assert text.startswith("inner() failed in worker process 1, called by middle(), called by outer()")
    assert text.index("in outer(), worker process 3") < text.index("in middle(), worker process 2")
    assert "raise error" in text
    assert text.endswith("KeyError: 'k'")
    assert str(pickle.loads(pickle.dumps(got))) == text


def test_causes_are_told() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError as error:
        text = traceback_text(error)
    assert "KeyError: 'first'" in text and "direct cause" in text and text.endswith("ValueError: second\n")


def test_frames_of_rustray_are_not_shown() -> None:
    try:
        rustray.errors.exit_text("not a number")  # type: ignore[arg-type]
    except TypeError as error:
        text = traceback_text(error)
    assert "test_errors.py" in text
    assert "rustray/errors.py" not in text


def test_lines_of_a_notebook_cell_are_shown() -> None:
    cell = "def g(x):\n    return 1 / x\n"
    linecache.cache["<cell 7>"] = (len(cell), None, cell.splitlines(keepends=True), "<cell 7>")
    namespace: dict[str, object] = {}
    exec(compile(cell, "<cell 7>", "exec"), namespace)
    with pytest.raises(ZeroDivisionError) as caught:
        namespace["g"](0)  # type: ignore[operator]
    text = traceback_text(caught.value)
    assert 'File "<cell 7>", line 2, in g' in text and "return 1 / x" in text


def test_endless_recursion_and_huge_messages_are_cut() -> None:
    def a(n: int) -> int:
        return b(n)

    def b(n: int) -> int:
        return a(n + 1)

    with pytest.raises(RecursionError) as caught:
        a(0)
    text = traceback_text(caught.value)
    assert len(text) < 20_000 and "frames are not shown" in text
    assert len(traceback_text(ValueError("x" * 10**6))) < 101_000


def test_system_errors_travel_as_they_are() -> None:
    error = WorkerCrashedError("the worker was killed", exit_code=-signal.SIGSEGV)
    got = unpack_error(pack_system_error(error))
    assert type(got) is WorkerCrashedError
    assert (str(got), got.exit_code) == ("the worker was killed", -11)


@pytest.mark.parametrize(
    ("exit_code", "how", "advice"),
    [
        (3, "exited with status 3", "Return, or raise"),
        (-signal.SIGSEGV, "was killed by signal 11 (SIGSEGV)", "faulthandler"),
        (-signal.SIGKILL, "was killed by signal 9 (SIGKILL)", "memory ran out"),
        (-signal.SIGTERM, "was killed by signal 15 (SIGTERM)", "max_retries="),
        (-40, "was killed by signal 40", "max_retries="),
    ],
)
def test_how_a_process_ended(exit_code: int, how: str, advice: str) -> None:
    assert exit_text(exit_code) == how
    assert advice in exit_advice(exit_code)


def test_every_error_pickles_and_is_a_rustray_error() -> None:
    for name in rustray.errors.__all__:
        kind = getattr(rustray.errors, name)
        assert issubclass(kind, RustRayError), name
        assert kind.__module__ == "rustray.errors"
        if kind is TaskError:
            continue
        error = kind("what, where, what to do")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and str(again) == str(error) and again.__dict__ == error.__dict__


def test_messages_say_what_to_do() -> None:
    infeasible = InfeasibleError.of("f()", {"CPU": 1, "GPU": 2}, {"CPU": 4})
    assert infeasible.missing == {"GPU": 2}
    assert str(infeasible).startswith("f() can never run: it asks for 2 GPU. The cluster has 4 CPU.")
    assert "rustray.init()" in str(SessionError.not_initialised("get()"))
    assert isinstance(GetTimeoutError.of(1, 2, 0.5), TimeoutError)
    assert issubclass(SerializationError, TypeError) and issubclass(WorkerExitedError, WorkerCrashedError)


def test_names_of_ray() -> None:
    for name in rustray.exceptions.__all__:
        assert issubclass(getattr(rustray.exceptions, name), RustRayError)
    assert rustray.exceptions.RayTaskError is TaskError
    assert rustray.exceptions.ObjectLostError is ObjectLostError


def test_every_error_has_a_place_in_the_list_and_in_the_tree() -> None:
    of_ours = {
        name for name, one in vars(rustray.errors).items() if isinstance(one, type) and issubclass(one, RustRayError)
    }
    assert of_ours == set(rustray.errors.__all__)
    assert [name for name in of_ours if f" {name}" not in (rustray.errors.__doc__ or "")] == []
