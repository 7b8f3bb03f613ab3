"""Which clusters can be asked."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rustray import clusters
from rustray.errors import SessionError
from rustray_jupyter.clusters import connect


@dataclass
class Fake:
    nodes: int
    busy: bool

    def contact(self) -> str:
        return "a contact"


@pytest.mark.parametrize(("nodes", "busy"), [(1, False), (1, True), (0, False)])
def test_a_cluster_that_is_up_is_asked(monkeypatch: pytest.MonkeyPatch, nodes: int, busy: bool) -> None:
    monkeypatch.setattr(clusters, "find", lambda _name: Fake(nodes, busy))
    assert connect("c") == "a contact"


def test_for_one_that_comes_or_goes_no_gateway_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "find", lambda _name: Fake(0, busy=True))
    with pytest.raises(SessionError, match="'c' is being started or stopped"):
        connect("c")
