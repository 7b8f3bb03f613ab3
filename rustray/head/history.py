"""What was measured of late, at every head: so curves and counts go on when another head takes office.

The head that leads hears the nodes, and hands what is new to the others, once a second and not through the log: what it
had heard after that is lost with it.
"""

from __future__ import annotations

import marshal

from rustray.head.metrics import Metrics
from rustray.metrics.functions import Functions
from rustray.metrics.task_events import TaskEvents

HAND_EVERY_S = 1.0
WHOLE_EVERY = 30
"""So often all samples of the cluster are handed: to heads that were not there before."""
HANDED_BYTES = 768 << 10
"""No message to another head is longer; one that would be is left out."""
EPOCH_SHIFT = 32
"""Events are numbered from epoch << 32 on, so a cursor of an earlier leader is known for one."""


class History:
    """See the module. Bounded: five minutes of samples, `Functions`, and `TaskEvents`."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.functions = Functions()
        self.events = TaskEvents()
        self._epoch = 0
        self._handed = 0.0
        self._turn = 0

    def lead(self, epoch: int) -> None:
        """This head takes office: what it was handed is the past, and nodes will tell it how things are."""
        self._epoch = epoch
        self.metrics.lead()
        self.functions.lead()
        self.events.lead(epoch << EPOCH_SHIFT)

    def hand(self) -> bytes:
        """What is new since the last time, for the other heads; b"" where it is too much for them."""
        samples, nodes = self.metrics.hand(self._handed if self._turn % WHOLE_EVERY else 0.0)
        self._turn += 1
        if samples:
            self._handed = samples[-1]["time"]
        handed = self._epoch, samples, nodes, self.functions.hand(), self.events.hand()
        packed = marshal.dumps(handed, 4)
        return packed if len(packed) <= HANDED_BYTES else b""

    def take(self, packed: bytes) -> None:
        """The leading head has handed this; one that was deposed is not believed."""
        epoch, samples, nodes, functions, events = marshal.loads(packed)
        if epoch >= self._epoch:
            self._epoch = epoch
            self.metrics.take(samples, nodes)
            self.functions.take(functions)
            self.events.add(map(tuple, events))
