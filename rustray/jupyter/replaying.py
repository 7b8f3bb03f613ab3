"""Showing again what a task or a `%%remote` cell has printed and displayed, as after the notebook's tab was closed."""

from __future__ import annotations

import rustray
from rustray.driver import cells
from rustray.driver.current import current_or_none
from rustray.driver.refs import ObjectRef
from rustray.driver.task_logs import TaskLog
from rustray.jupyter.keeper_link import known_keepers


def printed(what: str) -> TaskLog | None:
    """What the cell of this name has shown, or the task whose ref is in this variable; None if there is neither."""
    session, shell = current_or_none(), cells.kernel_shell()
    if session is None:
        return None
    for link in reversed(known_keepers(session)):
        named = [state.cell for state in link.cells() if state.name == what]
        if named:
            return link.log_of_cell(named[-1])
    ref = None if shell is None else shell.user_ns.get(what)
    return rustray.logs(ref) if isinstance(ref, ObjectRef) else None
