"""A notebook's own cluster: it waits for the next kernel when this one is restarted, and ends when it is shut down."""

from __future__ import annotations

import rustray
from rustray.driver.connecting import init_again
from rustray.jupyter.notebook import grace_s, is_restarting, notebook_path


def open_own(num_cpus: float | None = None, new: bool = False) -> bool:
    """Connect this notebook to the cluster that its kernel before has left, or to a new one.

    Parameters
    ----------
    num_cpus: of a new one; counted if not given.
    new: let the one alone that was left: it ends by itself.

    Returns whether it is the one that was left.

    Raises
    ------
    ClusterStartError: none could be started. SessionError: this process is connected already.
    """
    notebook = notebook_path()
    if not notebook:
        rustray.init("local", num_cpus=num_cpus)
        return False
    return init_again(notebook, num_cpus, grace_s(), is_restarting, new)
