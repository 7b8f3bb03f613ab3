"""`rustray.kv` at the head: each operation is a command, so a read sees every write that was acknowledged before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rustray.cluster import commands
from rustray.driver import failures
from rustray.errors import NotCommittedError
from rustray.head.commits import Commits

Answered = Callable[[bool, Any], None]


class KeyValue:
    """Questions named ``kv_...`` of clients."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    def ask_kv_put(
        self, answered: Answered, namespace: str, key: bytes, value: bytes, overwrite: bool
    ) -> None:
        self._submit(commands.kv_put(namespace, key, value, overwrite), "added", answered)

    def ask_kv_get(self, answered: Answered, namespace: str, key: bytes) -> None:
        self._submit(commands.kv_get(namespace, key), "value", answered)

    def ask_kv_delete(self, answered: Answered, namespace: str, key: bytes) -> None:
        self._submit(commands.kv_delete(namespace, key), "deleted", answered)

    def ask_kv_exists(self, answered: Answered, namespace: str, key: bytes) -> None:
        self._submit(commands.kv_exists(namespace, key), "exists", answered)

    def ask_kv_keys(self, answered: Answered, namespace: str, prefix: bytes) -> None:
        self._submit(commands.kv_keys(namespace, prefix), "keys", answered)

    def _submit(self, command: commands.Command, field: str, answered: Answered) -> None:
        def done(result: dict[str, Any]) -> None:
            if "error" in result:
                answered(False, failures.typed(NotCommittedError(result["message"])))
            else:
                answered(True, result[field])

        self._commits.submit(command, done, waits=False)
