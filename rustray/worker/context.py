"""Which task runs: what `get_runtime_context` tells, and whom a print belongs to."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rustray.worker.actor import OwnerChannel
    from rustray.worker.channel import Channel


class Running(NamedTuple):
    """The task that this thread or coroutine runs, and the channel it came by."""

    channel: Channel | OwnerChannel
    number: int
    name: str


running: contextvars.ContextVar[Running | None] = contextvars.ContextVar("rustray_running", default=None)
