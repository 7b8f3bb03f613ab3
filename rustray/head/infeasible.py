"""What is told of a class that no node of the cluster could ever run."""

from __future__ import annotations

from rustray.scheduler.actions import Infeasible


def infeasible_text(action: Infeasible) -> str:
    """Why, and what to do; to follow "... can never be scheduled: "."""
    if not action.missing:
        return f"{action.reason}. Ask for another place, or none in particular."
    where = f" {action.reason}" if action.reason else ""
    return (
        f"no node can ever have what it asks for. Missing{where}: {amounts_text(action.missing)}; the closest "
        f"{'bundle' if 'placement group' in where else 'node'} has {amounts_text(action.have) or 'nothing'}. Ask for "
        "less, or add a node that has it."
    )


def amounts_text(amounts: dict[str, float]) -> str:
    """Amounts for people: "2 CPU, 16.5 GiB memory"."""
    return ", ".join(
        f"{amount / 2**30:.3g} GiB memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in amounts.items()
    )
