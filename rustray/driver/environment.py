"""What workers are given of the driver: its environment, folder and modules."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from rustray import runtime_env as runtime_envs
from rustray.driver.session import Session
from rustray.wire.security import TOKEN_VARIABLE


def driver_place() -> dict[str, Any]:
    """The environment, working directory and module path of this process, for its workers.

    Without the cluster's token: the heads keep it on disk, and what tasks start could see it.
    """
    folder = os.getcwd()
    path = [folder if entry == "" else entry for entry in sys.path]
    env = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    return {"env": env, "cwd": folder, "sys_path": path}


def class_environment(session: Session, env: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, bytes]:
    """(prepared runtime environment, its key) for workers of a task or actor; (None, b"") for the job's own."""
    if not env:
        return None, b""
    prepared = runtime_envs.prepare(runtime_envs.RuntimeEnv(env), session.info["folder"])
    merged = runtime_envs.merge(session.info.get("runtime_env") or {}, prepared)
    return dict(merged), runtime_envs.key(merged)
