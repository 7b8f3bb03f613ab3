"""Tasks that several tests submit."""

from __future__ import annotations

import rustray

CPUS = 2
BIG = 200_000  # bytes: beyond what travels inline


@rustray.remote
def echo(*args, **kwargs):
    return (args, kwargs) if kwargs else args[0] if len(args) == 1 else args


@rustray.remote
def add(a, b=0):
    return a + b


@rustray.remote
def hold(gate, value=None):
    """Not over before the test opens the gate."""
    gate.wait()
    return value
