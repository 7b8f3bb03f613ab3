"""`%rustray attach`: the cells of this notebook's earlier kernels, and their results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from rustray.driver import cells
from rustray.errors import OptionError, RustRayError
from rustray.jupyter.cell_card import card_html, card_text
from rustray.jupyter.cell_state import RUNNING, CellState, duration
from rustray.jupyter.console.opening import notebook_session
from rustray.jupyter.keeper_link import KeeperLink, other_keepers, shows


class Attached(Mapping[str, Any]):
    """The cells that were found: a mapping of their names to the refs of their values (of a `--map` lists of refs).

    Parameters
    ----------
    found: each cell with the keeper that has it, the oldest first.
    results: the refs of each, by its id; the value first, then the variables of `-o`.
    """

    def __init__(self, found: list[tuple[KeeperLink, CellState]], results: dict[str, list[Any]]) -> None:
        self._found = found
        self._results = results
        self._newest = {state.name: (link, state) for link, state in found}

    def __getitem__(self, name: str) -> Any:
        _link, state = self._newest[name]
        if state.cell not in self._results:
            raise KeyError(f"the results of {name} are not kept any more")
        return self._results[state.cell][0]

    def __iter__(self) -> Iterator[str]:
        return (name for name, (_link, state) in self._newest.items() if state.cell in self._results)

    def __len__(self) -> int:
        return sum(1 for _name in self)

    def log(self, name: str) -> None:
        """Show what the cell has printed and displayed, its beginning left out where it is long."""
        if name not in self._newest:
            raise OptionError(f"No cell {name!r} was found; there are: {', '.join(self._newest) or 'none'}.")
        link, state = self._newest[name]
        show = shows(state.name if state.mapped else "")
        for kind, text, pid in link.log_of_cell(state.cell).entries:
            show(kind, text, pid)

    def __repr__(self) -> str:
        if not self._found:
            return "No cells of an earlier kernel of this notebook are kept."
        now = time.time()
        lines = []
        for _link, state in self._found:
            lines.append(card_text(state, now) + self._more(state, now))
            lines += [f"    {line}" for line in state.tail]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not self._found:
            return f"<div>{escape(repr(self))}</div>"
        now = time.time()
        parts = []
        for _link, state in self._found:
            tail = escape("\n".join(state.tail))
            text = f'<pre style="margin:0 0 0 1.2em;opacity:.8">{tail}</pre>' if tail else ""
            parts.append(f"{card_html(state, now)}<small>{escape(self._more(state, now))}</small>{text}")
        return f"<div>{''.join(parts)}</div>"

    def _more(self, state: CellState, now: float) -> str:
        ago = "" if state.ended is None else f", {duration(now - state.ended)} ago"
        names = ", ".join(state.wanted)
        return f"{ago}, gives {names}" if names else ago


def attach(shell: Any = None) -> Attached:
    """Find the cells of this notebook's earlier kernels, and give the notebook their results.

    The refs of their values are in `rustray_cells` by the cells' names; variables of `-o` are bound to refs too, where
    the notebook has none of that name. What running cells print appears from now on in the present cell.

    Parameters
    ----------
    shell: the notebook's; the one of this process if not given.

    Raises
    ------
    SessionError, ClusterStartError: there is no cluster.
    """
    shell = shell or cells.kernel_shell()
    found: list[tuple[KeeperLink, CellState]] = []
    results: dict[str, list[Any]] = {}
    for link in other_keepers(notebook_session()):
        try:
            for state in link.cells():
                if not state.kept and state.how != RUNNING:
                    continue  # the kernel that has waited for it has shown it
                found.append((link, state))
                if state.kept:
                    rows = link.results(state.cell)
                    results[state.cell] = [list(column) for column in zip(*rows, strict=True)]
                    if not state.mapped:
                        results[state.cell] = [column[0] for column in results[state.cell]]
                if state.how == RUNNING:
                    link.follow(state.cell, state.name, named=True, wants_results=False)
        except RustRayError as error:
            print(f"rustray: a keeper of an earlier kernel does not answer: {error}")
    found.sort(key=lambda item: item[1].started)
    attached = Attached(found, results)
    if shell is not None:
        _bind(shell.user_ns, attached, found, results)
    return attached


def _bind(
    space: dict[str, Any],
    attached: Attached,
    found: list[tuple[KeeperLink, CellState]],
    results: dict[str, list[Any]],
) -> None:
    space.setdefault("rustray_cells", {}).update(attached)
    for _link, state in reversed(found):
        for name, ref in zip(state.wanted, results.get(state.cell, [])[1:], strict=False):
            space.setdefault(name, ref)
