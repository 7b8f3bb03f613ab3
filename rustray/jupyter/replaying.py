"""Showing again what a task or a `%%remote` cell has printed and displayed, as after the notebook's tab was closed."""

from __future__ import annotations

import rustray
from rustray.driver import cells
from rustray.driver.current import current_or_none
from rustray.driver.refs import ObjectRef
from rustray.driver.task_logs import LogEntry, TaskLog
from rustray.jupyter.keeper_link import present_keeper

ANSWER_S = 10.0


def printed(what: str) -> TaskLog | None:
    """What the cell of this name has shown, or the task whose ref is in this variable; None if there is neither."""
    session, shell = current_or_none(), cells.kernel_shell()
    if session is None:
        return None
    link = present_keeper(session)
    if link is not None:
        states = rustray.get(link.keeper.cells.remote(), timeout=ANSWER_S)
        named = [state.cell for state in states if state.name == what]
        if named:
            entries = rustray.get(link.keeper.log.remote(named[-1]), timeout=ANSWER_S)
            return TaskLog([LogEntry(*entry) for entry in entries])
    ref = None if shell is None else shell.user_ns.get(what)
    return rustray.logs(ref) if isinstance(ref, ObjectRef) else None
