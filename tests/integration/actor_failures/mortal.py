"""An actor that dies in several ways, and what the cluster knows of it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import rustray
from rustray.actor import exit_actor
from rustray.driver.current import current


def state_of(actor: Any) -> dict[str, Any]:
    (row,) = [row for row in current().requests.query("actors") if row["id"] == actor._actor_id]
    return dict(row)


@rustray.remote
class Mortal:
    def __init__(self, path: Any = None) -> None:
        self.path = path and str(path)
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n

    def pid(self) -> int:
        return os.getpid()

    def again(self) -> bool:
        return rustray.get_runtime_context().was_current_actor_reconstructed

    def die(self, how: str = "kill") -> None:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif how == "exit_actor":
            exit_actor()
        else:
            sys.exit(int(how))

    def die_once(self) -> str:
        """Dies at its first call; the file tells the next incarnation."""
        with open(self.path, "a") as file:
            file.write("x")
        if os.path.getsize(self.path) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"call {os.path.getsize(self.path)}"
