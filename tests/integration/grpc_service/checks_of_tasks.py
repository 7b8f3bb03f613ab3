"""Tasks asked for over gRPC: who may, results, errors, JSON, cancelling. See client.py."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import grpc
import rustray_pb2 as pb
from client import (
    CHANNEL,
    CLUSTER,
    FOLDER,
    TOKEN,
    WAIT_S,
    Client,
    call_any,
    eventually,
    held,
    refused,
    run,
    status,
)


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
    gate = FOLDER / "late"
    late = client.submit(held, str(gate), 7)
    total = client.submit(lambda a, *, b: a + b, pb.Value(ref=late), b=pb.Value(ref=late))
    gate.touch()
    assert client.get(total) == 14
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
    # No error: a node that has them may join.
    eventually(lambda: any(row.infeasible for row in status().waiting))
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
    for _ in range(4):
        client.submit("time:sleep", 60)
    eventually(lambda: status().available["CPU"] == 0)
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
    gate = FOLDER / "later"
    later = client.submit(held, str(gate), "done")
    assert refused(client.get, later, timeout=0.1)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    gate.touch()
    assert client.get(later) == "done"
    forced = client.submit("time:sleep", 60)
    client.wait([forced], timeout_s=0.3)
    client.call("CancelTask", client.make("CancelTask", ref=forced, force=True))
    assert client.error(forced).type in (
        "rustray.errors.TaskCancelledError",
        "rustray.errors.WorkerCrashedError",
    )
    client.close()


if __name__ == "__main__":
    run(globals())
