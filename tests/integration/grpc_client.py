"""A bare gRPC client, run by test_grpc.py in a process of its own: grpcio and stubs, no RustRay.

Its arguments: a folder with the stubs, a cluster.json, and the name of a function here, which checks one thing.
"""

from __future__ import annotations

import json
import pickle
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cloudpickle
import grpc

sys.path.insert(0, sys.argv[1])
import rustray_pb2 as pb
import rustray_pb2_grpc

CLUSTER = json.loads(Path(sys.argv[2]).read_text())
CHANNEL = grpc.insecure_channel(CLUSTER["address"])
STUB = rustray_pb2_grpc.RustRayStub(CHANNEL)
TOKEN = (("authorization", f"Bearer {CLUSTER['token']}"),)
WAIT_S = 30.0


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


def eventually(look: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not look():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


# -- what is checked ---------------------------------------------------------------------------------------


def check_token() -> None:
    service = pb.DESCRIPTOR.services_by_name["RustRay"]
    assert len(service.methods) == 15
    wrong = [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer " + "0" * 64),),
        (("authorization", CLUSTER["token"]),),
        (("authorization", TOKEN[0][1] + "0"),),
        (("token", CLUSTER["token"]),),
    ]
    for method in service.methods:
        request = getattr(pb, method.input_type.name)()
        for metadata in wrong:
            found, text = refused(call_any, method, request, metadata)
            assert found == grpc.StatusCode.UNAUTHENTICATED, (method.name, metadata, found, text)
            assert CLUSTER["token"] not in text
    unknown = CHANNEL.unary_unary("/rustray.v1.RustRay/NoSuchMethod")
    assert refused(unknown, b"", timeout=WAIT_S)[0] == grpc.StatusCode.UNAUTHENTICATED
    assert refused(unknown, b"", metadata=TOKEN, timeout=WAIT_S)[0] == grpc.StatusCode.UNIMPLEMENTED


def check_tasks() -> None:
    client = Client(name="tasks")
    first = client.submit(lambda x, y=1: x * 10 + y, 4, y=2)
    assert client.get(first) == 42
    assert client.get(client.submit(lambda x: x + 1, pb.Value(ref=first))) == 43
    late = client.submit(lambda: (time.sleep(0.3), 7)[1])
    assert client.get(client.submit(lambda a, *, b: a + b, pb.Value(ref=late), b=pb.Value(ref=late))) == 14
    two = client.submit_many(lambda: ("a", "b"), options={"num_returns": 2})
    assert [client.get(ref) for ref in two] == ["a", "b"]
    assert client.submit_many(lambda: None, options={"num_returns": 0}) == []
    named = client.submit(lambda: 1 / 0, options={"name": "divide"})
    assert client.error(named).function == "divide"
    pids = {client.get(client.submit("os:getpid")) for _ in range(5)}
    assert pids and CLUSTER["pid"] not in pids
    client.close()


def check_errors() -> None:
    client = Client()

    def outer() -> None:
        inner({"a": 1})

    def inner(table: dict[str, int]) -> None:
        raise KeyError(table["b"])

    told = client.error(client.submit(outer))
    assert told.type == "KeyError" and told.message == "'b'" and "in inner" in told.traceback, told

    class Own(Exception):
        def __init__(self, number: int, text: str) -> None:
            super().__init__(f"{text} {number}")

    def raises_own() -> None:
        raise Own(3, "it was")

    told = client.error(client.submit(raises_own))
    assert told.type.endswith("Own") and told.message == "it was 3", told
    follower = client.submit(lambda x: x, pb.Value(ref=client.submit(raises_own)))
    assert client.error(follower).message == "it was 3"
    told = client.error(client.submit("os:_exit", 3, options={"max_retries": 0}))
    assert told.type.startswith("rustray.errors.Worker") and not told.traceback, told
    assert client.error(client.submit("no_such_module:f")).type == "rustray.errors.DeserializationError"
    assert client.error(client.submit("no path")).type == "rustray.errors.DeserializationError"
    broken = pb.Value(pickle=pb.Pickle(data=b"no pickle"))
    assert client.error(client.submit("builtins:id", broken)).type == "rustray.errors.DeserializationError"
    hopeless = client.submit(lambda: 1, options={"num_gpus": 64})
    while not any(row.infeasible for row in status().waiting):
        time.sleep(0.01)  # no error: a node that has them may join
    client.call("CancelTask", client.make("CancelTask", ref=hopeless))
    assert client.error(hopeless).type == "rustray.errors.TaskCancelledError"

    Code = grpc.StatusCode
    assert refused(client.submit, lambda: 1, options={"num_cpus": -1})[0] == Code.INVALID_ARGUMENT
    assert refused(client.submit, lambda x: x, pb.Value())[0] == Code.INVALID_ARGUMENT
    assert refused(client.submit, lambda x: x, pb.Value(ref=b"x" * 16))[0] == Code.NOT_FOUND
    assert refused(client.get, b"x" * 16)[0] == Code.NOT_FOUND
    assert refused(client.get, b"")[0] == Code.NOT_FOUND
    assert refused(client.call, "SubmitTask", client.make("SubmitTask"))[0] == Code.INVALID_ARGUMENT
    missing = pb.RuntimeEnv(working_dir="/no/such/folder")
    found, text = refused(client.submit, lambda: 1, options={"runtime_env": missing})
    assert found == Code.FAILED_PRECONDITION and "/no/such/folder" in text
    other = Client()
    ref = client.submit(lambda: 1)
    assert refused(other.get, ref)[0] == Code.NOT_FOUND  # an id is of use in its own session only
    other.close()
    client.close()
    found, text = refused(client.get, ref)
    assert found == Code.NOT_FOUND and "OpenSession" in text


class Counter:
    def __init__(self, start: int) -> None:
        self.count = start

    def add(self, more: int) -> int:
        self.count += more
        return self.count

    def fail(self) -> None:
        raise ValueError("no")


class Bell:
    def __init__(self) -> None:
        import asyncio

        self.rung = asyncio.Event()

    async def ring(self) -> None:
        self.rung.set()

    async def heard(self) -> str:
        await self.rung.wait()
        return "ding"


def check_actors() -> None:
    Code = grpc.StatusCode
    client = Client(namespace="bells")
    made = client.create(Counter, pb.Value(ref=client.submit(lambda: 5)))
    assert made.class_name == "Counter" and list(made.methods) == ["add", "fail"]
    refs = [client.method(made.actor, "add", 1) for _ in range(50)]
    assert [client.get(ref) for ref in refs] == list(range(6, 56))
    assert client.error(client.method(made.actor, "fail")).type == "ValueError"
    found, text = refused(client.method, made.actor, "sub", 1)
    assert found == Code.INVALID_ARGUMENT and "add" in text
    bell = client.create(Bell)
    heard = client.method(bell.actor, "heard")
    client.get(client.method(bell.actor, "ring"))
    assert client.get(heard) == "ding"

    named = client.create(Counter, pb.Value(ref=client.submit(lambda: 1)), name="joe")
    other = Client(namespace="bells")
    found = other.call("GetActor", other.make("GetActor", name="joe"))
    assert found.actor == named.actor and list(found.methods) == ["add", "fail"]
    assert other.get(other.method(found.actor, "add", 1)) == 2
    assert refused(client.create, Counter, 1, name="joe")[0] == Code.ALREADY_EXISTS
    assert client.create(Counter, 1, name="joe", get_if_exists=True).actor == named.actor
    assert refused(other.call, "GetActor", other.make("GetActor", name="jim"))[0] == Code.NOT_FOUND
    client.call("KillActor", client.make("KillActor", actor=named.actor))
    while (told := other.result(other.method(found.actor, "add", 1))).WhichOneof("outcome") == "value":
        time.sleep(0.01)  # it dies when the heads have agreed on that
    assert told.error.type == "rustray.errors.ActorDiedError", told

    found, text = refused(client.create, "builtins:len")
    assert found == Code.INVALID_ARGUMENT and "class" in text
    failing = client.create(Counter)  # without its argument
    told = client.error(client.method(failing.actor, "add", 1))
    assert told.type == "rustray.errors.ActorDiedError" and "TypeError" in told.traceback, told
    client.release(made.actor)
    assert refused(client.method, made.actor, "add", 1)[0] == Code.NOT_FOUND
    client.close()
    other.close()


def check_objects() -> None:
    import numpy as np

    client = Client()
    ref = client.put(pickle.dumps({"a": [1, 2]}))
    assert client.get(ref) == {"a": [1, 2]}
    assert client.get_json(client.submit(lambda x: x["a"], pb.Value(ref=ref))) == [1, 2]

    array = np.arange(3_000_000, dtype=np.float64)  # 24 MB: streamed both ways
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(array, 5, buffer_callback=buffers.append)
    raw = bytes(buffers[0].raw())
    big = client.put(data + raw, [len(data), len(raw)])
    assert client.get(client.submit(lambda x: float(x.sum()), pb.Value(ref=big))) == array.sum()
    doubled = client.submit(lambda x: x * 2, pb.Value(ref=big))
    assert client.result(doubled).large > array.nbytes
    parts = client.get_parts(doubled)
    assert np.array_equal(pickle.loads(parts[0], buffers=parts[1:]), array * 2)
    assert b"".join(client.get_parts(client.submit(lambda: 5))) == pickle.dumps(5, 5)
    failed = list(client.call("GetObject", client.make("GetObject", ref=client.submit(lambda: 1 / 0))))
    assert failed[0].error.type == "ZeroDivisionError" and len(failed) == 1

    found, text = refused(client.put, b"1234", [2, 3])
    assert found == grpc.StatusCode.INVALID_ARGUMENT and "part_sizes" in text
    nameless = refused(client.call, "PutObject", iter([pb.PutObjectRequest(data=b"1")]))
    assert nameless[0] == grpc.StatusCode.NOT_FOUND
    assert refused(client.call, "PutObject", iter([]))[0] == grpc.StatusCode.INVALID_ARGUMENT

    slow, quick = client.submit("time:sleep", 60), client.submit(lambda: 1)
    told = client.wait([slow, quick, ref], num_returns=2)
    assert list(told.ready) == [quick, ref] and list(told.pending) == [slow]
    start = time.monotonic()
    told = client.wait([slow, quick], num_returns=2, timeout_s=0.2)
    assert list(told.ready) == [quick] and time.monotonic() - start < 10
    assert refused(client.wait, [slow], num_returns=2)[0] == grpc.StatusCode.INVALID_ARGUMENT

    client.release(big, doubled, ref, b"never heard of")
    eventually(lambda: status().store["used"] == 0)
    assert refused(client.get, ref)[0] == grpc.StatusCode.NOT_FOUND
    client.close()


def check_json() -> None:
    client = Client()
    ref = client.submit("builtins:sorted", pb.Value(json="[3, 1, 2]"), reverse=pb.Value(json="true"))
    assert client.get_json(ref) == [3, 2, 1]
    assert client.get(ref) == [3, 2, 1]  # it is the same object in both forms
    text = '{"name": "J\u00fcrgen", "numbers": [1, 2.5, null]}'
    put = client.put(text.encode(), form=pb.JSON)
    assert client.get(put) == json.loads(text)
    assert client.get_json(client.submit("builtins:dict", pb.Value(ref=put))) == json.loads(text)
    assert json.loads(client.get_parts(put, pb.JSON)[0]) == json.loads(text)
    made = client.create("collections:Counter", pb.Value(json='"abca"'))
    assert client.get_json(client.method(made.actor, "most_common", pb.Value(json="1"))) == [["a", 2]]

    def arrays() -> Any:
        import numpy as np

        return {"a": np.arange(3), "b": np.float64(1.5)}

    assert client.get_json(client.submit(arrays)) == {"a": [0, 1, 2], "b": 1.5}
    assert client.error(client.submit(lambda: {1, 2}), pb.JSON).type == "TypeError"
    assert client.error(client.submit(lambda: float("nan")), pb.JSON).type == "ValueError"
    assert client.error(client.put(b"{no json", form=pb.JSON)).type == "json.decoder.JSONDecodeError"
    big = client.submit(lambda: "x" * 2_000_000)
    assert client.result(big, pb.JSON).large == 2_000_002
    # JSON is told also while every CPU is taken.
    known = client.submit(lambda: 5)
    client.get(known)
    taken = [client.submit("time:sleep", 60) for _ in range(4)]
    client.wait(taken, timeout_s=0.5)
    assert client.get_json(known) == 5
    client.close()


def check_cancel_and_deadline() -> None:
    client = Client()
    slow = client.submit("time:sleep", 60)
    start = time.monotonic()
    assert refused(client.get, slow, timeout=0.3)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    assert refused(client.get, slow, timeout=0.3)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - start < 20
    waiting: list[pb.TaskError] = []
    thread = threading.Thread(target=lambda: waiting.append(client.error(slow)))
    thread.start()
    client.call("CancelTask", client.make("CancelTask", ref=slow))
    thread.join(WAIT_S)
    assert waiting[0].type == "rustray.errors.TaskCancelledError"
    later = client.submit(lambda: (time.sleep(0.6), "done")[1])
    assert refused(client.get, later, timeout=0.1)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    assert client.get(later) == "done"
    forced = client.submit("time:sleep", 60)
    client.wait([forced], timeout_s=0.3)
    client.call("CancelTask", client.make("CancelTask", ref=forced, force=True))
    assert client.error(forced).type in (
        "rustray.errors.TaskCancelledError",
        "rustray.errors.WorkerCrashedError",
    )
    client.close()


def check_sessions() -> None:
    before = {job.id for job in status().jobs}
    client = Client(name="short", lease_s=1.5)
    assert client.opened.lease_s == 1.5
    client.put(pickle.dumps(b"x" * 1_000_000))
    made = client.create(Counter, 1)
    pid = client.get(client.submit("os:getpid"))
    client.submit("time:sleep", 60)
    (job,) = (job for job in status().jobs if job.id not in before and job.name == "short")
    assert not job.HasField("end")
    waits = client.submit("time:sleep", 3.0, options={"num_cpus": 0})
    client.get(waits)  # longer than the lease, which does not run out meanwhile
    for _ in range(4):
        time.sleep(0.5)
        client.call("RenewSession", client.make("RenewSession"))
    assert client.get(client.method(made.actor, "add", 1)) == 2
    # From here on the client is silent.
    eventually(lambda: next(j for j in status().jobs if j.id == job.id).HasField("end"))
    eventually(lambda: not any(worker.job == job.id for worker in status().workers))
    eventually(lambda: status().store["used"] == 0)
    assert next(actor for actor in status().actors if actor.id == made.actor).state == "DEAD"
    assert (
        pid
        and refused(client.call, "RenewSession", client.make("RenewSession"))[0] == grpc.StatusCode.NOT_FOUND
    )
    assert refused(Client, lease_s=-1)[0] == grpc.StatusCode.INVALID_ARGUMENT

    folder = Path(sys.argv[1]) / "project"
    folder.mkdir()
    (folder / "own_module.py").write_text("def f(x):\n    import os\n    return [x, os.environ['COLOUR']]\n")
    env = pb.RuntimeEnv(working_dir=str(folder), env_vars={"COLOUR": "red"})
    client = Client(runtime_env=env)
    assert client.get_json(client.submit("own_module:f", pb.Value(json="1"))) == [1, "red"]
    blue = pb.RuntimeEnv(env_vars={"COLOUR": "blue"})
    ref = client.submit("own_module:f", pb.Value(json="1"), options={"runtime_env": blue})
    assert client.get_json(ref) == [1, "blue"]
    client.close()

    opened = []
    found = None
    while found is None and len(opened) < 100:
        try:
            opened.append(Client())
        except grpc.RpcError as error:
            found = error.code()
    assert found == grpc.StatusCode.RESOURCE_EXHAUSTED and len(opened) == 64, (found, len(opened))
    for one in opened:
        one.close()
    Client().close()


def check_status() -> None:
    client = Client(name="looked at")
    client.create(Counter, 1, name="joe")
    taken = [client.submit("time:sleep", 60) for _ in range(6)]
    client.wait(taken, timeout_s=1.0)
    told = status()
    assert told.total["CPU"] == 2 and told.available["CPU"] == 0
    assert [node.alive for node in told.nodes] == [True] and told.nodes[0].total["CPU"] == 2
    assert "looked at" in [job.name for job in told.jobs if not job.HasField("end")]
    assert [(actor.name, actor.state) for actor in told.actors if actor.state != "DEAD"] == [("joe", "ALIVE")]
    assert len(told.workers) >= 3 and sum(bool(worker.actor) for worker in told.workers) == 1
    assert told.store["capacity"] > 0
    assert [row.name for row in told.waiting] == ["sleep"] and told.waiting[0].wanted > told.waiting[0].held
    client.close()


class Trap:
    """Becomes `thing`, and tells who unpickles it: their process ids are written into a file."""

    def __init__(self, path: str, thing: Any) -> None:
        self.path = path
        self.thing = thing

    def __reduce__(self) -> Any:
        def spring(path: str, thing: Any) -> Any:
            import os

            with open(path, "a") as file:
                file.write(f"{os.getpid()}\n")
            return thing

        return spring, (self.path, self.thing)


def check_server_unpickles_nothing() -> None:
    trapped_by = Path(sys.argv[1]) / "trapped_by"

    def trap(thing: Any) -> Trap:
        return Trap(str(trapped_by), thing)

    def value_of(thing: Any) -> pb.Value:
        return pb.Value(pickle=pb.Pickle(data=cloudpickle.dumps(trap(thing))))

    def fails(trapped: Any) -> None:
        raise RuntimeError(Trap(trapped, 1))

    client = Client()
    failed = client.submit(fails, str(trapped_by))
    actor = client.create(trap(Counter), value_of(3)).actor
    checks = {
        "code and argument": lambda: client.get(client.submit(trap(sum), value_of([1, 2]))),
        "result": lambda: client.get_json(client.submit(lambda: trap(5))),
        "put": lambda: client.get_json(client.put(cloudpickle.dumps(trap(5)))),
        "exception": lambda: client.error(failed),
        "exception passed on": lambda: client.error(client.submit(lambda x: x, pb.Value(ref=failed))),
        "actor": lambda: client.get(client.method(actor, "add", value_of(4))),
        "named actor": lambda: client.error(
            client.method(client.create(trap(Counter), pb.Value(ref=failed), name="joe").actor, "add")
        ),
    }
    for name, check in checks.items():
        check()
        pids = {int(line) for line in trapped_by.read_text().split()}
        assert pids and CLUSTER["pid"] not in pids, (name, pids, CLUSTER["pid"])
    client.close()


if __name__ == "__main__":
    try:
        globals()[sys.argv[3]]()
    finally:
        for left in list(Client.opened_here):
            left.close()
        CHANNEL.close()
    assert "rustray" not in sys.modules
    print("passed")
