"""How busy the machine's GPUs are, where it has any: by NVIDIA's library, or else by its command."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
COMMAND_S = 5.0
"""Seconds that the command may take: it may have to wake the driver."""
COMMAND = (
    "nvidia-smi",
    "--query-gpu=index,utilization.gpu,memory.used,memory.total",
    "--format=csv,noheader,nounits",
)

Row = dict[str, Any]
"""One GPU: "index", "utilisation" (percent), "memory" and "memory_total" (bytes)."""
Look = Callable[[], list[Row]]


def by_library() -> Look:
    """Raises ImportError, or the library's own error, where it is not there or finds no driver."""
    import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]

    pynvml.nvmlInit()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]

    def look() -> list[Row]:
        rows = []
        for index, handle in enumerate(handles):
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            busy = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            rows.append(_row(index, busy, int(memory.used), int(memory.total)))
        return rows

    return look


def by_command() -> list[Row]:
    """Raises OSError or SubprocessError where there is none; ValueError where it says something else than numbers."""
    told = subprocess.run(COMMAND, capture_output=True, text=True, timeout=COMMAND_S, check=True).stdout
    rows = []
    for line in told.splitlines():
        index, busy, used, total = (float(field) for field in line.split(","))
        rows.append(_row(int(index), busy, int(used) << 20, int(total) << 20))
    return rows


def _row(index: int, busy: float, used: int, total: int) -> Row:
    return {"index": index, "utilisation": busy, "memory": used, "memory_total": total}


class GpuUsage:
    """Looks every two seconds in a thread of its own, for a look may take long. Without a GPU it ends at once.

    Attributes
    ----------
    rows: as last seen; [] without a GPU.
    """

    def __init__(self, library: Callable[[], Look] = by_library, command: Look = by_command) -> None:
        self.rows: list[Row] = []
        self._library = library
        self._command = command
        self._stopped = threading.Event()

    def start(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._run, name="rustray-gpus", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self) -> None:
        look = self._first_look()
        while look is not None and self.rows and not self._stopped.wait(LOOK_EVERY_S):
            try:
                self.rows = look()
            except Exception:
                log.exception("the GPUs cannot be looked at any more")
                self.rows = []

    def _first_look(self) -> Look | None:
        """The way that works here, after one look."""
        for find in (self._library, lambda: self._command):
            began = time.monotonic()
            try:
                look = find()
                self.rows = look()
            except Exception as error:
                # No library, no driver, no GPU: each says it with an error of its own.
                log.debug("no GPUs this way: %s (%.1f s)", error, time.monotonic() - began)
                continue
            return look
        return None
