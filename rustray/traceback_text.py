"""Remote tracebacks as text: the user's frames, with their source lines, and none of RustRay's.

Text is made where the exception happened, because the source of a notebook cell is known there and in the
kernel only, and because a traceback object cannot be pickled.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceback import FrameSummary, StackSummary, TracebackException

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_FIRST_FRAMES, _LAST_FRAMES = 20, 30  # kept of a longer stack, as of an endless recursion
_LONGEST = 100_000  # characters; a message may hold a whole data set


def traceback_text(error: BaseException, says_all: bool = False, tells_cause: bool = False) -> str:
    """The traceback of `error` and of what led to it, as Python prints it, without RustRay's own frames.

    Parameters
    ----------
    says_all: whether it is none of RustRay's defects; in those there are no other frames, and they are kept.
    tells_cause: whether its message has the traceback of its cause.
    """
    from traceback import TracebackException

    told = TracebackException(type(error), error, error.__traceback__, compact=True)
    if tells_cause:
        told.__cause__ = told.__context__ = None
    _trim(told, keep_all=not says_all)
    return _bounded("".join(told.format()))


def frames_text(trace: TracebackType | None) -> str:
    """The user's frames of `trace` alone: no header, no message."""
    from traceback import StackSummary

    return _bounded("".join(StackSummary.from_list(user_frames(trace)).format()))


def without_ours(trace: TracebackType | None) -> TracebackType | None:
    """`trace` without RustRay's frames, and without those of the standard library that these have called."""
    kept = []
    inside = False
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(_OURS):
            inside = True
        elif not (inside and file.startswith((_STANDARD, "<frozen ")) and "-packages" not in file):
            inside = False
            kept.append(trace)
        trace = trace.tb_next
    return chained(kept)


def chained(frames: list[TracebackType]) -> TracebackType | None:
    """A traceback of these alone, the outermost first; None of none."""
    trace = None
    for one in reversed(frames):
        trace = TracebackType(trace, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return trace


def is_ours(trace: TracebackType) -> bool:
    """Whether its outermost frame is RustRay's."""
    return trace.tb_frame.f_code.co_filename.startswith(_OURS)


def is_raised_by_us(trace: TracebackType | None) -> bool:
    """Whether it was raised there: its innermost frame is RustRay's."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and is_ours(trace)


def user_frames(trace: TracebackType | None) -> list[FrameSummary]:
    """The frames of `trace` that are not RustRay's."""
    from traceback import extract_tb

    return _users(extract_tb(trace), keep_all=False)


def _trim(told: TracebackException, keep_all: bool) -> None:
    told.stack[:] = _users(told.stack, keep_all)
    waiting = [other for other in (told.__cause__, told.__context__, *(told.exceptions or ())) if other]
    while waiting:
        one = waiting.pop()
        one.stack[:] = _users(one.stack, keep_all=True)
        waiting += [other for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other]


def _users(stack: StackSummary, keep_all: bool) -> list[FrameSummary]:
    """The frames to show. A defect of RustRay has no others: then `keep_all` keeps them."""
    from traceback import FrameSummary

    users = [frame for frame in stack if not frame.filename.startswith(_OURS)]
    if not users and keep_all:
        users = list(stack)
    if len(users) > _FIRST_FRAMES + _LAST_FRAMES:
        dropped = len(users) - _FIRST_FRAMES - _LAST_FRAMES
        gap = FrameSummary(f"<{dropped} frames are not shown>", 0, "...", lookup_line=False, line="")
        users[_FIRST_FRAMES:-_LAST_FRAMES] = [gap]
    return users


def _bounded(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters are not shown ...\n{text[-half:]}"
