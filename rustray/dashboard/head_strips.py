"""Which head led when: what "heads" answered of late, as spans of time. Pure: rows and times come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rustray.dashboard.answers import Reader

SPAN_S = 120.0
GAP_S = 3.0
"""A span goes on if it was asked again within so long; what was in between is then taken to be the same."""
SILENT = "does not answer"


@dataclass
class Span:
    """One head in one state, seconds since the epoch."""

    start: float
    end: float
    state: str
    term: int


class HeadStrips(Reader):
    """The spans of each head by its address, and the rows that came last.

    Attributes
    ----------
    rows: as of the question "heads".
    """

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.spans: dict[str, deque[Span]] = {}

    def add(self, answer: Iterable[Mapping[str, Any]], now: float) -> None:
        """The heads as they are now."""
        self.rows = sorted(answer, key=lambda row: str(row["address"]))
        for row in self.rows:
            spans = self.spans.setdefault(row["address"], deque())
            last = spans[-1] if spans else None
            on = last is not None and now - last.end < GAP_S
            if last is not None and on and (last.state, last.term) == (row["state"], row["term"]):
                last.end = now
            else:
                if last is not None and on:
                    last.end = now
                spans.append(Span(now, now, row["state"], row["term"]))
        for address, spans in list(self.spans.items()):
            while spans and spans[0].end < now - SPAN_S:
                spans.popleft()
            if not spans:
                del self.spans[address]

    def seen(self, now: float) -> HeadStrips:
        return self
