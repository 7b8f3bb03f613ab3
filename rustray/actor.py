"""For the code of actors: how one ends itself, and the types that annotations name."""

from __future__ import annotations

from typing import NoReturn

from rustray.driver.actor_class import ActorClass
from rustray.driver.actor_handle import ActorHandle, ActorMethod
from rustray.driver.current import current_or_none

__all__ = ["ActorClass", "ActorExit", "ActorHandle", "ActorMethod", "exit_actor"]


class ActorExit(BaseException):
    """Unwinds the method that has called `exit_actor`."""


def exit_actor() -> NoReturn:
    """End the actor whose method calls this. It is not restarted; exit handlers (`atexit`) run.

    The call and those that have not begun fail with ActorDiedError. Calls that run at the same time in other threads
    or as coroutines are finished first.

    Raises
    ------
    TypeError: this process hosts no actor.
    """
    session = current_or_none()
    if session is None or session.hosted_actor is None:
        raise TypeError(
            "exit_actor() is for the methods of an actor; from outside, use rustray.kill(handle)."
        )
    raise ActorExit
