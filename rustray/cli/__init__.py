"""The command ``rustray``: start and stop heads and nodes, and ask a cluster about itself.

argparse, as the options are few and starting must be quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from rustray.cli import certs, explain, measured, named, starting, status, stopping
from rustray.errors import RustRayError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except RustRayError as error:
        print(f"rustray: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0  # who reads has enough
    return code


class Parser(argparse.ArgumentParser):
    """One that tells what is wrong without ten lines of usage."""

    def error(self, message: str) -> NoReturn:
        """Print it, and exit."""
        self.exit(2, f"rustray: {message}. See: {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    whole = Parser("rustray", description="RustRay clusters of this user on this machine.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for module in (starting, stopping, named, status, explain, measured, certs):
        module.add_commands(commands)
    return whole
