"""A network of its own for tests: hosts that are network namespaces on one bridge, and cuts between any two of them.

A cut is silent, as when a cable is pulled behind a switch: packets go to a hardware address that nobody has. Every host
has the addresses of all others in fixed entries, so that a cut or its end is one command and takes effect at once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable

from rustray.testing import Host

_NOBODY = "02:00:00:00:ff:ff"
_NAME = re.compile(r"\brrt(\d+)(?:n|b)\d*\b")


class NotPermitted(Exception):
    """Namespaces cannot be made here."""


class Network:
    """`count` hosts that reach each other and nothing else. Raises NotPermitted, with the reason."""

    def __init__(self, count: int) -> None:
        if shutil.which("ip") is None:
            raise NotPermitted("there is no command ip (iproute2)")
        if os.geteuid() != 0:
            raise NotPermitted("network namespaces need root")
        _sweep()
        self._bridge = f"rrt{os.getpid()}b"
        self._names = [f"rrt{os.getpid()}n{i}" for i in range(count)]
        try:
            self._make()
        except subprocess.CalledProcessError as error:
            self.close()
            raise NotPermitted(f"{' '.join(error.cmd)} failed: {error.stderr.strip()}") from error
        self.hosts = [Host(_address(i), ("ip", "netns", "exec", name)) for i, name in enumerate(self._names)]

    def _make(self) -> None:
        _ip("link", "add", self._bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0")
        _ip("link", "set", self._bridge, "up")
        for i, name in enumerate(self._names):
            _ip("netns", "add", name)
            _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", name, "master", self._bridge, "up")
            inside = [
                "link set lo up",
                f"link set eth0 address {_hardware(i)}",
                "link set eth0 up",
                f"address add {_address(i)}/24 dev eth0",
                *(self._entry(j, _hardware(j)) for j in range(len(self._names)) if j != i),
            ]
            _ip("-n", name, "-batch", "-", text="\n".join(inside))

    def cut(self, some: Iterable[int], others: Iterable[int]) -> None:
        """Let nothing through between the hosts of two groups. What was cut before stays so."""
        self._set([(i, j) for i in some for j in others], {})

    def isolate(self, *some: int) -> None:
        """Cut these hosts off from all others, but not from each other."""
        self.cut(some, [i for i in range(len(self._names)) if i not in some])

    def heal(self) -> None:
        """Let everything through again."""
        everyone = range(len(self._names))
        self._set(
            [(i, j) for i in everyone for j in everyone if i < j], dict(enumerate(map(_hardware, everyone)))
        )

    def _set(self, pairs: list[tuple[int, int]], hardware: dict[int, str]) -> None:
        lines: dict[int, list[str]] = {}
        for i, j in pairs:
            lines.setdefault(i, []).append(self._entry(j, hardware.get(j, _NOBODY)))
            lines.setdefault(j, []).append(self._entry(i, hardware.get(i, _NOBODY)))
        for i, commands in lines.items():
            _ip("-n", self._names[i], "-batch", "-", text="\n".join(commands))

    def _entry(self, host: int, hardware: str) -> str:
        return f"neighbour replace {_address(host)} lladdr {hardware} dev eth0 nud permanent"

    def close(self) -> None:
        """Remove all of it; processes of the hosts must have ended."""
        _remove([*self._names, self._bridge])


def _address(host: int) -> str:
    return f"10.99.0.{host + 1}"


def _hardware(host: int) -> str:
    return f"02:00:00:00:00:{host + 1:02x}"


def _ip(*words: str, text: str = "") -> str:
    done = subprocess.run(("ip", *words), input=text, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout


def _remove(names: Iterable[str]) -> None:
    for name in names:  # a link and a namespace of one name; either may not have come into being
        for what in ("link", "netns"):
            subprocess.run(("ip", what, "del", name), capture_output=True, check=False, timeout=10)


def _sweep() -> None:
    """Remove what runs that were killed have left."""
    listed = _ip("-o", "link", "show") + _ip("netns", "list")
    _remove({found[0] for found in _NAME.finditer(listed) if not os.path.exists(f"/proc/{found[1]}")})
