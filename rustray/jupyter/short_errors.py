"""Errors of magics: they tell what happened, without the frames of the magic that led there."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator

from IPython.core.error import UsageError

from rustray.errors import OptionError, RustRayError, TaskError


@contextlib.contextmanager
def short_errors() -> Iterator[None]:
    """Around a magic's work."""
    try:
        yield
    except OptionError as error:
        raise UsageError(str(error)) from None
    except TaskError:
        raise  # it shows the user's frames only, see `driver.tracebacks`
    except RustRayError as error:
        text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        error._render_traceback_ = text.splitlines  # type: ignore[attr-defined]
        raise
    except KeyboardInterrupt as error:
        stopped = "; ".join(getattr(error, "__notes__", ())) or "the cell was stopped"
        error._render_traceback_ = f"KeyboardInterrupt: {stopped}".splitlines  # type: ignore[attr-defined]
        raise
    except SyntaxError as error:
        raise UsageError("".join(traceback.format_exception_only(error))) from None
