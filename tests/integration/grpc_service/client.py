"""A bare gRPC client, of programs that test_grpc.py runs in a process of their own: grpcio and stubs, no RustRay.

Their arguments: a folder for what they write, a cluster.json, and the name of a function, which checks one thing. The
stubs are on their path.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle
import grpc
import rustray_pb2 as pb
import rustray_pb2_grpc

FOLDER = Path(sys.argv[1])
CLUSTER = json.loads(Path(sys.argv[2]).read_text())
CHANNEL = grpc.insecure_channel(CLUSTER["address"])
STUB = rustray_pb2_grpc.RustRayStub(CHANNEL)
TOKEN = (("authorization", f"Bearer {CLUSTER['token']}"),)
WAIT_S = 90.0

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file


def value(thing: Any) -> pb.Value:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(thing, 5, buffer_callback=buffers.append)
    return pb.Value(pickle=pb.Pickle(data=data, buffers=[bytes(buffer.raw()) for buffer in buffers]))


def code(thing: Any) -> pb.Code:
    return pb.Code(path=thing) if isinstance(thing, str) else pb.Code(pickle=cloudpickle.dumps(thing))


def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> pb.Arguments:
    def one(thing: Any) -> pb.Value:
        return thing if isinstance(thing, pb.Value) else value(thing)

    return pb.Arguments(
        positional=map(one, args), keyword={name: one(thing) for name, thing in kwargs.items()}
    )


class Client:
    opened_here: list[Client] = []

    def __init__(self, **fields: Any) -> None:
        self.opened = self.call("OpenSession", pb.OpenSessionRequest(**fields))
        self.session = self.opened.session
        self.opened_here.append(self)

    def call(self, method: str, request: Any, timeout: float = WAIT_S) -> Any:
        return getattr(STUB, method)(request, metadata=TOKEN, timeout=timeout)

    def make(self, kind: str, **fields: Any) -> Any:
        return getattr(pb, kind + "Request")(session=self.session, **fields)

    def submit(
        self, function: Any, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any
    ) -> bytes:
        (ref,) = self.submit_many(function, *args, options=options, **kwargs)
        return ref

    def submit_many(self, function: Any, *args: Any, options: Any = None, **kwargs: Any) -> list[bytes]:
        request = self.make(
            "SubmitTask",
            function=code(function),
            arguments=arguments(args, kwargs),
            options=pb.TaskOptions(**(options or {})),
        )
        return list(self.call("SubmitTask", request).refs)

    def result(self, ref: bytes, form: int = pb.PICKLE, timeout: float = WAIT_S) -> Any:
        return self.call("GetTaskResult", self.make("GetTaskResult", ref=ref, format=form), timeout)

    def get(self, ref: bytes, timeout: float = WAIT_S) -> Any:
        told = self.result(ref, timeout=timeout)
        assert told.WhichOneof("outcome") == "value", told
        return pickle.loads(told.value.pickle.data, buffers=told.value.pickle.buffers)

    def get_json(self, ref: bytes) -> Any:
        told = self.result(ref, pb.JSON)
        assert told.WhichOneof("outcome") == "value", told
        return json.loads(told.value.json)

    def error(self, ref: bytes, form: int = pb.PICKLE) -> pb.TaskError:
        told = self.result(ref, form)
        assert told.WhichOneof("outcome") == "error", told
        return told.error

    def create(self, cls: Any, *args: Any, **options: Any) -> Any:
        request = self.make(
            "CreateActor",
            actor_class=code(cls),
            arguments=arguments(args, {}),
            options=pb.ActorOptions(**options),
        )
        return self.call("CreateActor", request)

    def method(self, actor: bytes, name: str, *args: Any) -> bytes:
        request = self.make("CallActor", actor=actor, method=name, arguments=arguments(args, {}))
        (ref,) = self.call("CallActor", request).refs
        return ref

    def put(self, data: bytes, sizes: list[int] | None = None, form: int = pb.PICKLE) -> bytes:
        step = 1 << 20
        requests = [self.make("PutObject", format=form, part_sizes=sizes or [], data=data[:step])]
        requests += [pb.PutObjectRequest(data=data[at : at + step]) for at in range(step, len(data), step)]
        return self.call("PutObject", iter(requests)).ref

    def get_parts(self, ref: bytes, form: int = pb.PICKLE) -> list[bytes]:
        chunks = list(self.call("GetObject", self.make("GetObject", ref=ref, format=form)))
        data, parts, at = b"".join(chunk.data for chunk in chunks), [], 0
        for size in chunks[0].part_sizes:
            parts.append(data[at : at + size])
            at += size
        assert at == len(data)
        return parts

    def wait(self, refs: list[bytes], **fields: Any) -> Any:
        return self.call("WaitObjects", self.make("WaitObjects", refs=refs, **fields))

    def release(self, *ids: bytes) -> None:
        self.call("ReleaseObjects", self.make("ReleaseObjects", ids=ids))

    def close(self) -> None:
        self.opened_here.remove(self)
        self.call("CloseSession", self.make("CloseSession"))


def status() -> Any:
    return STUB.ClusterStatus(pb.ClusterStatusRequest(), metadata=TOKEN, timeout=WAIT_S)


def refused(call: Any, *args: Any, **kwargs: Any) -> tuple[grpc.StatusCode, str]:
    try:
        told = call(*args, **kwargs)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"it was not refused, but gave {told}")


def call_any(method: Any, request: Any, metadata: Any) -> Any:
    call = getattr(STUB, method.name)
    told = call(iter([request]) if method.client_streaming else request, metadata=metadata, timeout=WAIT_S)
    return list(told) if method.server_streaming else told


def eventually(look: Any) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found


def held(path: str, thing: Any) -> Any:
    """A task that is not over before there is a file at `path`."""
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.005)
    return thing


class Counter:
    def __init__(self, start: int) -> None:
        self.count = start

    def add(self, more: int) -> int:
        self.count += more
        return self.count

    def fail(self) -> None:
        raise ValueError("no")


def run(checks: dict[str, Any]) -> None:
    """Do the one check that the command line names."""
    try:
        checks[sys.argv[3]]()
    finally:
        for left in list(Client.opened_here):
            left.close()
        CHANNEL.close()
    assert "rustray" not in sys.modules
    print("passed")
