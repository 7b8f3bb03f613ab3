"""A matplotlib backend for workers: figures are drawn without a screen and shown by the cell that submitted the task.

`plt.show()` shows and closes what the task has open, and so does its end, as in a notebook's cell.
"""

from __future__ import annotations

import io
import struct
from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from rustray.worker import displays, figure_style
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


_KINDS = {
    "png": ("image/png", "png"),
    "retina": ("image/png", "png"),
    "jpeg": ("image/jpeg", "jpeg"),
    "jpg": ("image/jpeg", "jpeg"),
    "svg": ("image/svg+xml", "svg"),
    "pdf": ("application/pdf", "pdf"),
}
"""Kind and matplotlib's format of each that a notebook may ask for."""


def images(figure: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figure by kind of image, as the notebook wants it, and their metadata; also "png2x" is "retina"."""
    style = figure_style.present()
    data: dict[str, Any] = {"text/plain": repr(figure)}
    metadata: dict[str, Any] = {}
    for name in style.formats:
        retina = name in ("retina", "png2x")
        kind, form = _KINDS["retina" if retina else name]
        image = io.BytesIO()
        options = {"dpi": figure.dpi, **style.printing}
        figure.savefig(image, **options | {"format": form, "dpi": options["dpi"] * (2 if retina else 1)})
        if form == "svg":
            data[kind] = image.getvalue().decode()
            continue
        data[kind] = image.getvalue()
        if retina:
            width, height = struct.unpack(">II", data[kind][16:24])  # of PNG's first chunk
            metadata[kind] = {"width": width // 2, "height": height // 2}
    return data, metadata


def _publish(figure: Any, task: Running | None) -> None:
    if not figure.get_children()[1:]:
        return  # nothing is in it
    data, metadata = images(figure)
    displays.publish("display_data", {"data": data, "metadata": metadata, "transient": {}}, task)
