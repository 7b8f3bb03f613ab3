"""A matplotlib backend for workers: figures are drawn without a screen and shown by the cell that submitted the task.

`plt.show()` shows and closes what the task has open, and so does its end, as in a notebook's cell.
"""

from __future__ import annotations

import io
from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from rustray.worker import displays
from rustray.worker.context import Running, running


class FigureManager(FigureManagerBase):
    """Knows which task has made the figure; calls of an actor may run beside each other."""

    def __init__(self, canvas: Any, num: Any) -> None:
        super().__init__(canvas, num)
        self.task = running.get()

    def show(self) -> None:
        """`figure.show()`."""
        _publish(self.canvas.figure, None)

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        """`plt.show()`."""
        show_open(running.get())


class FigureCanvas(FigureCanvasAgg):
    """Draws into memory."""

    manager_class = FigureManager


def show_open(task: Running | None) -> None:
    """Show and close the figures of `task`, and those of threads that belong to none."""
    for manager in Gcf.get_all_fig_managers():
        if isinstance(manager, FigureManager) and (manager.task is None or manager.task == task):
            Gcf.destroy(manager)
            _publish(manager.canvas.figure, task)


def png(figure: Any) -> bytes:
    """The figure as a PNG image, its empty margins cut off."""
    image = io.BytesIO()
    figure.savefig(image, format="png", bbox_inches="tight", dpi=figure.dpi)
    return image.getvalue()


def _publish(figure: Any, task: Running | None) -> None:
    if not figure.get_children()[1:]:
        return  # nothing is in it
    data = {"text/plain": repr(figure), "image/png": png(figure)}
    displays.publish("display_data", {"data": data, "metadata": {}, "transient": {}}, task)
