"""Live panels of a cluster, in a notebook.

rustray.dashboard()                      # resources, progress and tasks
rustray.dashboard("tasks", "nodes")      # those; `rustray.dashboard.PANELS` has all, by name

The package itself can be called, so it is `import rustray.dashboard` and the function in one.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from rustray.dashboard.panels import DEFAULT, PANELS, check
from rustray.errors import SessionError

if TYPE_CHECKING:
    from rustray.dashboard.widget import Dashboard

__all__ = ["PANELS", "show"]


def show(*panels: str) -> Dashboard:
    """Live panels as the value of a notebook cell. They move, also while the kernel waits, as long as somebody looks.

    Parameters
    ----------
    panels: names in PANELS, in the order in which they are shown; none for resources, progress and tasks.

    Raises
    ------
    OptionError: there is no such panel. SessionError: there is no cluster, or what draws panels is not installed.
    """
    check(panels)
    try:
        from rustray.dashboard import widget
    except ImportError as error:
        raise SessionError(
            f"The dashboard needs {error.name}: pip install 'rustray[jupyter]', then restart the kernel."
        ) from error
    return widget.show(list(dict.fromkeys(panels or DEFAULT)))


class _Callable(ModuleType):
    def __call__(self, *panels: str) -> Dashboard:
        return show(*panels)


_Callable.__call__.__doc__ = show.__doc__
sys.modules[__name__].__class__ = _Callable
