"""`%rustray cancel`: a ref or several, a task by its id, or all that the notebook has submitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rustray
from rustray.driver.generator import ObjectRefGenerator
from rustray.driver.refs import ObjectRef
from rustray.errors import OptionError
from rustray.jupyter.console.looking import check_cluster
from rustray.model.quantities import counted


def cancel(evaluate: Callable[[str], Any], what: str = "", all: bool = False) -> None:
    """Cancel tasks, and say how many."""
    check_cluster("cancel")
    if all == bool(what):
        raise OptionError("%rustray cancel needs a ref, a list of refs, or a task's id; or else --all.")
    if all:
        print(f"RustRay: {rustray.cancel_all()}.")
        return
    found = evaluate(what)
    refs = list(found) if isinstance(found, list | tuple | set) else [found]
    for ref in refs:
        if not isinstance(ref, ObjectRef | ObjectRefGenerator | str):
            raise OptionError(f"%rustray cancel: {what} is a {type(ref).__name__}, and no ref.")
    for ref in refs:
        try:
            rustray.cancel(ref)
        except ValueError as error:
            raise OptionError(f"%rustray cancel: {error}") from None
    print(f"RustRay: {counted(len(refs), 'task')} cancelled, where not ended before.")
