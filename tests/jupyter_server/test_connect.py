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
    state: str

    def contact(self) -> str:
        return "a contact"


@pytest.mark.parametrize(("nodes", "state"), [(1, "running"), (1, "broken"), (0, "running")])
def test_a_cluster_that_is_up_is_asked(monkeypatch: pytest.MonkeyPatch, nodes: int, state: str) -> None:
    monkeypatch.setattr(clusters, "find", lambda _name: Fake(nodes, state))
    assert connect("c") == "a contact"


@pytest.mark.parametrize("state", ["starting", "broken", "stopped"])
def test_for_one_that_comes_or_goes_no_gateway_is_started(
    monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(clusters, "find", lambda _name: Fake(0, state))
    with pytest.raises(SessionError, match="'c' is being started or stopped"):
        connect("c")
