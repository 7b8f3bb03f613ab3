"""RustRay: distributed computing that lives in the notebook.

import rustray

rustray.init()

@rustray.remote
def square(x):
    return x * x

rustray.get([square.remote(i) for i in range(4)])
"""

import importlib
from typing import Any

from rustray import exceptions, kv
from rustray.driver.actor_class import ActorClass, method
from rustray.driver.actor_handle import ActorHandle
from rustray.driver.api import (
    available_resources,
    cancel,
    cancel_all,
    cluster_resources,
    get,
    get_actor,
    get_gpu_ids,
    kill,
    logs,
    nodes,
    put,
    remote,
    wait,
)
from rustray.driver.connecting import init, is_initialized, shutdown
from rustray.driver.generator import DynamicObjectRefGenerator, ObjectRefGenerator
from rustray.driver.refs import ObjectRef
from rustray.driver.remote_function import RemoteFunction
from rustray.explanation import explain
from rustray.progress import progress
from rustray.runtime_context import get_runtime_context
from rustray.status import status
from rustray.timeline import timeline

__version__ = "0.1.0"

__all__ = [
    "ActorClass",
    "ActorHandle",
    "DynamicObjectRefGenerator",
    "ObjectRef",
    "ObjectRefGenerator",
    "RemoteFunction",
    "available_resources",
    "cancel",
    "cancel_all",
    "cluster_resources",
    "exceptions",
    "explain",
    "get",
    "get_actor",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "kill",
    "kv",
    "logs",
    "method",
    "nodes",
    "progress",
    "put",
    "remote",
    "shutdown",
    "status",
    "timeline",
    "wait",
]

OF_RAY_ONLY = frozenset(
    "air autoscaler cpp_function cross_language dag data experimental internal java_function job_submission llm "
    "rllib serve train tune widgets workflow".split()
)
"""What `ray` has and `rustray` has not."""


def __getattr__(name: str) -> Any:
    # As modules of the package, without an import of their own; loaded when first asked for.
    if name in ("clusters", "dashboard", "testing", "util"):
        return importlib.import_module(f"rustray.{name}")
    told = f"module 'rustray' has no attribute {name!r}"
    if name in OF_RAY_ONLY:
        told += ": that part of Ray is not there; the table 'If you know Ray' in the README says what is"
    raise AttributeError(told)


def load_ipython_extension(ipython):  # type: ignore[no-untyped-def]
    """`%load_ext rustray`."""
    from rustray.jupyter.loading import load

    load(ipython)


def unload_ipython_extension(ipython):  # type: ignore[no-untyped-def]
    """`%unload_ext rustray`."""
    from rustray.jupyter.loading import unload

    unload(ipython)
