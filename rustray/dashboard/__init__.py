"""Live dashboards. `show()` gives the one that `%rustray dashboard` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustray.errors import SessionError

if TYPE_CHECKING:
    from rustray.dashboard.live import Live


def show() -> Live:
    """A live view of the cluster, as the value of a notebook cell. The one shown before stops moving.

    Raises SessionError when there is no cluster, or what draws it is not installed.
    """
    try:
        from rustray.dashboard import live
    except ImportError as error:
        raise SessionError(
            f"The dashboard needs {error.name}: pip install 'rustray[jupyter]', then restart the kernel."
        ) from error
    return live.show()
