"""Sessions and status over gRPC, and what the server never unpickles. See client.py."""

from __future__ import annotations

import pickle
import time
from typing import Any

import cloudpickle
import grpc
import rustray_pb2 as pb
from client import CLUSTER, FOLDER, Client, Counter, eventually, refused, run, status


def check_sessions() -> None:
    before = {job.id for job in status().jobs}
    client = Client(name="short", lease_s=3.0)
    assert client.opened.lease_s == 3.0
    client.put(pickle.dumps(b"x" * 1_000_000))
    made = client.create(Counter, 1)
    pid = client.get(client.submit("os:getpid"))
    client.submit("time:sleep", 60)
    (job,) = (job for job in status().jobs if job.id not in before and job.name == "short")
    assert not job.HasField("end")
    waits = client.submit("time:sleep", 4.0, options={"num_cpus": 0})
    client.get(waits)  # longer than the lease, which does not run out meanwhile
    for _ in range(4):
        time.sleep(1.0)  # it does nothing, for longer than a lease, but renew
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

    folder = FOLDER / "project"
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
    for _ in range(6):
        client.submit("time:sleep", 60)

    def busy() -> Any:
        told = status()
        # Actors and workers of other checks are on their way out.
        lasting = [(actor.name, actor.state) for actor in told.actors if actor.state != "DEAD"]
        return (
            told.available["CPU"] == 0
            and [row.name for row in told.waiting] == ["sleep"]
            and len(told.workers) >= 3
            and sum(bool(worker.actor) for worker in told.workers) == 1
            and lasting == [("joe", "ALIVE")]
            and told
        )

    told = eventually(busy)
    assert told.total["CPU"] == 2 and told.available["CPU"] == 0
    assert [node.alive for node in told.nodes] == [True] and told.nodes[0].total["CPU"] == 2
    assert "looked at" in [job.name for job in told.jobs if not job.HasField("end")]
    assert told.store["capacity"] > 0 and told.waiting[0].wanted > told.waiting[0].held
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
    trapped_by = FOLDER / "trapped_by"

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
    run(globals())
