"""A head alone, in this process: what it answers, when, and how often."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rustray.errors import ClusterStartError, OptionError
from rustray.head import raft, raft_socket
from rustray.head.raft import Replica
from tests.raft_cluster import free_addresses
from tests.raft_head import Tape


def run(test: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test, 20)

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def alone(folder: Path, **settings: Any) -> AsyncIterator[Replica]:
    leads = asyncio.Event()
    replica = Replica(
        "127.0.0.1:1", [], folder, "", Tape(), asyncio.get_running_loop(), leads.set, leads.clear, **settings
    )
    try:
        await leads.wait()
        yield replica
    finally:
        replica.close()


async def submit(replica: Replica, op: str = "append", **payload: Any) -> dict[str, Any]:
    answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    replica.submit(op, payload, answered.set_result)
    return await answered


def test_commands_are_answered_and_kept(tmp_path: Path) -> None:
    async def test() -> None:
        async with alone(tmp_path) as replica:
            assert await submit(replica, item="one") == {"position": 0}
            assert await submit(replica, item="two") == {"position": 1}
            assert await submit(replica, item="two") == {"position": 2}  # another operation
            assert replica.leader == replica.address and replica.is_leader
        async with alone(tmp_path) as replica:
            assert replica.state.items == ["one", "two", "two"]  # type: ignore[attr-defined]
            assert await submit(replica, item="three") == {"position": 3}

    run(test())


def test_who_asks_is_never_answered_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with alone(tmp_path) as replica:
            replica.close()
            answers: list[dict[str, Any]] = []
            replica.submit("append", {"item": "x"}, answers.append)
            assert answers == []
            await asyncio.sleep(0)
            assert [answer["error"] for answer in answers] == ["not_leader"]

    run(test())


def test_what_is_pending_at_the_end_is_answered_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with alone(tmp_path) as replica:
            answers: list[dict[str, Any]] = []
            for n in range(200):
                replica.submit("append", {"item": n}, answers.append)
            replica.close()
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(answers) == 200
            assert {answer.get("error") for answer in answers} <= {None, "unknown_outcome"}

    run(test())


def test_a_flood_is_refused_beyond_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft, "PENDING_BYTES", 200_000)

    async def test() -> None:
        async with alone(tmp_path) as replica:
            results = await asyncio.gather(*(submit(replica, item=n) for n in range(1000)))
            refused = [result for result in results if "error" in result]
            assert 500 < len(refused) < 1000 and {result["error"] for result in refused} == {"busy"}
            assert await submit(replica, item="later") == {"position": 1000 - len(refused)}

    run(test())


def test_nothing_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft, "COMMIT_TIMEOUT", 0.2)

    async def test() -> None:
        async with alone(tmp_path) as replica:
            monkeypatch.setattr(replica._thread, "put", lambda item: None)
            assert (await submit(replica, item="lost on its way"))["error"] == "unknown_outcome"

    run(test())


def test_bad_commands_are_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with alone(tmp_path) as replica:
            assert (await submit(replica, item=object()))["error"] == "bad_payload"
            assert (await submit(replica, item=bytes(17 << 20)))["error"] == "too_large"
            assert (await submit(replica, "poison"))["error"] == "apply_failed"
            assert await submit(replica, item="fine") == {"position": 0}

    run(test())


def test_an_error_in_an_answer_harms_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: reported.append(context["exception"])
        )

        def fail(result: Any) -> None:
            raise RuntimeError("the caller's own fault")

        async with alone(tmp_path) as replica:
            replica.submit("append", {"item": "one"}, fail)
            assert await submit(replica, item="two") == {"position": 1}
        assert [str(error) for error in reported] == ["the caller's own fault"]

    run(test())


def test_compaction_goes_on_while_commands_come(tmp_path: Path) -> None:
    async def test() -> None:
        async with alone(tmp_path, compact_entries=50, segment_bytes=1 << 16) as replica:
            for n in range(40):
                await asyncio.gather(*(submit(replica, item=f"{n} {m}" + "." * 500) for m in range(20)))
            while len(list(tmp_path.glob("journal-*"))) >= 6:  # of 400 KB; the last snapshot may be under way
                await asyncio.sleep(0.01)
        async with alone(tmp_path) as replica:
            assert len(replica.state.items) == 800  # type: ignore[attr-defined]

    run(test())


def test_an_error_below_stops_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        async with alone(tmp_path, on_failed=failed.set_result) as replica:

            def broken() -> None:
                raise OSError(5, "Input/output error")

            monkeypatch.setattr(replica._folder.journal, "sync", broken)
            assert (await submit(replica, item="x"))["error"] == "unknown_outcome"
            assert isinstance(await failed, OSError)
            assert not replica.is_leader

    run(test())


def test_heads_are_one_three_or_five(tmp_path: Path) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        for others in (["b:1"], ["b:1", "b:1"], ["a:1", "b:1"], ["b:1", "c:1", "d:1"]):
            with pytest.raises(OptionError, match="1, 3 or 5"):
                Replica("a:1", others, tmp_path, "token", Tape(), loop, lambda: None, lambda: None)
        with pytest.raises(OptionError, match="token"):
            Replica("a:1", ["b:1", "c:1"], tmp_path, "", Tape(), loop, lambda: None, lambda: None)

    run(test())


def test_importing_leaves_the_socket_module_alone() -> None:
    assert socket.inet_ntop(socket.AF_INET, bytes(4)) == "0.0.0.0"
    assert (
        socket.inet_ntop.__module__ == "_socket"
        or type(socket.inet_ntop).__name__ == "builtin_function_or_method"
    )


def test_events_of_the_poller_are_called_the_same() -> None:
    from pysyncobj.poller import POLL_EVENT_TYPE as events

    assert (raft_socket.READ, raft_socket.WRITE, raft_socket.ERROR) == (
        events.READ,
        events.WRITE,
        events.ERROR,
    )


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.path), "w")


def test_strangers_get_nothing_decoded_and_do_not_stay(tmp_path: Path) -> None:
    async def test() -> None:
        one, two, three = free_addresses(3)
        loop = asyncio.get_running_loop()
        replica = Replica(
            one, [two, three], tmp_path / "one", "token", Tape(), loop, lambda: None, lambda: None
        )
        try:
            host, port = one.split(":")
            with pytest.raises(ClusterStartError):
                Replica(one, [two, three], tmp_path / "1", "token", Tape(), loop, lambda: None, lambda: None)
            data = pickle.dumps(Bomb(tmp_path / "exploded"))
            for hello in (
                data,
                len(data).to_bytes(4, "little") + data,
                raft_socket.SecureLink(b"x", True).outgoing,
            ):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(bytes(hello) + bytes(200))
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
            silent = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
            assert await silent[0][0].read() == b""  # too many of them: the first has to go
            for _reader, writer in silent:
                writer.close()
            assert not (tmp_path / "exploded").exists()
            assert "away" in replica.waiting and replica.leader is None
        finally:
            replica.close()
        with socket.create_server((host, int(port))):
            pass  # the port is free at once

    run(test())


def test_the_port_is_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    assert raft._loopback("10.1.2.3:700") == "127.0.0.1:700"
    assert raft._loopback("127.0.0.5:700") == "127.0.0.5:700"


def test_a_head_alone_tells_that_it_leads(tmp_path: Path) -> None:
    async def test() -> None:
        async with alone(tmp_path) as replica:
            await submit(replica)
            (row,) = replica.heads()
            assert (row["state"], row["lag"], row["rtt_s"]) == ("leads", 0, None)
            assert row["term"] >= 1 and row["committed"] > 1

    run(test())
