"""Whether an embedded server goes on when its last driver has left. Pure: it is told the time and what is there."""

from __future__ import annotations


class Solitude:
    """See the module.

    Parameters
    ----------
    linger_s: seconds for which detached actors are kept for the driver's successor, a kernel that was restarted; 0: the
        server ends with its last driver.

    Attributes
    ----------
    since: when the last driver left, None while there is one or before the first.
    """

    def __init__(self, linger_s: float) -> None:
        self._linger_s = linger_s
        self.since: float | None = None

    def on_left(self, now: float) -> None:
        """The last driver has left."""
        self.since = now

    def is_over(self, now: float, driven: bool, detached: bool, busy: bool) -> bool:
        """Whether to end.

        Parameters
        ----------
        driven: whether there is a driver. detached: whether a detached actor lives. busy: whether a task runs.
        """
        if driven:
            self.since = None
        if self.since is None:
            return False
        return not detached or (now - self.since >= self._linger_s and not (busy and self._linger_s))
