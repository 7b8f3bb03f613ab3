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
from rustray.model.option_checks import meant, unknown_name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = read(given)
    if options is None:
        return 2
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
        self.exit(2, f"rustray: {message}{'' if message.endswith('?') else '.'} See: {self.prog} --help\n")


def read(given: list[str]) -> argparse.Namespace | None:
    """What a command line says; None, and help is printed, where it says nothing."""
    whole = Parser("rustray", description="RustRay clusters of this user on this machine.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for module in (starting, stopping, named, status, explain, measured, certs):
        module.add_commands(commands)
    if not given:
        whole.print_help(sys.stderr)
        return None
    if given[0] not in commands.choices and not given[0].startswith("-"):
        told = str(unknown_name("command", given[0], commands.choices))
        whole.exit(2, f"rustray: {told} See: rustray --help\n")
    if given[0] in commands.choices:
        _check_flags(commands.choices[given[0]], given[0], given[1:])
    options, rest = whole.parse_known_args(given)
    if rest:
        commands.choices[options.command].error(f"{options.command} takes no {' '.join(rest)}")
    return options


def _check_flags(command: Parser, name: str, given: list[str]) -> None:
    """Exit where an option is none of the command's: argparse would tell of what is missing in its place."""
    known = [flag for flag in command._option_string_actions if flag.startswith("--")]
    for word in given:
        flag = word.partition("=")[0]
        if flag == "--":
            return
        if flag.startswith("--") and not any(one.startswith(flag) for one in known):
            near = meant(flag, known)
            command.error(f"{name} takes no {flag}{'.' if near else ''}{near}")
