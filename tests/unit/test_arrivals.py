"""Cells that a keeper is asked about before they have come."""

from __future__ import annotations

import asyncio

from rustray.jupyter.arrivals import Arrivals


def test_who_gives_up_does_not_take_the_others_along() -> None:
    async def run() -> None:
        arrivals = Arrivals()
        patient = asyncio.ensure_future(arrivals.wait("cell", 30.0))
        await arrivals.wait("cell", 0.01)
        assert not patient.done()
        assert arrivals.come("cell")
        await asyncio.wait_for(patient, 5.0)

    asyncio.run(run())


def test_a_cell_that_was_stopped_before_it_came_is_not_to_run() -> None:
    arrivals = Arrivals()
    arrivals.refuse("one")
    assert not arrivals.come("one")
    assert arrivals.come("other")


def test_a_cell_that_comes_before_anybody_asks_may_run() -> None:
    assert Arrivals().come("cell")


def test_nobody_waits_for_a_cell_that_is_not_to_run() -> None:
    async def run() -> None:
        arrivals = Arrivals()
        waiting = asyncio.ensure_future(arrivals.wait("cell", 30.0))
        await asyncio.sleep(0)
        arrivals.refuse("cell")
        await asyncio.wait_for(waiting, 5.0)
        assert arrivals.is_refused("cell")

    asyncio.run(run())
