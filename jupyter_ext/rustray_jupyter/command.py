"""What the commands of ``jupyter rustray`` have in common: options, configuration, and how errors are told."""

from __future__ import annotations

import re
import sys
from typing import Any, NoReturn

from jupyter_core.application import JupyterApp, base_aliases, base_flags
from traitlets import TraitError, Unicode
from traitlets.config.loader import KVArgParseConfigLoader

import rustray
from rustray.errors import OptionError, RustRayError
from rustray.model.option_checks import meant

ALIASES: dict[Any, Any] = {name: base_aliases[name] for name in ("log-level", "config")}
FLAGS: dict[Any, Any] = {name: base_flags[name] for name in ("debug", "generate-config", "y")}
_OF_TRAIT = re.compile(r"The '(\w+)' trait of an? \w+ instance")
SHOWN = ("help", "help-all", "version", "show-config", "show-config-json")
"""What each of Jupyter's commands takes besides."""
NAME = {"name": "RustRayCommand.cluster_name"}


class _Arguments(KVArgParseConfigLoader):
    def _handle_unrecognized_alias(self, arg: str) -> None:
        refuse(f"there is no option --{arg}")


def refuse(told: str) -> NoReturn:
    """End the command with one line; what Jupyter makes of such an error is a line of its log."""
    print(f"jupyter rustray: {told}", file=sys.stderr)
    raise SystemExit(1)


class RustRayCommand(JupyterApp):
    """One command about one cluster."""

    version = rustray.__version__
    aliases: dict[Any, Any] = {**ALIASES, **NAME}
    flags: dict[Any, Any] = FLAGS

    cluster_name = Unicode("", help="The cluster; the newest if empty.").tag(config=True)

    def _config_file_name_default(self) -> str:
        return "jupyter_rustray_config"  # one for all commands

    def _log_level_default(self) -> int:
        return 30  # of Jupyter's own words the warnings only

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> KVArgParseConfigLoader:
        return _Arguments(argv, aliases, flags, classes=classes, log=self.log)

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """As Jupyter's, which of an option that there is not only says that it lacks a value."""
        given = list(sys.argv[1:] if argv is None else argv)
        known = [one for name in (*self.aliases, *self.flags) for one in ([name] if isinstance(name, str) else name)]
        for word in given[: given.index("--") if "--" in given else None]:
            name = word.partition("=")[0].removeprefix("--")
            if word.startswith("--") and "." not in name and not any(one.startswith(name) for one in (*known, *SHOWN)):
                near = meant(name, [f"--{one}" for one in known])
                refuse(f"there is no option --{name}{'.' if near else ''}{near}")
        super().parse_command_line(argv)

    def update_config(self, config: Any) -> None:
        try:
            super().update_config(config)
        except TraitError as error:
            refuse(_OF_TRAIT.sub(lambda found: f"{found[1].replace('_', '-')}:", str(error)))

    def start(self) -> None:
        """Do it; an error is told in one line."""
        super().start()
        try:
            code = self.run()
        except RustRayError as error:
            print(f"jupyter rustray: {error}", file=sys.stderr)
            code = 1
        except KeyboardInterrupt:
            code = 130
        except BrokenPipeError:
            code = 0  # who reads has enough
        self.exit(code)

    def run(self) -> int:
        """The exit status."""
        raise NotImplementedError

    def positional(self, *meanings: str) -> list[str | None]:
        """The arguments without a name, as many as have a meaning, None for those left out. OptionError: too many."""
        given = [str(argument) for argument in self.extra_args]
        if len(given) > len(meanings):
            wanted = f"it takes {' and '.join(meanings)}" if meanings else "it takes options only"
            raise OptionError(f"What is {given[len(meanings)]!r} for? {wanted.capitalize()}.")
        return [*given, *[None] * (len(meanings) - len(given))]

    def chosen(self, given: str | None) -> str | None:
        """The name of the cluster that is meant, None for the newest."""
        return given or self.cluster_name or None
