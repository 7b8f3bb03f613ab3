"""Run a notebook from top to bottom without a browser, and print what its cells print as it comes.

    python examples/demo.py                       notebooks/quickstart.ipynb
    python examples/demo.py path/to/any.ipynb

The notebook starts its own cluster, as a user's would. When its kernel has ended, no process that it started,
directly or not, may be left: otherwise this names them, stops them, and fails.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

QUICKSTART = Path(__file__).resolve().parent.parent / "notebooks" / "quickstart.ipynb"
TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

# Every process of the demo inherits this variable, so that one which has left its parent is found too.
MARK = "RUSTRAY_DEMO"


class PrintingClient(NotebookClient):
    """A notebook client that shows each output when it arrives, and not when the cell has ended. What moves, as a bar
    does, is shown as it first was, and again where its cell has ended as something else."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shown: dict[str, str] = {}
        self._now: dict[str, str] = {}

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        display_id = (msg["content"].get("transient") or {}).get("display_id")
        if display_id and msg["msg_type"] in ("display_data", "update_display_data"):
            self._now[display_id] = as_text(msg["content"]["data"])
            if msg["msg_type"] == "display_data":
                self._shown[display_id] = self._now[display_id]
        return super().process_message(msg, cell, cell_index)

    def show_how_it_ended(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        for display_id, text in self._now.items():
            if text and text != self._shown.get(display_id):
                write(text + "\n")
        self._now = {}

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        out = super().output(outs, msg, display_id, cell_index)
        content = msg["content"]
        if msg["msg_type"] == "stream":
            write(content["text"])
        elif "data" in content:
            write(as_text(content["data"]) + "\n")
        return out


def as_text(data: dict[str, str]) -> str:
    """The text form of a rich output, or the names of its forms where it has none."""
    return data.get("text/plain", f"<{', '.join(data)}>")


def write(text: str) -> None:
    sys.stdout.write(text if sys.stdout.isatty() else TERMINAL_COLOURS.sub("", text))
    sys.stdout.flush()


def show_cell(cell: Any, cell_index: int) -> None:
    """Print a heading for prose, and the source for code, above what the code prints."""
    if cell.cell_type == "markdown":
        for line in cell.source.splitlines():
            if line.startswith("#"):
                write(f"\n{line.lstrip('# ')}\n")
    elif cell.cell_type == "code":
        write("\n" + "".join(f"  | {line}\n" for line in cell.source.splitlines()))


def processes_left(mark: str, patience: float) -> list[psutil.Process]:
    """The marked processes that still run, other than this one, after `patience` seconds at most."""
    deadline = time.monotonic() + patience
    while True:
        left = [process for process in psutil.process_iter() if is_marked(process, mark)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.pid != os.getpid() and bool(process.environ().get(MARK) == mark)
    except psutil.Error:  # it has ended, or it is another user's and so not ours
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a notebook and print what its cells print.")
    parser.add_argument("notebook", type=Path, nargs="?", default=QUICKSTART)
    parser.add_argument("--timeout", type=int, default=300, help="seconds that a cell may take (default 300)")
    args = parser.parse_args()
    if not args.notebook.is_file():
        parser.error(f"there is no notebook {args.notebook}")

    notebook = nbformat.reads(args.notebook.read_text(), as_version=4)
    os.environ[MARK] = mark = uuid.uuid4().hex
    # Where clusters with names are found: the notebook is to start one of its own, whatever else runs here.
    runtime = tempfile.TemporaryDirectory(prefix="rustray-demo-")
    os.environ["JUPYTER_RUNTIME_DIR"] = runtime.name
    client = PrintingClient(
        notebook,
        timeout=args.timeout,
        kernel_name="python3",  # the kernel of this environment, whatever the notebook was last saved with
        extra_arguments=["--log-level=ERROR"],  # else it warns that it listens on this machine's own address
        resources={"metadata": {"path": str(args.notebook.resolve().parent)}},
        on_cell_start=show_cell,
    )
    client.on_cell_executed = client.show_how_it_ended
    started = time.perf_counter()
    status = 0
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError, TimeoutError) as error:
        write(f"\n{error}\n")
        status = 1
    except KeyboardInterrupt:
        status = 130
    if left := processes_left(mark, patience=10):
        for process in left:
            write(f"\nleft running: {process.pid} {process.name()}\n")
            process.kill()
        status = status or 1
    if status == 0:
        seconds = time.perf_counter() - started
        write(f"\n{args.notebook.name} ran in {seconds:.1f} s; nothing is left running.\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
