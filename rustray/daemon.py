"""What the processes of a cluster have in common: settings on standard input, a log, signals, the word to the starter.

The starter (`rustray.driver.launch`) waits for one line on standard output: "ready", or "error" with the error as JSON.

asyncio is imported when a process begins to live, so that the zygote, which is forked before, does without.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import signal
import sys
from typing import Any

from rustray.driver import descriptors
from rustray.driver.registry import remove_folder, update_connection_file
from rustray.errors import RustRayError
from rustray.pids import call_this_process

COLLECT_AFTER = (50_000, 20, 50)
"""Thresholds of the cycle collector. Python's own, 700 objects, have it look through the books of a scheduler of 1,000
nodes again and again, 6 to 15 % of a decision's time (`benchmarks/scale.py`), and these books have hardly a cycle."""
END_ROUNDS = 3
"""The end of a task may be answered with another: that of a channel with a new dial."""
LIFELINE = 0
"""Standard input: who has started this process keeps the other end open while it is to live."""


def read_settings() -> dict[str, Any]:
    """The settings, which the starter has written to standard input."""
    line = b""
    while not line.endswith(b"\n"):  # byte by byte: what comes after the line is not for a buffer of ours
        piece = os.read(LIFELINE, 1)
        if not piece:
            sys.exit("this is started by rustray, which writes the settings to its standard input")
        line += piece
    settings: dict[str, Any] = json.loads(line)
    return settings


class Daemon:
    """A process of a cluster: `begin` until it is ready, then events, then `end`.

    Parameters
    ----------
    settings: one of the settings of `driver.launch`, as a dict.
    role: names the log.
    """

    def __init__(self, settings: dict[str, Any], role: str) -> None:
        import asyncio

        self.settings = settings
        self.folder: str = settings["folder"]
        self.stopping = False
        self.failed = False
        self._role = role
        self._ready = False
        self._unregistered = False
        self._leaves_word = False
        logging.basicConfig(
            filename=os.path.join(self.folder, "logs", f"{role}.log"),
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self._stop = asyncio.Event()

    async def begin(self) -> None:
        """Everything until `tell_ready`, and what follows at once. A RustRayError is told to the starter."""
        raise NotImplementedError

    async def end(self) -> None:
        """Let go of everything; also after a `begin` that has failed half-way."""
        raise NotImplementedError

    def run(self) -> None:
        """Live until told to stop; then exit, with status 1 if this is a failure."""
        call_this_process(f"rustray-{self._role}")
        gc.set_threshold(*COLLECT_AFTER)
        faulthandler.enable()
        descriptors.raise_limit()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._on_signal, number)
        if self.settings.get("lifeline"):
            self.loop.add_reader(LIFELINE, self._on_lifeline)
        try:
            self.loop.run_until_complete(self._live())
        finally:
            self.loop.run_until_complete(self._end_tasks())
            self.loop.close()
            # Its starter, or who looks for the cause, reads what is there.
            if self._ready and not self.failed and not self._leaves_word:
                remove_folder(self.folder)
        sys.exit(1 if self.failed else 0)

    async def _live(self) -> None:
        import asyncio

        beginning = self.loop.create_task(self.begin())
        stopped = self.loop.create_task(self._stop.wait())
        try:
            await asyncio.wait((beginning, stopped), return_when=asyncio.FIRST_COMPLETED)
            if beginning.done():
                await beginning
                await stopped
        except RustRayError as error:
            logging.error("%s could not start: %s", self._role, error)
            self.failed = True
            self._tell(f"error {json.dumps((type(error).__name__, str(error)))}")
        except BaseException:
            logging.exception("%s has failed", self._role)
            self.failed = True
            raise
        finally:
            self.stopping = True
            beginning.cancel()
            stopped.cancel()
            await self.end()

    async def _end_tasks(self) -> None:
        import asyncio

        for _ in range(END_ROUNDS):
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def tell_ready(self) -> None:
        """The starter waits for this."""
        self._ready = True
        self._tell("ready")

    def _tell(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            pass  # who has started us is gone; whether we go too is for the lifeline or the last driver to say
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)

    def _on_signal(self, number: signal.Signals) -> None:
        if not self.stopping:
            end = f"told to end by a signal ({number.name})"
            logging.info(end)
            if self.is_missed():
                self._leaves_word = True
                self.tell_registry(end=end)
        self.stop()

    def is_missed(self) -> bool:
        """Whether this process ends under somebody who has started it for himself, and who then asks how."""
        return False

    def _on_lifeline(self) -> None:
        if not os.read(LIFELINE, 512):
            self.loop.remove_reader(LIFELINE)
            self.stop()

    def tell_registry(self, **facts: Any) -> None:
        """Enter these in the registry, where programs of this machine look. The process can do without: the folder may
        be full or read-only, which is logged when it begins."""
        try:
            update_connection_file(self.folder, **facts)
        except OSError as error:
            if not self._unregistered:
                logging.error(
                    "%s cannot be written, so programs on this machine may not find this %s: %s",
                    self.folder,
                    self._role,
                    error,
                )
            self._unregistered = True
        else:
            self._unregistered = False

    def stop(self) -> None:
        """End this process, in order."""
        self.stopping = True
        self._stop.set()
