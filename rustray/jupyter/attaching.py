"""`%rustray attach`: the cells of this notebook's earlier kernels, and their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import rustray.clusters
from rustray.driver import cells
from rustray.errors import OptionError, RustRayError
from rustray.jupyter.cell_card import CellCard
from rustray.jupyter.cell_state import RUNNING, CellState
from rustray.jupyter.console import opening
from rustray.jupyter.console.opening import notebook_session
from rustray.jupyter.keeper_link import KeeperLink, other_keepers, shows
from rustray.jupyter.named_cells import named_cells

Found = tuple[KeeperLink, CellState]


class Attached(Mapping[str, Any]):
    """The cells that were found: a mapping of their names to the refs of their values (of a `--map` lists of refs).

    Of several cells of one name the newest has it; the others have numbers, the oldest one "fit#1".

    Shown in a notebook, each has a card that moves.

    Parameters
    ----------
    found: each cell with the keeper that has it, the oldest first.
    results: the refs of each, by its id; the value first, then the variables of `-o`.
    others: the clusters that run beside this one, where cells may be of which none were found here.
    """

    def __init__(self, found: list[Found], results: dict[str, list[Any]], others: Sequence[str] = ()) -> None:
        self._results = results
        self._others = others
        self._found = dict(zip(labels([state.name for _link, state in found]), found, strict=True))
        self._cards = {label: CellCard(state, label, True) for label, (_link, state) in self._found.items()}

    def __getitem__(self, name: str) -> Any:
        _link, state = self._found[name]
        if state.cell not in self._results:
            raise KeyError(f"the results of {name} are not kept any more")
        return self._results[state.cell][0]

    def __iter__(self) -> Iterator[str]:
        return (name for name, (_link, state) in self._found.items() if state.cell in self._results)

    def __len__(self) -> int:
        return sum(1 for _name in self)

    def log(self, name: str) -> None:
        """Show what the cell has printed and displayed, its beginning left out where it is long."""
        if name not in self._found:
            raise OptionError(f"No cell {name!r} was found; there are: {', '.join(self._found) or 'none'}.")
        link, state = self._found[name]
        show = shows(state.name if state.mapped else "")
        for kind, text, pid in link.log_of_cell(state.cell).entries:
            show(kind, text, pid)

    def __repr__(self) -> str:
        if not self._found:
            told = "No cells of an earlier kernel of this notebook are kept."
            if self._others:
                names = ", ".join(self._others)
                told += f" Other clusters run: {names}. For one: %rustray shutdown, %rustray init NAME."
            return told
        return "\n".join(map(repr, self._cards.values()))

    def _ipython_display_(self) -> None:
        if cells.kernel_shell() is None or not self._found:
            print(self)
            return
        for label, (link, _state) in self._found.items():
            card = self._cards[label]
            card.display()
            if card.state.ended is None:
                link.news.show(card)


def labels(names: list[str]) -> list[str]:
    """Each its own: the last of several equal names stays as it is, those before it are numbered from 1 on."""
    left, begun = Counter(names), Counter[str]()
    told = []
    for name in names:
        left[name] -= 1
        begun[name] += 1
        told.append(f"{name}#{begun[name]}" if left[name] else name)
    return told


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
    found: list[Found] = []
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
    attached = Attached(found, results, () if found else _other_clusters())
    if shell is not None:
        _bind(shell.user_ns, attached, found, results)
    return attached


def _other_clusters() -> list[str]:
    here = opening.attached()
    lasting = [cluster.name for cluster in rustray.clusters.list() if cluster.heads]
    return [name for name in lasting if here is None or name != here.name]


def _bind(
    space: dict[str, Any],
    attached: Attached,
    found: list[Found],
    results: dict[str, list[Any]],
) -> None:
    named_cells(space).update(attached)
    for _link, state in reversed(found):
        for name, ref in zip(state.wanted, results.get(state.cell, [])[1:], strict=False):
            space.setdefault(name, ref)
