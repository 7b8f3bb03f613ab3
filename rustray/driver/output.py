"""Printing in the driver what tasks print, each line with its task's name and process."""

from __future__ import annotations

import sys

from rustray.driver.task import Task


def print_log(stream: str, text: str, name: str, pid: int, _task: Task | None) -> None:
    """Write `text` (whole lines, or the unfinished last one of a task) to our stream of that name."""
    out = sys.stdout if stream == "stdout" else sys.stderr
    if out is None:
        return  # a program without a terminal (pythonw)
    out.write(prefixed(text, name, pid))
    out.flush()


def prefixed(text: str, name: str, pid: int) -> str:
    """`text` with the name of its task and the process in front of each line."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return "".join(f"({name} pid={pid}) {line}\n" for line in lines)
