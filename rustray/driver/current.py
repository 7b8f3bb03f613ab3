"""The session of this process: the one global of the package.

`init` opens it in a driver, the worker's main program in a worker.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from rustray.errors import SessionError

if TYPE_CHECKING:
    from rustray.driver.session import Session

_current: Session | None = None
_forked = False
"""Whether this process is a fork of one with a session, and has none."""
_auto_init: Callable[[], Session] | None = None
_no_auto_init = ""
"""Why `auto_init` opens none, if so."""


def current() -> Session:
    """The session of this process; SessionError when there is none."""
    session = _current
    if session is None:
        if _forked:
            raise SessionError.forked("rustray", os.getppid())
        raise SessionError.not_initialised("rustray")
    return session


def current_or_none() -> Session | None:
    """The session of this process, if it has one."""
    return _current


def set_current(session: Session | None) -> None:
    """Make `session` the one of this process."""
    global _current, _forked, _no_auto_init
    _current = session
    _forked = False
    if session is not None:
        _no_auto_init = ""


def auto_init(open_session: Callable[[], Session] | None = None) -> Session:
    """The session of this process, opened with defaults when there is none (as Ray does).

    Parameters
    ----------
    open_session: opens it in place of `init`.
    """
    session = _current
    if session is None:
        if _auto_init is None or _forked:
            return current()
        if _no_auto_init:
            raise SessionError(_no_auto_init)
        return (open_session or _auto_init)()
    return session


def forbid_auto_init(reason: str) -> None:
    """The user has named a cluster that could not be had: none of its own is to take its place unasked.

    Parameters
    ----------
    reason: what `auto_init` raises until there is a session.
    """
    global _no_auto_init
    _no_auto_init = reason


def set_auto_init(open_session: Callable[[], Session]) -> None:
    """What `auto_init` calls; set by the public API, which knows how a session is opened."""
    global _auto_init
    _auto_init = open_session


def _after_fork_in_child() -> None:
    # The child shares the parent's sockets: what it wrote there would be taken for the parent's.
    global _current, _forked
    if _current is not None:
        _current.abandon()
        _current = None
        _forked = True


os.register_at_fork(after_in_child=_after_fork_in_child)
