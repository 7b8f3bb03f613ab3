"""How it is said, everywhere, that no node of a cluster which may grow has what somebody waits for."""

from __future__ import annotations

from collections.abc import Mapping

from rustray.model.quantities import amounts


def lacking_text(missing: Mapping[str, float], reason: str) -> str:
    """As "no node of the cluster has what it needs (missing: 1 GPU); it waits for one to join".

    Parameters
    ----------
    missing, reason: as `scheduler.status.explain` gives them of what is infeasible.
    """
    told = reason
    if missing:
        told = f"missing{f' {reason}' if reason else ''}: {amounts(missing)}"
    return f"no node of the cluster has what it needs{f' ({told})' if told else ''}; it waits for one to join"
