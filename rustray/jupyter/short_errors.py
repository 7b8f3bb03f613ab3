"""Errors of magics: they tell what happened, without the frames of the magic that led there."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from IPython.core.error import UsageError

from rustray.driver.tracebacks import name_cell, render_called
from rustray.errors import OptionError, RustRayError, TaskError


@contextlib.contextmanager
def short_errors() -> Iterator[None]:
    """Around a magic's work."""
    try:
        yield
    except TaskError:  # also one that is an OptionError, of the cell's own code
        raise  # it shows the user's frames only, see `driver.tracebacks`
    except OptionError as error:
        raise UsageError(str(error)) from None
    except RustRayError as error:
        text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        error._render_traceback_ = text.splitlines  # type: ignore[attr-defined]
        raise
    except KeyboardInterrupt as error:
        stopped = "; ".join(getattr(error, "__notes__", ())) or "the cell was stopped"
        error._render_traceback_ = f"KeyboardInterrupt: {stopped}".splitlines  # type: ignore[attr-defined]
        raise
    except SyntaxError as error:
        raise _shown_as_of_a_cell(error) from None
    except UsageError:
        raise
    except Exception as error:  # of the user's code, on the magic's line or in a cell of definitions
        error._render_traceback_ = functools.partial(render_called, error)  # type: ignore[attr-defined]
        raise


def _shown_as_of_a_cell(error: SyntaxError) -> Any:
    """An exception that IPython shows as it shows a SyntaxError of a cell: the line and a caret. A SyntaxError that is
    raised while a cell runs it shows with the frames that led there, which are the magic's."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    name_cell(error.filename or "", shell)
    shown: Any = type(type(error).__name__, (Exception,), {})(str(error))
    shown._render_traceback_ = lambda: shell.SyntaxTB.structured_traceback(type(error), error, [])
    return shown
