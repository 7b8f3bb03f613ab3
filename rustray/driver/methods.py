"""What callers know of an actor's methods, as plain values: it travels in every handle."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from rustray import serialization
from rustray.driver.returns import count_of
from rustray.model.options import MethodOptions

_DEFAULT = MethodOptions()
TERMINATE, READY, CALL = "__ray_terminate__", "__ray_ready__", "__ray_call__"


class Method(NamedTuple):
    """What callers know of a method, as plain values.

    Parameters
    ----------
    returns: how many results it has: see `returns.count_of`.
    retries: `max_task_retries`, None for the actor's.
    group: its concurrency group, "" for none.
    retry_exceptions: False, True, or the exception types that are retried, pickled, in hexadecimal.
    """

    returns: int = 1
    retries: int | None = None
    group: str = ""
    retry_exceptions: bool | str = False

    @classmethod
    def of(cls, member: Any) -> Method:
        """Of a class's member as it stands in the class: a function, static or class method."""
        function = getattr(member, "__func__", member)
        options: MethodOptions = getattr(function, "__rustray_method__", _DEFAULT)
        return cls(count_of(options.num_returns, function)).changed(options)

    def changed(self, options: MethodOptions) -> Method:
        """This method with what `options` set."""
        retry_exceptions: bool | str = self.retry_exceptions
        if isinstance(options.retry_exceptions, tuple):
            retry_exceptions = serialization.serialize(
                options.retry_exceptions, "retry_exceptions"
            ).pickle.hex()
        elif options.retry_exceptions:
            retry_exceptions = True
        return Method(
            self.returns if options.num_returns is None else count_of(options.num_returns),
            self.retries if options.max_task_retries is None else options.max_task_retries,
            options.concurrency_group or self.group,
            retry_exceptions,
        )

    def task_options(self) -> MethodOptions | None:
        """What the call's owner must know of its options."""
        if not self.retry_exceptions:
            return None
        chosen = self.retry_exceptions
        return MethodOptions(
            retry_exceptions=True if chosen is True else pickle.loads(bytes.fromhex(str(chosen)))
        )


OF_EVERY_ACTOR = {TERMINATE: Method(), READY: Method(), CALL: Method()}
"""End after the calls before; tell that the actor is up; call a function with the actor's instance."""
