"""What a command that changes something prints: whether anybody reads it does not decide how far it gets."""

from __future__ import annotations

import os
import sys


def tell(text: str) -> None:
    """Print it at once. Where nobody takes it (``| head`` has enough, a disk is full), what follows goes nowhere."""
    try:
        print(text, flush=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # for what is still in the buffer too
        os.close(nowhere)
