"""Questions of clients, led to who answers them: at once, or when what they ask for is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rustray.driver import failures
from rustray.errors import OptionError, RustRayError
from rustray.head.node_links import NodeLinks

log = logging.getLogger(__name__)

Answered = Callable[[bool, Any], None]


class Questions:
    """See the module.

    Parameters
    ----------
    queries: each question is a method of one of them, whose result is the answer.
    parts: each question is a method `ask_<question>` of one of them, which calls back.
    """

    def __init__(self, nodes: NodeLinks, queries: Sequence[object], parts: Sequence[object]) -> None:
        self._nodes = nodes
        self._queries = queries
        self._parts = parts

    def on_query(self, _node: str, client: int, request: int, what: str, args: tuple[Any, ...]) -> None:
        """A client asks."""

        def answered(ok: bool, value: Any) -> None:
            self._nodes.to_client(client, ("answer", client, request, ok, value))

        self.ask(what, args, answered)

    def ask(self, what: str, args: Iterable[Any], answered: Answered) -> None:
        """Answer a question: answered(True, plain value) or answered(False, packed error), at once or when what it
        asks for is committed."""
        try:
            for part in self._parts:
                if (submit := getattr(part, f"ask_{what}", None)) is not None:
                    submit(answered, *args)
                    return
            found = (getattr(part, what, None) for part in self._queries if not what.startswith("_"))
            answer = next(filter(None, found), None)
            if answer is None:
                raise OptionError(f"The cluster cannot be asked for {what!r}.")
            value = answer(*args)
        except RustRayError as error:
            answered(False, failures.typed(error))
            return
        except (TypeError, ValueError) as error:
            # Arguments of a wrong kind, or a defect of ours: who asks is told, and does not wait for ever.
            log.warning("the question %r is refused", what, exc_info=error)
            told = f"The question {what!r} cannot be answered: {type(error).__name__}: {error}."
            answered(False, failures.typed(OptionError(told)))
            return
        answered(True, value)
