"""What can go wrong inside the object store. The node turns these into answers; users never see them."""

from __future__ import annotations


class StoreError(Exception):
    """Base of the store's internal errors."""


class InvalidRequest(StoreError):
    """A client asked for what it may not: a block it never reserved, a size beyond its block.

    The node ends the connection of a client that does this."""


class SegmentFull(StoreError):
    """The shared-memory filesystem has no room for a segment of the asked size."""


class SpillFailed(StoreError):
    """A spill file could not be written: disk full, folder gone."""


class SpillDamaged(StoreError):
    """A spill file is missing, cut short, or its checksum does not match."""


class LayoutError(StoreError):
    """A block does not hold a serialised value."""
