"""Keeps what was learned of functions from one cluster to the next, in a file of this user.

$RUSTRAY_STATE_DIR, else $XDG_STATE_HOME/rustray, else ~/.local/state/rustray has ``predictions.json`` (0600). Clusters
that run at once share it: each reads it before it writes, and of each function what was seen last stays. A cluster that
may not write there does without.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import tempfile
from typing import Any

from rustray.file_lock import locked
from rustray.head.forecasts import Forecasts
from rustray.scheduler.prediction import Predictions

log = logging.getLogger(__name__)

SAVE_EVERY_S = 30.0
LOCK_S = 1.0
"""Seconds to wait for another cluster that writes."""
MAX_FILE_BYTES = 32 << 20
NAME = "predictions.json"


class PredictionFile:
    """The file behind the estimates of one head.

    Parameters
    ----------
    folder: where it lies; `state_folder()` if not given.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, forecasts: Forecasts, folder: str | None = None
    ) -> None:
        self._loop = loop
        self._forecasts = forecasts
        self._folder = state_folder() if folder is None else folder
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self) -> None:
        """Read the file in a thread of its own, so that nobody waits for it, and write it now and then."""
        reading = self._loop.run_in_executor(None, read, self._folder)
        reading.add_done_callback(self._on_read)
        self._timer = self._loop.call_later(SAVE_EVERY_S, self._save_later)

    def _on_read(self, reading: asyncio.Future[dict[str, Any]]) -> None:
        if not self._stopped and not reading.cancelled():
            self._forecasts.learn(reading.result())

    def _save_later(self) -> None:
        changed = self._forecasts.predictions.take_changed()
        if changed is not None:
            self._loop.run_in_executor(None, save, self._folder, changed)
        self._timer = self._loop.call_later(SAVE_EVERY_S, self._save_later)

    def stop(self) -> None:
        """Write what is not written yet. Blocks for a moment."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        changed = self._forecasts.predictions.take_changed()
        if changed is not None:
            save(self._folder, changed)


def state_folder() -> str:
    """Where this user's programs keep what they have learned (XDG Base Directory Specification, XDG_STATE_HOME)."""
    chosen = os.environ.get("RUSTRAY_STATE_DIR")
    if chosen:
        return chosen
    home = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(home, "rustray")


def read(folder: str) -> dict[str, Any]:
    """What the file has; {} if there is none, or nothing of use in it."""
    try:
        with open(os.path.join(folder, NAME), "rb") as file:
            kept = json.loads(file.read(MAX_FILE_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.info("the predictions of earlier runs in %s cannot be read: %s", folder, error)
        return {}
    return kept if isinstance(kept, dict) else {}


def save(folder: str, changed: dict[str, Any]) -> None:
    """Merge into the file what has changed (`Predictions.take_changed`), all at once for its readers."""
    if not os.path.isabs(folder):  # of the server's own working directory nobody thinks
        log.info("predictions are not kept: %s is no absolute path", folder)
        return
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with locked(os.path.join(folder, NAME + ".lock"), LOCK_S):  # what is lost otherwise is an estimate
            predictions = Predictions()
            predictions.merge(read(folder))
            predictions.merge(changed)
            _replace(folder, json.dumps(predictions.to_dict(), separators=(",", ":")))
    except OSError as error:
        log.info("predictions are not kept: %s", error)


def _replace(folder: str, text: str) -> None:
    fd, new = tempfile.mkstemp(prefix=NAME, dir=folder)  # for this user alone
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
        os.replace(new, os.path.join(folder, NAME))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
