"""Actors and objects asked for over gRPC. See client.py."""

from __future__ import annotations

import pickle
import time
from typing import Any

import grpc
import rustray_pb2 as pb
from client import Client, Counter, eventually, refused, run, status


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

    def call_killed() -> Any:
        told = other.result(other.method(found.actor, "add", 1))
        return told.WhichOneof("outcome") == "error" and told

    told = eventually(call_killed)  # it dies when the heads have agreed on that
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


if __name__ == "__main__":
    run(globals())
