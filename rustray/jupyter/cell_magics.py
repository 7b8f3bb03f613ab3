"""The cell magics `%%remote` and `%%actor`."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, cell_magic, magics_class, output_can_be_silenced

from rustray.jupyter.actor_magic import actor_magic
from rustray.jupyter.remote_magic import remote_cell_magic
from rustray.jupyter.short_errors import short_errors


@magics_class
class CellMagics(Magics):
    """The cell magics of one shell."""

    @output_can_be_silenced
    @cell_magic
    def remote(self, line: str, cell: str) -> Any:
        """Run the cell on the cluster.

        %%remote [-o NAMES] [-b] [--map 'x in xs'] [--name N] [--timeout S] [--retries N] [--priority N]
                 [--num-cpus N] [--num-gpus N] [--resources NAME=AMOUNT,...]

        The notebook variables that the cell reads travel with it, what it prints appears here, and the value
        of its last expression is the cell's. `-o a,b` brings the variables a and b back. A variable that the
        cell changes without naming it in `-o`, be it by assignment or as in `items.append(1)`, stays as it
        was in the notebook: the cell works on a copy. A cell of only imports, functions and classes defines
        them as remote functions and actor classes instead.

        -b, --no-block: do not wait. Gives a ref; so are the variables of `-o`. `rustray_cells["NAME"]` has it too.
        --map 'x in xs': run the cell once for each x, in parallel. Gives the list of values in the order of xs;
            variables of `-o` become lists. With -b they are lists of refs. If it fails for some x, the values of the
            others are in `rustray_cells["NAME"]`.
        --name: what the cell is called, in messages and in `rustray_cells`: with it, `rustray_cells["NAME"]` is the
            value of a cell that was waited for, too.
        --timeout: seconds after which it is stopped.
        --retries: how often it is run again when its worker has died, 3 if not given.
        --priority: from -10 to 10; higher runs first.
        --num-cpus, --num-gpus, --resources: what each of its tasks has while it runs.
        """
        with short_errors():
            return remote_cell_magic(self.shell, line, cell)

    @cell_magic
    def actor(self, line: str, cell: str) -> Any:
        """Make an actor of the cell's class, and a variable of its handle.

        %%actor NAME [--args 'ARGUMENTS'] [--name N] [--detached] [--restarts N] [--retries N] [--concurrency N]
                [--priority N] [--num-cpus N] [--num-gpus N] [--resources NAME=AMOUNT,...]

        The cell has one class, and the imports and functions that it needs. If NAME is an actor already, the new one
        takes its place.

        --args: what its constructor is given, as Python writes it: --args 'start, step=2'.
        --name: under which `rustray.get_actor` finds it. --detached: it outlives the notebook's job.
        --restarts: how often it is started anew when its process has died; --retries: how often a call that died
            with it is made again. --concurrency: calls that run at once.
        """
        with short_errors():
            return actor_magic(self.shell, line, cell)
