"""IPython's shell in a worker, as far as displays need one. Imported when the user's code has imported IPython."""

from __future__ import annotations

from typing import Any

from IPython.core.displaypub import DisplayPublisher
from IPython.core.events import EventManager, available_events
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import SingletonConfigurable

from rustray.worker.displays import Publish


class TaskPublisher(DisplayPublisher):
    """Sends displays to the cell."""

    def __init__(self, publish: Publish) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._send = publish

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *_source: Any,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_others: Any,
    ) -> None:
        """See IPython."""
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self._send("update_display_data" if update else "display_data", content)

    def clear_output(self, wait: bool = False) -> None:
        """See IPython."""
        self._send("clear_output", {"wait": wait})


class TaskShell(InteractiveShell):
    """Has formatters and a publisher, and none of what makes IPython's shell: no history, no hooks, no magics."""

    def __init__(self, publish: Publish) -> None:
        SingletonConfigurable.__init__(self)
        self.user_ns: dict[str, Any] = {}
        self.events = EventManager(self, available_events)
        self.display_formatter = DisplayFormatter(parent=self)
        self.display_pub = TaskPublisher(publish)
        # In the kinds that the notebook wants, which go from task to task.
        self.display_formatter.mimebundle_formatter.for_type_by_name("matplotlib.figure", "Figure", _images)

    def enable_gui(self, gui: str | None = None) -> None:
        """There is none."""

    @classmethod
    def install(cls, publish: Publish) -> None:
        """Make it the shell that `get_ipython()` and `display()` find."""
        shell: Any = cls(publish)
        for kind in (cls, InteractiveShell):
            kind._instance = shell


def _images(figure: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    from rustray.worker.plots import images

    return images(figure)
