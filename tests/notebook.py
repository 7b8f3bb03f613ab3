"""A kernel, and what its cells have shown, each by the request that ran it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[1]
CELL_S = 90.0


@dataclass
class Shown:
    """What one cell has shown; `cards` has the last text of each display that moves, `displays` the data of others.

    `order` has the types of the messages, in the order in which they came.
    """

    text: dict[str, str] = field(default_factory=lambda: {"stdout": "", "stderr": ""})
    value: str | None = None
    error: str = ""
    kind: str = ""
    cards: dict[str, str] = field(default_factory=dict)
    html: dict[str, str] = field(default_factory=dict)
    displays: list[dict[str, Any]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)


class Notebook:
    """See the module.

    Parameters
    ----------
    environment: variables of the kernel beside those of this process.
    """

    def __init__(self, **environment: str) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(
            extra_arguments=["--log-level=ERROR"], cwd=str(ROOT), env={**os.environ, **environment}
        )
        self.shown: dict[str, Shown] = {}
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=CELL_S)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel()

    def restart(self, crash: bool = False) -> None:
        """Start the kernel again, as the button does; or as after it was killed."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=crash)
        self._connect()

    def interrupt(self) -> float:
        """Press the stop button; gives the time in monotonic seconds."""
        self.manager.interrupt_kernel()
        return time.monotonic()

    def start(self, source: str) -> str:
        """Send a cell off; gives its id."""
        cell: str = self.client.execute(source)
        self.shown[cell] = Shown()
        return cell

    def finish(self, cell: str) -> Shown:
        """What `cell` has shown when it has ended."""
        self.read(lambda message: message["msg_type"] == "status" and is_idle(message, cell))
        return self.shown[cell]

    def run(self, source: str) -> Shown:
        return self.finish(self.start(source))

    def read_text(self, text: str) -> None:
        """Take messages until one of them has this text."""
        self.read_texts(text)

    def read_texts(self, *texts: str) -> None:
        """Take messages until each of these has come, in whatever order."""
        missing = set(texts)

        def is_last(message: dict[str, Any]) -> bool:
            missing.difference_update([one for one in missing if one in message["content"].get("text", "")])
            return not missing

        self.read(is_last)

    def read(self, until: Callable[[dict[str, Any]], bool]) -> None:
        """Take messages until one of them is what is waited for."""
        deadline = time.monotonic() + CELL_S
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            self._take(message)
            if until(message):
                return

    def _take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        at = self.shown.get(message["parent_header"].get("msg_id", ""))
        display = content.get("transient", {}).get("display_id")
        if message["msg_type"] == "update_display_data":
            # Front ends find it by its id, whichever cell has sent it.
            at = next((shown for shown in self.shown.values() if display in shown.cards), None)
        if at is None:
            return
        at.order.append(message["msg_type"])
        if message["msg_type"] == "stream":
            at.text[content["name"]] += content["text"]
        elif display:
            at.cards[display] = content["data"]["text/plain"]
            at.html[display] = content["data"].get("text/html", "")
        elif message["msg_type"] in ("execute_result", "display_data"):
            at.value = content["data"]["text/plain"]
            if message["msg_type"] == "display_data":
                at.displays.append(content["data"])
        elif message["msg_type"] == "error":
            at.kind, at.error = content["ename"], "\n".join(content["traceback"])


def is_idle(message: dict[str, Any], cell: str) -> bool:
    """Whether the message says that the kernel is done with the cell."""
    return message["content"]["execution_state"] == "idle" and message["parent_header"]["msg_id"] == cell
