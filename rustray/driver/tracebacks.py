"""How IPython shows errors: the user's frames only, from the notebook's cell to the line that failed, on whichever
worker. So it shows errors of RustRay's own, also those of Python's kinds (an actor has no such method), and what the
stop button raises while the cell waits in RustRay.

Frames are in one order, the most recent last: those of the cell that asked, those of the tasks that waited, those of
the task that failed, in the colours that the user has set. Of a remote traceback there is text only
(`traceback_text`), so that is what is read here; what does not look like Python's own is shown as it is.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable
from typing import Any

from rustray.task_error import RustRayError, TaskError, place, plain
from rustray.traceback_text import chained, is_ours, is_raised_by_us, user_frames, without_ours

_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+)(?:, in (?P<name>.*))?')
_CELL = re.compile(r"Cell In\[(\d+)\]")
"""How `%%remote` names the file of its cell."""
_RAISED = (AttributeError, TypeError, ValueError)
"""Kinds of errors that RustRay raises beside its own."""
_HEADER = "Traceback (most recent call last):"
_LIBRARIES = ("/IPython/", "/ipykernel/", "\\IPython\\", "\\ipykernel\\")

Frame = tuple[str, int, str, str]
"""File, line number, function, source line."""


def install() -> None:
    """Have IPython, if this process runs in it, show errors this way."""
    RustRayError._render_traceback_ = _render_own  # type: ignore[attr-defined]
    TaskError._render_traceback_ = _render  # type: ignore[attr-defined]
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # A handler that the user has set has precedence.
    if shell is not None and getattr(shell, "custom_exceptions", None) == ():
        shell.set_custom_exc((KeyboardInterrupt, *_RAISED), _show)


def _show(
    shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: int | None = None
) -> None:
    if isinstance(error, KeyboardInterrupt) or is_raised_by_us(trace):
        _trim_causes(error)
        trace = without_ours(trace)
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _render_own(error: RustRayError) -> list[str]:
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if isinstance(error.__cause__, TaskError):
        return "\n".join(_rendered_with(error.__cause__, error, shell)).splitlines()
    _trim_causes(error)
    shown: list[str] = shell.InteractiveTB.structured_traceback(
        type(error), error, without_ours(error.__traceback__)
    )
    return shown


def _rendered_with(cause: TaskError, error: RustRayError, shell: Any) -> list[str]:
    """Of an actor whose constructor has failed: as `rendered`, and then what `error` says beside that."""
    name = type(error).__name__
    said = str(error).removesuffix(str(cause)).rstrip()
    told = _rendered(plain(cause), name, local_frames(error), shell)
    return [*told, *_message(f"{name}: {said}", shell), *getattr(error, "__notes__", ())]


def render_called(error: BaseException) -> list[str]:
    """An error that a magic has raised: with the frames of the user's code that the magic has called; in one line where
    there are none, for where the magic stands is plain to see."""
    from IPython.core.getipython import get_ipython

    trace = error.__traceback__
    while trace is not None and not is_ours(trace):
        trace = trace.tb_next
    frames = []
    trace = without_ours(trace)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        # "<string>" is what is evaluated for the magic's line.
        if file != "<string>" and not any(part in file for part in _LIBRARIES):
            frames.append(trace)
        trace = trace.tb_next
    if not frames:
        return "".join(traceback.format_exception_only(error)).splitlines()
    _trim_causes(error)
    shell: Any = get_ipython()
    shown: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, chained(frames), tb_offset=0)
    return shown


def _trim_causes(error: BaseException) -> None:
    seen = {id(error)}
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        cause.__traceback__ = without_ours(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__


def _render(error: TaskError) -> list[str]:
    from IPython.core.getipython import get_ipython

    return "\n".join(rendered(error, get_ipython())).splitlines()


def rendered(error: TaskError, shell: Any) -> list[str]:
    """The traceback of `error` as lines of text, coloured as `shell` colours its own."""
    failed = plain(error)
    name = type(failed if failed.cause is None else failed.cause).__name__
    return [*_rendered(failed, name, local_frames(error), shell), *getattr(error, "__notes__", ())]


def _rendered(failed: TaskError, name: str, here: list[Frame], shell: Any) -> list[str]:
    told: list[str] = ["-" * 75, shell.InteractiveTB.prepare_header(name), *_coloured(here, shell)]
    for caller in reversed(failed.callers):
        told.append(f"  -- in {caller.function_name}(), {place(caller.pid, caller.node)}")
        told += _text(caller.frames, shell)
    told.append(f"  -- in {failed.function_name}(), {place(failed.pid, failed.node)}")
    return [*told, *_text(failed.traceback_str, shell)]


def local_frames(error: BaseException) -> list[Frame]:
    """The user's frames in this process between the cell and what raised."""
    frames = [frame for frame in user_frames(error.__traceback__) if not _is_of_shell(frame)]
    return [(frame.filename, frame.lineno or 0, frame.name, frame.line or "") for frame in frames]


def _is_of_shell(frame: traceback.FrameSummary) -> bool:
    is_library = any(part in frame.filename for part in _LIBRARIES) and "site-packages" in frame.filename
    return is_library or (frame.line or "").startswith("get_ipython().run_")


def _text(text: str, shell: Any) -> list[str]:
    """A traceback that came as text: each frame in colours, and the line of the error."""
    told: list[str] = []
    frames: list[Frame] = []
    lines = [line for line in text.rstrip().split("\n") if line != _HEADER]
    last_frame = max((at for at, line in enumerate(lines) if _FRAME.fullmatch(line)), default=-1)
    at = 0
    while at < len(lines):
        line = lines[at]
        found = _FRAME.fullmatch(line)
        if found is None:
            told += _coloured(frames, shell)
            frames = []
            if at > last_frame and not line.startswith(" "):
                return [*told, *_message("\n".join(lines[at:]), shell)]
            told.append(line)
            at += 1
            continue
        at += 1
        source = []
        while at < len(lines) and lines[at].startswith("    "):
            source.append(lines[at].strip())
            at += 1
        code = source[0] if source else ""
        frames.append((found["file"], int(found["line"]), found["name"] or "<module>", code))
    return [*told, *_coloured(frames, shell)]


def _coloured(frames: list[Frame], shell: Any) -> Iterable[str]:
    if not frames:
        return []
    for file, *_rest in frames:
        name_cell(file, shell)
    # The shell's own list formatter has the user's colours. Its first entry is the header, its last the exception.
    shown = shell.SyntaxTB.structured_traceback(Exception, None, list(frames), 0)
    return [line.rstrip("\n") for line in shown[1:-1]]


def name_cell(file: str, shell: Any) -> None:
    """Have IPython show the file of a `%%remote` cell as it shows those of its own cells."""
    if cell := _CELL.fullmatch(file):
        getattr(shell.compile, "_filename_map", {}).setdefault(file, int(cell[1]))


def _message(text: str, shell: Any) -> Iterable[str]:
    """The line of an exception, as "ValueError: no", in its colours."""
    name, colon, message = text.partition(": ")
    if "\n" in name:
        name, colon, message = text, "", ""
    kind = type(name, (Exception,), {"__module__": "builtins"})
    shown = shell.SyntaxTB.structured_traceback(kind, kind(message) if colon else kind(), [], 0)
    return [shown[-1].rstrip("\n")]
