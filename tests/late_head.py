"""A head that notices only after a minute that the others do not answer it, as one whose clock stands still might.

Started in place of `rustray.head.process` by a test that needs a leader which is deposed and goes on.
"""

from __future__ import annotations

from rustray.head import process, raft

raft.TOGETHER = raft.TOGETHER._replace(fallback=60.0)

if __name__ == "__main__":
    process.main()
