"""Runtime environments: the variables, working directory and modules of a job, task or actor.

    RuntimeEnv   what the user asks for, checked
    prepare      directories copied into the session's directory, named by their content; gives a PlainEnv
    merge        the PlainEnv of a task over that of its job
    key, apply   what tells workers apart; what a worker does before it runs any code of the user

A job's environment is prepared by `init`, and merged as prepared: files edited later do not leak into a job
that runs. Equal content has equal paths, so such workers are shared.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from rustray.errors import OptionError, RuntimeEnvSetupError
from rustray.model.option_checks import unknown_name

KNOWN = ("env_vars", "excludes", "py_modules", "working_dir")
# Of Ray: about how it prepares environments, nothing about what tasks see.
IGNORED = frozenset({"config", "eager_install", "_ray_release", "_ray_commit", "_inject_current_ray"})
# Of Ray, and about what tasks see: dropping these silently would run tasks in the wrong environment.
UNSUPPORTED = frozenset(
    {
        "pip",
        "uv",
        "conda",
        "container",
        "image_uri",
        "py_executable",
        "java_jars",
        "worker_process_setup_hook",
    }
    | {"_nsight", "_rocprof_sys"}
)

PlainEnv = dict[str, Any]
"""{"env_vars": {name: value}, "cwd": path or "", "sys_path": [path, ...]}, or {}: plain, for any codec."""


class RuntimeEnv(dict[str, Any]):
    """A checked runtime environment, with paths made absolute. `RuntimeEnv(env_vars={"A": "1"})`, as in Ray.

    Parameters
    ----------
    env_vars: {name: value}; ${NAME} in a value is the worker's variable, as in {"PATH": "${PATH}:/opt/bin"}.
    working_dir: directory or .zip file; tasks run in a copy of it, and can import from it.
    py_modules: packages and modules to import: directories, .py, .zip or .whl files, or module objects.
    excludes: patterns as in .gitignore, of what is not copied. ".git" and "__pycache__" never are.

    Raises
    ------
    OptionError: an unknown name, or a value of the wrong kind.
    RuntimeEnvSetupError: a path that does not exist.
    """

    def __init__(self, given: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        super().__init__()
        for name, value in {**(given or {}), **fields}.items():
            if name in UNSUPPORTED:
                raise OptionError(
                    f"runtime_env[{name!r}] is not supported: workers run in the environment of the driver. "
                    "Install what the tasks need there, or send modules in runtime_env['py_modules']."
                )
            if name not in KNOWN:
                if name in IGNORED:
                    continue
                raise unknown_name("entry of a runtime_env", name, KNOWN)
            if value:
                self[name] = _CHECKS[name](value)


def prepare(env: RuntimeEnv, session_dir: str) -> PlainEnv:
    """Copy the directories of `env` under `session_dir`, where not done yet; the result is for `apply`.

    Gives {} for an empty environment.

    Raises
    ------
    RuntimeEnvSetupError: a path is missing or unreadable, or larger than 500 MiB.
    """
    if not env:
        return {}
    from rustray.snapshots import snapshot

    into = os.path.join(session_dir, "runtime_envs")
    excludes = env.get("excludes", ())
    working_dir = env.get("working_dir")
    return {
        "env_vars": dict(env.get("env_vars", {})),
        "cwd": snapshot(working_dir, excludes, into, keep_name=False) if working_dir else "",
        "sys_path": [snapshot(path, excludes, into, keep_name=True) for path in env.get("py_modules", ())],
    }


def merge(job: PlainEnv, task: PlainEnv) -> PlainEnv:
    """The environment of a task of a job, as in Ray: what the task gives wins, env_vars are united."""
    if not job or not task:
        return task or job
    return {
        "env_vars": {**job["env_vars"], **task["env_vars"]},
        "cwd": task["cwd"] or job["cwd"],
        "sys_path": task["sys_path"] or job["sys_path"],
    }


def key(plain: PlainEnv) -> bytes:
    """What tells this environment from others; b"" for the empty one. Paths in it name their content."""
    if not plain:
        return b""
    from hashlib import blake2b

    told = (sorted(plain["env_vars"].items()), plain["cwd"], plain["sys_path"])
    return blake2b(repr(told).encode(), digest_size=16).digest()


def apply(plain: PlainEnv) -> None:
    """Put this process into the environment. Once, in a fresh worker: it cannot be undone.

    Raises
    ------
    RuntimeEnvSetupError: a snapshot has disappeared.
    """
    if not plain:
        return
    for name, value in plain["env_vars"].items():
        # As Ray: what is not set becomes nothing.
        os.environ[name] = re.sub(r"\$\{\w+\}", "", os.path.expandvars(value))
    if plain["cwd"]:
        try:
            os.chdir(plain["cwd"])
        except OSError as error:
            raise RuntimeEnvSetupError(
                f"The worker cannot enter its working_dir {plain['cwd']!r}: {error.strerror}. "
                "Something removed it from the session directory; shutdown() and init() copy it again."
            ) from error
    first = [plain["cwd"], *plain["sys_path"]] if plain["cwd"] else plain["sys_path"]
    sys.path[:0] = [path for path in first if path not in sys.path]


def _env_vars(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _refused("env_vars", value, "a dict of {name: value}")
    for name, text in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise _refused(f"env_vars, name {name!r}", name, "a string without '='")
        if not isinstance(text, str) or "\0" in text:
            raise _refused(f"env_vars[{name!r}]", text, f"a string, as {str(text)!r}")
    return dict(value)


def _working_dir(value: Any) -> str:
    path = _path("working_dir", value)
    if not os.path.isdir(path) and not path.endswith(".zip"):
        raise _refused("working_dir", value, "a directory or a .zip file")
    return path


def _py_modules(value: Any) -> list[str]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise _refused("py_modules", value, "a list of paths or modules")
    return [_module_path(one) for one in value]


def _module_path(value: Any) -> str:
    if isinstance(value, ModuleType):
        places = list(getattr(value, "__path__", ())) or [getattr(value, "__file__", None)]
        if places[0] is None:
            raise _refused("py_modules", value, "modules that have a file")
        value = places[0]
    path = _path("py_modules", value)
    if not os.path.isdir(path) and not path.endswith((".zip", ".whl", ".py")):
        raise _refused("py_modules", value, "directories, .py, .zip or .whl files")
    return path


def _excludes(value: Any) -> list[str]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise _refused("excludes", value, "a list of patterns")
    if not all(isinstance(one, str) for one in value):
        raise _refused("excludes", value, "a list of patterns, each a string")
    return list(value)


def _path(name: str, value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise _refused(name, value, "a path")
    text = os.fspath(value)
    if "://" in str(text):
        raise _refused(name, value, "a local path: download it first")
    path = os.path.realpath(os.path.expanduser(text))
    if not os.path.exists(path):
        raise RuntimeEnvSetupError(f"runtime_env[{name!r}]: {text!r} does not exist (looked for {path!r}).")
    return str(path)


def _refused(name: str, value: Any, allowed: str) -> OptionError:
    return OptionError(
        f"runtime_env: {name}={value!r} ({type(value).__name__}) is not allowed: it must be {allowed}."
    )


_CHECKS = {
    "env_vars": _env_vars,
    "excludes": _excludes,
    "py_modules": _py_modules,
    "working_dir": _working_dir,
}
