"""Tasks that another process submits on behalf of this one, which has their refs: its user may treat them as his own.

The keeper of a notebook's cells is such a process (`jupyter.keeper`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rustray.driver.task_logs import TaskLog

if TYPE_CHECKING:
    from rustray.driver.refs import ObjectRef
    from rustray.driver.session import Session


class OnBehalf(Protocol):
    """One such process. What it is asked may raise what `get` raises, where it does not answer."""

    def submitted(self, ref: ObjectRef) -> bool:
        """Whether the task that makes this object is one of its."""
        ...

    def cancel(self, ref: ObjectRef, force: bool, recursive: bool) -> None:
        """As `rustray.cancel`."""
        ...

    def log(self, ref: ObjectRef) -> TaskLog:
        """As `rustray.logs`."""
        ...

    def told(self, ref: ObjectRef) -> tuple[str, str]:
        """(state, name) of the task as they are known here, without asking; "" for what is not."""
        ...


def submitter_of(session: Session, ref: ObjectRef) -> OnBehalf | None:
    """Which of them has submitted the task that makes this object, None if it was another process."""
    return next((other for other in session.on_behalf if other.submitted(ref)), None)
