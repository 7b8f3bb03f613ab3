"""A `tqdm` for tasks and actors: its bar is shown where the driver is, one line each, however many workers have one.

    from rustray.util.tqdm import tqdm

    @rustray.remote
    def train(steps):
        for step in tqdm(range(steps), desc="training"):
            ...

In the driver it shows its bar there, so that a function need not know where it runs. Of tqdm's own it has the part
that can be shown from afar. A bar is over when it is closed, or its loop ends, or its task does, even if the worker has
died.
Where no driver listens nothing is shown, and nothing fails.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from rustray.driver import output
from rustray.driver.current import current_or_none
from rustray.model.option_checks import unknown_name
from rustray.model.quantities import lapse, pace
from rustray.progress.bar import Bar
from rustray.progress.screen import Screen

T = TypeVar("T")
LOOKS = frozenset(
    """ascii bar_format colour delay dynamic_ncols file gui leave lock_args maxinterval mininterval miniters ncols nrows
    position smoothing unit_divisor unit_scale write_bytes""".split()
)
"""Arguments of tqdm about how its own bars look; accepted so that its calls work, they change nothing here."""


class tqdm(Generic[T]):
    """See the module.

    Parameters
    ----------
    iterable: what is looped over; None for a bar that `update` moves.
    desc: what is in front of the bar.
    total: how many steps there are; the length of `iterable` if it has one.
    unit: of a step, as "batch".
    disable: show nothing.
    initial: steps that are done already.
    looks: what tqdm has besides about how a bar looks has no effect here.

    Raises
    ------
    OptionError: an argument that tqdm does not have either.
    """

    def __init__(
        self,
        iterable: Iterable[T] | None = None,
        desc: str = "",
        total: float | None = None,
        unit: str = "",
        disable: bool = False,
        initial: float = 0,
        **looks: Any,
    ) -> None:
        for name in looks:
            if name not in LOOKS:
                raise unknown_name("argument of tqdm()", name, _NAMES)
        self.iterable = iterable
        self.desc = desc or ""
        self.total = total if total is not None else _length(iterable)
        self.unit = "" if unit == "it" else unit
        self.disable = disable
        self.n = initial
        self._initial = initial
        self._postfix = ""
        self._began = time.monotonic()
        self._screen = None if disable else Screen(current_or_none())
        self.refresh()

    def __iter__(self) -> Iterator[T]:
        if self.iterable is None:
            raise TypeError("This tqdm has nothing to loop over: it was made without an iterable.")
        with self:
            for element in self.iterable:
                yield element
                self.update()

    def update(self, n: float = 1) -> None:
        """So many more steps are done."""
        self.n += n
        self.refresh()

    def set_description(self, desc: str = "", refresh: bool = True) -> None:
        """Have another text in front of the bar."""
        self.desc = desc or ""
        if refresh:
            self.refresh()

    def set_postfix(self, ordered: dict[str, Any] | None = None, refresh: bool = True, **values: Any) -> None:
        """Show numbers behind the bar, as ``set_postfix(loss=0.1)``."""
        told = {**(ordered or {}), **values}
        self._postfix = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in told.items()
        )
        if refresh:
            self.refresh()

    def reset(self, total: float | None = None) -> None:
        """Begin again."""
        self.n = self._initial = 0
        self._began = time.monotonic()
        self.total = total if total is not None else self.total
        self.refresh()

    def refresh(self) -> None:
        """Show how it is; at most five times a second that has an effect."""
        if self._screen is not None and self._screen.is_due:
            self._screen.show(self._bar())

    def close(self) -> None:
        """The bar moves no more, and stays as it is."""
        if self._screen is not None:
            self._screen.show(self._bar())
            self._screen.close()
            self._screen = None

    def _bar(self) -> Bar:
        seconds = time.monotonic() - self._began
        steps = self.n - self._initial
        told = [self._postfix] if self._postfix else []
        if steps > 0 and seconds > 0:
            told.append(pace(steps / seconds, self.unit))
            if self.total is not None and self.total > self.n:
                told.append(f"{lapse((self.total - self.n) * seconds / steps)} left")
            else:
                told.append(f"in {lapse(seconds)}")
        return Bar(self.desc, self.n, self.total, tuple(told))

    def __len__(self) -> int:
        if self.total is None:
            raise TypeError("This tqdm does not know how many steps there are.")
        return int(self.total)

    def __enter__(self) -> tqdm[T]:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_screen", None) is not None:
            self.close()

    @staticmethod
    def write(text: str) -> None:
        """Print a line above the bars. (In tasks plain `print` does the same.)"""
        with output.terminal.without_bars():
            print(text)


_NAMES = [name for name in inspect.signature(tqdm).parameters if name != "looks"]


def trange(*args: int, **options: Any) -> tqdm[int]:
    """`tqdm` over a range."""
    return tqdm(range(*args), **options)


def _length(iterable: object) -> int | None:
    try:
        return len(iterable)  # type: ignore[arg-type]
    except TypeError:
        return None


__all__ = ["tqdm", "trange"]
