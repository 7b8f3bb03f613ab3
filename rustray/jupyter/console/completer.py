"""Completion of magics' lines in IPython, and so in every front end that asks a kernel.

A matcher of the kind that IPython has since 8.6; in an older one there is no completion.
"""

from __future__ import annotations

import re
from typing import Any

from rustray.jupyter import actor_magic, remote_magic
from rustray.jupyter.console import live_names
from rustray.jupyter.console.commands import COMMANDS
from rustray.jupyter.console.completion import cell_magic_options, complete, split

OF_CELLS = {"remote": remote_magic.OPTIONS, "actor": actor_magic.OPTIONS}
_LINE = re.compile(r"\s*(?:[A-Za-z_][\w, ]*=\s*)?%rustray\s+(.*)")
_PRIORITY = 1000
"""Above IPython's own matchers, which know nothing of our lines."""


def attach(shell: Any) -> None:
    """Complete the lines of our magics in this shell."""
    matchers = _matchers(shell)
    try:
        from IPython.core.completer import SimpleCompletion, context_matcher
    except ImportError:
        return  # an older one
    if matchers is None:
        return  # a shell without completion

    @context_matcher(identifier=__name__, priority=_PRIORITY)  # type: ignore[untyped-decorator]
    def match(context: Any) -> dict[str, Any]:
        found = _candidates(context, shell.user_ns)
        if found is None:
            return {"completions": [], "suppress": False}
        fragment = split(context.text_until_cursor)[1]
        shown = [SimpleCompletion(text=text, type="keyword") for text in found]
        return {"completions": shown, "matched_fragment": fragment, "ordered": True, "suppress": True}

    detach(shell)
    matchers.append(match)


def detach(shell: Any) -> None:
    """Complete them no more."""
    matchers = _matchers(shell)
    if matchers is not None:
        matchers[:] = [
            matcher for matcher in matchers if getattr(matcher, "matcher_identifier", "") != __name__
        ]


def _matchers(shell: Any) -> list[Any] | None:
    return getattr(getattr(shell, "Completer", None), "custom_matchers", None)


def _candidates(context: Any, space: dict[str, Any]) -> list[str] | None:
    """None where the cursor is not on a line of ours."""
    if context.cursor_line == 0:
        found = cell_magic_options(context.text_until_cursor, OF_CELLS)
        if found is not None:
            return found
    line = _LINE.fullmatch(context.text_until_cursor)
    if line is None:
        return None
    return complete(COMMANDS, line[1], lambda kind, typed: live_names.names(kind, space, typed))
