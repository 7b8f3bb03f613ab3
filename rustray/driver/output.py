"""Printing in the driver what tasks print, each line with its task's name and process."""

from __future__ import annotations

import sys

from rustray.driver.task import Task


def print_log(stream: str, text: str, name: str, pid: int, _task: Task | None) -> None:
    """Write `text` (whole lines, or the unfinished last one of a task) to this process's stream of that name."""
    out = sys.stdout if stream == "stdout" else sys.stderr
    if out is None:
        return  # a program without a terminal (pythonw)
    prefix = f"({name} pid={pid}) "
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    out.write("".join(f"{prefix}{line}\n" for line in lines))
    out.flush()
