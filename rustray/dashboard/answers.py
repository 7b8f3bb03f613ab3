"""What the cluster has answered, as the tables of the panels need it."""

from __future__ import annotations

from typing import Any

from rustray.model.colours import Colours


class Answers(dict[str, Any]):
    """By question: rows, the samples of the last minutes, or what a reader of `feed` has made of many answers.

    Attributes
    ----------
    colours, node_colours: of functions and of nodes, the same in all panels.
    """

    def __init__(self, colours: Colours, node_colours: Colours) -> None:
        super().__init__()
        self.colours = colours
        self.node_colours = node_colours


class Reader:
    """What the answers to one question become."""

    def arguments(self, now: float) -> tuple[Any, ...]:
        """To ask with. `now` is in seconds since the epoch, here and below."""
        return ()

    def add(self, answer: Any, now: float) -> None:
        """It was answered."""
        raise NotImplementedError

    def seen(self, now: float) -> Any:
        """What the tables get."""
        raise NotImplementedError


class Latest(Reader):
    """The last answer as it is."""

    def __init__(self) -> None:
        self._answer: Any = None

    def add(self, answer: Any, now: float) -> None:
        self._answer = answer

    def seen(self, now: float) -> Any:
        return self._answer
