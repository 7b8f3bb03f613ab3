"""A head's folder: what it remembers over restarts, whose it is, and that nobody else has it.

`journal-*` segments of the raft log, `spare` the next one, `snapshot` the state that the log begins after, `lock`
held while the head runs.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from rustray.errors import ClusterStartError, ClusterStateError
from rustray.head.journal import Journal, JournalFull
from rustray.head.raft_membership import BLANK, Membership
from rustray.head.raft_snapshot import SNAPSHOT, Snapshot, read_snapshot


class HeadFolder:
    """Parameters: as of `Replica`.

    Raises ClusterStateError where something is damaged or belongs to other heads, ClusterStartError where another
    process has the folder or there is no room.
    """

    def __init__(self, path: Path, address: str, others: list[str], segment_bytes: int) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(path)
        try:
            self.journal = Journal(path, segment_bytes)
            self.snapshot = self._read_snapshot()
            self.membership = self._open_membership(address, others)
        except JournalFull as full:
            os.close(self._lock)
            raise ClusterStartError(f"The head cannot start: {full}. Make room there.") from full
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let others have it."""
        self.journal.close()
        os.close(self._lock)

    def _read_snapshot(self) -> Snapshot | None:
        journal, path = self.journal, self.path / SNAPSHOT
        if path.exists():
            snapshot = read_snapshot(path)
            if journal.blank:
                raise ClusterStateError.damaged(str(self.path), "there is a snapshot, but no journal")
            journal.align(snapshot.before, snapshot.last)
            return snapshot
        if len(journal) and journal.first_index > 1:
            text = f"the journal begins with entry {journal.first_index}, and there is no snapshot"
            raise ClusterStateError.damaged(str(self.path), text)
        return None

    def _open_membership(self, address: str, others: list[str]) -> Membership:
        journal = self.journal
        heads = sorted([address, *others])
        known = journal.remembered("heads")
        if len(heads) == 1 and known is not None and len(known) == 1:
            known = None  # a head without others may move
        if known is not None and (known != heads or journal.remembered("address") != address):
            raise ClusterStateError(
                f"{self.path} is the folder of {journal.remembered('address')} of the heads {', '.join(known)}, and "
                f"{address} of {', '.join(heads)} is started with it. The heads of a cluster are fixed: start it as "
                "that one, or give each head an empty folder for a new cluster."
            )
        state, met = journal.remembered("membership") or BLANK, journal.remembered("met") or ()
        membership = Membership(address, others, state, met)
        if known is None:
            journal.remember(heads=heads, address=address, membership=membership.state)
        return membership


def _lock(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ClusterStartError(f"Another head uses {folder}. Give each head a folder of its own.") from error
    return lock
