"""Heads as real processes, and the history of what they acknowledged."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rustray.driver.ports import free_ports
from tests.raft_head import FAST, receive, send
from tests.raft_network import Network
from tests.support import ROOT, WAIT_S, eventually

TOKEN = "a token for tests only"
RETRIED = ("not_leader", "unknown_outcome", "busy")


class Gone(Exception):
    """The head's process ended before it answered."""


class Head:
    """One head's process; restart it by making another one of the same settings."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.address: str = settings["address"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.raft_head", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._results: dict[int, dict[str, Any]] = {}
        self._heard: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.leads = False
        self.gone = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while (message := receive(self._out)) is not None:
            kind, *fields = message
            with self._changed:
                if kind == "result":
                    self._results[fields[0]] = fields[1]
                elif kind in ("leader", "follower"):
                    self.leads = kind == "leader"
                self._heard[kind].append(tuple(fields))
                self._changed.notify_all()
        with self._changed:
            self.gone, self.leads = True, False
            self._changed.notify_all()

    def tell(self, *message: Any) -> None:
        try:
            with self._sending:
                send(self._in, message)
        except OSError:
            raise Gone(self.address) from None

    def wait(self, kind: str, timeout: float = WAIT_S, count: int = 1) -> tuple[Any, ...]:
        """The fields of the `count`-th message of that kind."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._heard[kind]) >= count or self.gone, timeout)
            if len(self._heard[kind]) < count:
                heard = {name: messages[-1] for name, messages in self._heard.items() if messages}
                raise Gone(f"{self.address}: no {kind!r} from it; the last it said: {heard}")
            return self._heard[kind][count - 1]

    def ask(self, question: str, answer: str, *fields: Any, timeout: float = WAIT_S) -> tuple[Any, ...]:
        seen = len(self._heard[answer])
        self.tell(question, *fields)
        return self.wait(answer, timeout, seen + 1)

    def status(self) -> dict[str, Any]:
        return self.ask("status", "status")[0]

    def begin(self, op: str, payload: dict[str, Any]) -> int:
        number = next(self._numbers)
        self.tell("submit", number, op, payload)
        return number

    def end(self, number: int, timeout: float = WAIT_S) -> dict[str, Any]:
        with self._changed:
            self._changed.wait_for(lambda: number in self._results or self.gone, timeout)
            if number not in self._results:
                raise Gone(self.address)
            return self._results.pop(number)

    def submit(self, op: str, payload: dict[str, Any], timeout: float = WAIT_S) -> dict[str, Any]:
        return self.end(self.begin(op, payload), timeout)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.join()

    def stop(self) -> None:
        """End it in order."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.join()

    def join(self, timeout: float = WAIT_S) -> int:
        code = self.process.wait(timeout)
        self._reader.join()
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(OSError):  # what was not flushed has no reader
            self.process.stdin.close()
        self.process.stdout.close()
        return code


class Acknowledged(NamedTuple):
    item: str
    position: int
    begun: float
    ended: float


class Cluster:
    """Heads that know each other. Use as a context manager: whatever happens, no process is left."""

    def __init__(self, folder: Path, count: int = 3, network: Network | None = None, **settings: Any) -> None:
        self.network = network
        if network is not None:
            places = [network.listen() for _ in range(count)]
        else:
            places = [(address, address) for address in free_addresses(count)]
        addresses = [address for address, _bind in places]
        self.settings: dict[str, dict[str, Any]] = {
            address: {
                "address": address,
                "others": [other for other in addresses if other != address],
                "bind": bind,
                "folder": str(folder / address.replace(":", "-")),
                "password": TOKEN,
                "state": "Tape",
                **({"timing": FAST} if count > 1 else {}),
                **settings,
            }
            for address, bind in places
        }
        self.heads: dict[str, Head] = {}
        self.history: list[Acknowledged] = []
        self._names = itertools.count()

    def __enter__(self) -> Cluster:
        if self.network is not None:
            self.network.start()
        for address in self.settings:
            self.start(address, wait=False)
        for head in self.heads.values():
            head.wait("started")
        return self

    def __exit__(self, *exception: object) -> None:
        for head in self.heads.values():
            if head.process.poll() is None:
                head.process.kill()
            head.join()
        if self.network is not None:
            self.network.close()

    def start(self, address: str, wait: bool = True, **changed: Any) -> Head:
        if address in self.heads:
            self.heads[address].join()
        head = self.heads[address] = Head({**self.settings[address], **changed})
        if self.network is not None:
            self.network.runs(head.address, head.process.pid)
        if wait:
            head.wait("started")
        return head

    def leader(self, among: list[str] | None = None, timeout: float = WAIT_S) -> Head:
        """Who leads; of those in `among` only, if it is given."""

        def look() -> Head | None:
            return next((h for a, h in self.heads.items() if h.leads and (among is None or a in among)), None)

        found = eventually(look, timeout, 0.002)
        assert found is not None
        return found

    def others(self, head: Head) -> list[str]:
        return [address for address in self.heads if address != head.address]

    def append(
        self,
        item: str = "",
        among: list[str] | None = None,
        timeout: float = WAIT_S,
        size: int = 0,
        patience: float = 1.0,
        retried: tuple[str, ...] = RETRIED,
    ) -> Acknowledged:
        """Append an item, again and again under the same operation while the answer is an error in `retried`, until it
        is acknowledged."""
        name = item or f"item {next(self._names)}"
        payload = {"item": name + "." * size, "operation": f"operation of {name}"}
        begun = time.monotonic()
        result = self.submit("append", payload, among, timeout, patience, retried)
        assert "position" in result, result
        acknowledged = Acknowledged(payload["item"], result["position"], begun, time.monotonic())
        self.history.append(acknowledged)
        return acknowledged

    def submit(
        self,
        op: str,
        payload: dict[str, Any],
        among: list[str] | None = None,
        timeout: float = WAIT_S,
        patience: float = 1.0,
        retried: tuple[str, ...] = RETRIED,
    ) -> dict[str, Any]:
        """What whoever leads answers, when that is not an error in `retried`: until then it is sent again.

        Heads that time out as early as these do depose a leader that was not given the processor for a moment.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"{op} {payload.get('operation', '')} was not answered within {timeout} s"
            try:
                result = self.leader(among, left).submit(op, payload, min(left, patience))
            except Gone:
                continue
            if result.get("error") not in retried:
                return result
            time.sleep(0.002)

    def append_once(self, head: Head, *items: str) -> None:
        """Append items at a head, which may end meanwhile."""
        begun = time.monotonic()
        numbers = [head.begin("append", {"item": item, "operation": item}) for item in items]
        for item, number in zip(items, numbers, strict=True):
            position = head.end(number)["position"]
            self.history.append(Acknowledged(item, position, begun, time.monotonic()))

    @contextlib.contextmanager
    def load(
        self, writers: int = 4, among: list[str] | None = None, retried: tuple[str, ...] = RETRIED
    ) -> Iterator[Callable[[], int]]:
        """Append without pause meanwhile, as `append` does; what is given counts the acknowledged. An error of a
        writer is raised at the end."""
        ending = threading.Event()
        errors: list[BaseException] = []

        def write() -> None:
            try:
                while not ending.is_set():
                    self.append(among=among, retried=retried)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=write, daemon=True) for _ in range(writers)]
        for thread in threads:
            thread.start()
        try:
            yield lambda: len(self.history)
        finally:
            ending.set()
            for thread in threads:
                thread.join()
        if errors:
            raise errors[0]

    def check(self) -> list[str]:
        """Nothing acknowledged is lost, twice, or out of order, and all heads have the same tape. Returns it."""
        last = self.append()
        tapes: dict[str, list[str]] = {}
        for address, head in self.heads.items():

            def caught_up(head: Head = head) -> list[str] | None:
                items: list[str] = head.status()["state"]["items"]
                return items if len(items) > last.position else None

            tapes[address] = eventually(caught_up) or []
        tape = next(iter(tapes.values()))
        for address, other in tapes.items():
            assert other == tape, f"{address} has another tape"
        assert len(set(tape)) == len(tape), "something is there twice"
        for item, position, _begun, _ended in self.history:
            assert tape[position] == item, (
                f"{item!r} was acknowledged at {position}, where {tape[position]!r} is"
            )
        by_end = sorted(self.history, key=lambda a: a.ended)
        highest, ended = -1, iter(by_end)
        ahead = next(ended)
        for begun in sorted(self.history, key=lambda a: a.begun):
            while ahead.ended < begun.begun:
                highest, ahead = max(highest, ahead.position), next(ended)
            assert begun.position > highest, f"{begun.item!r} was begun after what stands behind it was done"
        return tape


def free_addresses(count: int) -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports(count)]
