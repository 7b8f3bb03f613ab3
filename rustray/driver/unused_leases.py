"""Leases that nobody uses: offered to whoever waits after a moment, given back after a while.

To offer them is to tell the node of less demand than what is held: the scheduler takes such leases first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rustray.driver.scheduling_class import Lease
from rustray.wire.frames import Message

if TYPE_CHECKING:
    from rustray.driver.reactor import Reactor

IDLE_S = 0.5
"""Seconds after which an unused lease goes back."""
SPARE_S = 0.003
"""Seconds after which an unused lease is offered to whoever waits."""


class UnusedLeases:
    """Looks at the leases of one session.

    Parameters
    ----------
    leases: all of them by number; the owner adds and removes under `lock`.
    """

    def __init__(
        self,
        leases: Mapping[int, Lease],
        lock: threading.RLock,
        tell: Callable[..., None],
        reactor: Reactor,
    ) -> None:
        self._leases = leases
        self._lock = lock
        self._tell = tell
        self._reactor = reactor
        reactor.on_alarm = self.on_alarm

    def offers(self) -> list[Message]:
        """What tells the node of all leases that are idle. Caller has the lock."""
        idle = {lease.target for lease in self._leases.values() if not lease.in_flight}
        return [message for target in idle for message in target.spare()]

    def offer_now(self) -> None:
        """Nothing will be submitted for a while: tell the node at once which leases others may have."""
        if self._leases:
            with self._lock:
                if offers := self.offers():
                    self._tell(*offers)

    def on_alarm(self, now: float) -> None:
        """Leases that have not been used for a moment may go to others: what was suspended for them goes on."""
        with self._lock:
            for lease in self._leases.values():
                target = lease.target
                if lease.in_flight or target.queue or lease.closed:
                    continue
                due = lease.idle_since + SPARE_S
                if due > now:
                    self._reactor.alarm = min(self._reactor.alarm, due)
                elif offer := target.spare():
                    self._tell(*offer)

    def is_due(self, lease: Lease, now: float) -> bool:
        """Whether an idle lease is to be given back. It is offered first. Caller has the lock."""
        if lease.target.queue or lease.closed:
            return False
        if now - lease.idle_since >= SPARE_S and (offer := lease.target.spare()):
            self._tell(*offer)  # it was left unused by something else than an answer
        return now - lease.idle_since > IDLE_S
