"""A task that several tests submit."""

from __future__ import annotations

import rustray


@rustray.remote
def double(x):
    return x * 2
