"""Live data: one loop a cluster that asks for what is looked at, while it is looked at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Protocol

from rustray.errors import RustRayError

Columns = dict[str, dict[str, Any]]
"""Of one panel: the columns of its sources, by name."""
Fetch = Callable[[Collection[str]], Awaitable[dict[str, Columns]]]
"""Gives what these panels have now; raises RustRayError."""


class View(Protocol):
    """Somebody who looks at panels of a cluster."""

    panels: list[str]

    @property
    def ready(self) -> bool:
        """Whether the last message has left; one that is slow misses some rather than fall behind."""

    def show(self, message: dict[str, Any]) -> None:
        """Take {panel: {source: columns}}."""

    def end(self, why: str) -> None:
        """There will be no more."""


class Live:
    """The loops of one Jupyter server.

    Parameters
    ----------
    source: of a cluster, from when somebody looks until nobody does.
    started: when the cluster of this name was started, None if there is none: another time means another cluster.
    every: seconds between two messages.
    """

    def __init__(
        self,
        source: Callable[[str], Fetch],
        started: Callable[[str], Awaitable[float | None]],
        every: float,
        log: logging.Logger,
    ) -> None:
        self._source = source
        self._started = started
        self._every = every
        self._log = log
        self._views: dict[str, set[View]] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    @property
    def watched(self) -> list[str]:
        """The clusters that somebody looks at."""
        return list(self._loops)

    def add(self, cluster: str, view: View) -> None:
        """Somebody looks from now on."""
        if self._closed:
            view.end("The Jupyter server is ending.")
            return
        self._views.setdefault(cluster, set()).add(view)
        if cluster not in self._loops:
            self._loops[cluster] = asyncio.create_task(self._run(cluster))
            self._loops[cluster].add_done_callback(self._on_ended)

    def remove(self, cluster: str, view: View) -> None:
        """Somebody looks no more. Harmless when told twice."""
        self._views.get(cluster, set()).discard(view)

    async def close(self) -> None:
        """End all of it, for good."""
        self._closed = True
        loops = list(self._loops.values())
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    def _on_ended(self, loop: asyncio.Task[None]) -> None:
        if not loop.cancelled() and (error := loop.exception()) is not None:
            self._log.error("Live data has ended", exc_info=error)

    async def _run(self, cluster: str) -> None:
        views = self._views[cluster]
        fetch = self._source(cluster)
        logged = ""
        try:
            started = await self._started(cluster)
            while views:
                try:
                    self._show(views, await fetch({panel for view in views for panel in view.panels}))
                    logged = ""
                except RustRayError as error:
                    if started is None or await self._started(cluster) != started:
                        raise _Gone(f"The cluster {cluster!r} has ended.") from error
                    # An election, say: the picture stands still meanwhile.
                    if str(error) != logged:  # once, not twice a second
                        logged = str(error)
                        self._log.info("No live data of the cluster %r: %s", cluster, error)
                await asyncio.sleep(self._every)
        except _Gone as gone:
            _end(views, str(gone))
        except Exception as error:  # a defect: told to who looks, and then in the log
            _end(views, f"Live data has failed; the Jupyter server's log says more. {type(error).__name__}: {error}")
            raise
        finally:
            del self._loops[cluster], self._views[cluster]

    def _show(self, views: set[View], columns: dict[str, Columns]) -> None:
        for view in views:
            if view.ready and columns.keys() >= set(view.panels):  # else it came meanwhile
                view.show({panel: columns[panel] for panel in view.panels})


def _end(views: Collection[View], why: str) -> None:
    for view in list(views):
        view.end(why)


class _Gone(Exception):
    pass
