"""The methods of rustray.proto: each checks its request, has the session's gateway do it, and answers.

All of it runs in the server's event loop, and never waits there: what may block is done in `_threads`, and
what takes as long as a task is awaited by callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import grpc
import grpc.aio

from rustray import errors
from rustray.driver.refs import ObjectRef
from rustray.head import grpc_values as values
from rustray.head.gateway import Gateway, Parts, TooManyError, UnknownIdError
from rustray.head.grpc_sessions import ClientSession, ClientSessions, lease_of
from rustray.head.grpc_status import cluster_status
from rustray.wire import rustray_pb2 as pb
from rustray.wire import rustray_pb2_grpc

log = logging.getLogger(__name__)

T = TypeVar("T")
Context: TypeAlias = grpc.aio.ServicerContext
Handler = Callable[[Any, Any, Context], Awaitable[Any]]

THREADS = 16
SWEEP_S = 1.0
MAX_UPLOAD_BYTES = 1 << 30
"""Of all objects that are being put, together: they are gathered in the server's memory."""

_STATUS: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (UnknownIdError, grpc.StatusCode.NOT_FOUND),
    (TooManyError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.ActorNotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.ActorAlreadyExistsError, grpc.StatusCode.ALREADY_EXISTS),
    (errors.ObjectStoreFullError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.ObjectLostError, grpc.StatusCode.DATA_LOSS),
    (errors.RuntimeEnvSetupError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.OptionError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.SessionError, grpc.StatusCode.UNAVAILABLE),
)


def answers(handler: Handler) -> Handler:
    """What a method raises becomes the status of its call."""

    @functools.wraps(handler)
    async def call(self: Any, request: Any, context: Context) -> Any:
        try:
            return await handler(self, request, context)
        except Exception as error:
            for kind, status in _STATUS:
                if isinstance(error, kind):
                    await context.abort(status, str(error))
            raise  # grpc's own way of ending a call, or a fault of ours, which it logs

    return call


class RustRayServicer(rustray_pb2_grpc.RustRayServicer):  # type: ignore[misc]
    """See rustray.proto.

    Parameters
    ----------
    path: the node's socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._sessions = ClientSessions()
        self._threads = ThreadPoolExecutor(THREADS, "rustray-grpc")
        self._asks: Gateway | None = None
        self._asks_lock = asyncio.Lock()
        self._uploading = 0
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Close sessions whose leases run out, from now on."""
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def stop(self) -> None:
        """Close all sessions."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        gateways = [session.gateway for session in self._sessions.remove_all()]
        if self._asks is not None:
            gateways.append(self._asks)
        await asyncio.gather(*(self._in_thread(gateway.close) for gateway in gateways))
        self._threads.shutdown(wait=False)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            for session in self._sessions.expired(time.monotonic()):
                log.info("the lease of a gRPC session ran out: it is closed")
                await self._in_thread(session.gateway.close)

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    @contextlib.asynccontextmanager
    async def _session(self, sid: bytes) -> AsyncIterator[ClientSession]:
        """The session that a call names, kept alive while the call is under way."""
        session = self._sessions.find(sid, time.monotonic())
        session.calls += 1
        try:
            yield session
        finally:
            session.calls -= 1
            session.last = time.monotonic()

    async def _known(self, gateway: Gateway, refs: Sequence[ObjectRef], count: int) -> None:
        """Wait until `count` of `refs` have a value or an error."""
        loop = asyncio.get_running_loop()
        enough = asyncio.Event()
        numbers = itertools.count(1)

        def one_more() -> None:
            if next(numbers) == count:
                with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                    loop.call_soon_threadsafe(enough.set)

        def watch() -> None:
            for ref in refs:
                gateway.when_known(ref, one_more)

        try:
            await self._in_thread(watch)
            await enough.wait()
        finally:
            with contextlib.suppress(RuntimeError):  # the service is being stopped
                self._threads.submit(gateway.forget, refs, one_more)

    # -- sessions --------------------------------------------------------------------------------------

    @answers
    async def OpenSession(self, request: pb.OpenSessionRequest, context: Context) -> pb.OpenSessionReply:
        lease_s = lease_of(request.lease_s)
        env = values.env_of(request.runtime_env)
        with self._sessions.opening():
            opened = self._threads.submit(Gateway, self._path, request.name or "grpc", request.namespace, env)
            try:
                gateway = await asyncio.wrap_future(opened)
            except asyncio.CancelledError:
                # The client has gone meanwhile.
                opened.add_done_callback(_close_opened)
                raise
            session = self._sessions.add(gateway, lease_s, time.monotonic())
        return pb.OpenSessionReply(session=session.id, lease_s=lease_s, namespace=gateway.namespace)

    @answers
    async def RenewSession(self, request: pb.RenewSessionRequest, context: Context) -> pb.RenewSessionReply:
        async with self._session(request.session) as session:
            return pb.RenewSessionReply(lease_s=session.lease_s)

    @answers
    async def CloseSession(self, request: pb.CloseSessionRequest, context: Context) -> pb.CloseSessionReply:
        session = self._sessions.remove(request.session)
        if session is not None:
            await self._in_thread(session.gateway.close)
        return pb.CloseSessionReply()

    # -- tasks -----------------------------------------------------------------------------------------

    @answers
    async def SubmitTask(self, request: pb.SubmitTaskRequest, context: Context) -> pb.SubmitTaskReply:
        code = values.code_of(request.function, "function")
        digest = values.digest_of(request.function, request.options)
        options = values.options_of(request.options)
        async with self._session(request.session) as session:
            gateway = session.gateway
            args, kwargs = values.arguments_of(gateway, request.arguments)
            async with session.order:
                refs = await self._in_thread(gateway.submit, digest, code, args, kwargs, options)
        return pb.SubmitTaskReply(refs=refs)

    @answers
    async def GetTaskResult(self, request: pb.GetTaskResultRequest, context: Context) -> pb.TaskResult:
        async with self._session(request.session) as session:
            found = await self._value(session.gateway, request.ref, request.format)
        if isinstance(found, pb.TaskError):
            return pb.TaskResult(error=found)
        if isinstance(found, memoryview):
            if len(found) > values.INLINE_BYTES:
                return pb.TaskResult(large=len(found))
            return pb.TaskResult(value=pb.Value(json=str(found, "utf-8")))
        size = values.size_of(found)
        if size > values.INLINE_BYTES:
            return pb.TaskResult(large=size)
        return pb.TaskResult(value=values.value_message(found))

    async def _value(
        self, gateway: Gateway, oid: bytes, form: pb.Format
    ) -> Parts | memoryview | pb.TaskError:
        """A value as a pickle with buffers, or as JSON, once it is known; or the error in its place."""
        ref = gateway.ref(oid)
        await self._known(gateway, [ref], 1)
        error = gateway.error_of(ref)
        if error is None and form == pb.JSON:
            ref = await self._in_thread(gateway.write_json, oid)
            await self._known(gateway, [ref], 1)
            error = gateway.error_of(ref)
        if error is not None:
            return values.error_message(error)
        parts = await self._in_thread(gateway.parts, ref)
        return memoryview(parts[1][0]) if form == pb.JSON else parts

    @answers
    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskReply:
        recursive = request.recursive if request.HasField("recursive") else True
        async with self._session(request.session) as session:
            await self._in_thread(session.gateway.cancel, request.ref, request.force, recursive)
        return pb.CancelTaskReply()

    # -- actors ----------------------------------------------------------------------------------------

    @answers
    async def CreateActor(self, request: pb.CreateActorRequest, context: Context) -> pb.ActorReply:
        code = values.code_of(request.actor_class, "class")
        digest = values.digest_of(request.actor_class, request.options.runtime_env)
        options = values.options_of(request.options)
        async with self._session(request.session) as session:
            gateway = session.gateway
            args, kwargs = values.arguments_of(gateway, request.arguments)
            facts = gateway.known_class_facts(digest)
            if facts is None:
                ref = await self._in_thread(gateway.ask_class_facts, code, options.get("runtime_env"))
                await self._known(gateway, [ref], 1)
                error = gateway.error_of(ref)
                if error is not None:
                    raise errors.OptionError(f"The class cannot be used: {error.type_name}: {error.message}")
                _pickle, buffers = await self._in_thread(gateway.parts, ref)
                facts = gateway.learn_class_facts(digest, json.loads(bytes(buffers[0])))
            async with session.order:
                handle = await self._in_thread(gateway.create_actor, facts, code, args, kwargs, options)
        return _actor_reply(handle)

    @answers
    async def GetActor(self, request: pb.GetActorRequest, context: Context) -> pb.ActorReply:
        async with self._session(request.session) as session:
            find = session.gateway.find_actor
            return _actor_reply(await self._in_thread(find, request.name, request.namespace))

    @answers
    async def CallActor(self, request: pb.CallActorRequest, context: Context) -> pb.SubmitTaskReply:
        returns = request.num_returns if request.HasField("num_returns") else None
        async with self._session(request.session) as session:
            gateway = session.gateway
            args, kwargs = values.arguments_of(gateway, request.arguments)
            async with session.order:
                refs = await self._in_thread(
                    gateway.call_actor, request.actor, request.method, args, kwargs, returns
                )
        return pb.SubmitTaskReply(refs=refs)

    @answers
    async def KillActor(self, request: pb.KillActorRequest, context: Context) -> pb.KillActorReply:
        async with self._session(request.session) as session:
            await self._in_thread(session.gateway.kill_actor, request.actor, request.restart)
        return pb.KillActorReply()

    # -- objects ---------------------------------------------------------------------------------------

    @answers
    async def PutObject(
        self, requests: AsyncIterator[pb.PutObjectRequest], context: Context
    ) -> pb.PutObjectReply:
        first = await anext(aiter(requests), None)
        if first is None:
            raise errors.OptionError("PutObject needs a message that names the session.")
        body = bytearray()
        async with self._session(first.session) as session:
            try:
                self._take(body, first.data)
                async for request in requests:
                    self._take(body, request.data)
                gateway = session.gateway
                if first.format == pb.JSON:
                    ref = await self._in_thread(gateway.put_json, bytes(body))
                else:
                    pickle, buffers = values.split(memoryview(body), list(first.part_sizes))
                    ref = await self._in_thread(gateway.put, pickle, buffers)
            finally:
                self._uploading -= len(body)
        return pb.PutObjectReply(ref=ref)

    def _take(self, body: bytearray, data: bytes) -> None:
        if self._uploading + len(data) > MAX_UPLOAD_BYTES:
            raise TooManyError(
                f"Objects of more than {MAX_UPLOAD_BYTES >> 20} MiB together are being put. Put them one after "
                "another, in smaller pieces, or have a task make them."
            )
        self._uploading += len(data)
        body += data

    @answers
    async def GetObject(self, request: pb.GetObjectRequest, context: Context) -> None:
        async with self._session(request.session) as session:
            found = await self._value(session.gateway, request.ref, request.format)
            if isinstance(found, pb.TaskError):
                await context.write(pb.ObjectChunk(error=found))
                return
            parts: Parts = (found, ()) if isinstance(found, memoryview) else found
            await context.write(pb.ObjectChunk(part_sizes=values.part_sizes(parts)))
            for part in (parts[0], *parts[1]):
                view = memoryview(part)
                for at in range(0, len(view), values.CHUNK_BYTES):
                    await context.write(pb.ObjectChunk(data=bytes(view[at : at + values.CHUNK_BYTES])))

    @answers
    async def WaitObjects(self, request: pb.WaitObjectsRequest, context: Context) -> pb.WaitObjectsReply:
        count = request.num_returns or 1
        if count > len(request.refs):
            raise errors.OptionError(f"num_returns={count}, but there are {len(request.refs)} refs.")
        timeout = request.timeout_s if request.HasField("timeout_s") else None
        async with self._session(request.session) as session:
            gateway = session.gateway
            refs = [gateway.ref(oid) for oid in request.refs]
            with contextlib.suppress(TimeoutError):  # it is no error to have fewer by then
                async with asyncio.timeout(timeout):
                    await self._known(gateway, refs, count)
            reply = pb.WaitObjectsReply()
            for ref in refs:
                ready = len(reply.ready) < count and gateway.is_known(ref)
                (reply.ready if ready else reply.pending).append(ref.binary())
        return reply

    @answers
    async def ReleaseObjects(
        self, request: pb.ReleaseObjectsRequest, context: Context
    ) -> pb.ReleaseObjectsReply:
        async with self._session(request.session) as session:
            await self._in_thread(session.gateway.release, list(request.ids))
        return pb.ReleaseObjectsReply()

    # -- status ----------------------------------------------------------------------------------------

    @answers
    async def ClusterStatus(
        self, request: pb.ClusterStatusRequest, context: Context
    ) -> pb.ClusterStatusReply:
        async with self._asks_lock:
            if self._asks is None:
                self._asks = await self._in_thread(Gateway, self._path, "grpc status", "", {})
        return await self._in_thread(cluster_status, self._asks.query)


def _actor_reply(handle: Any) -> pb.ActorReply:
    told = handle._handle
    methods = sorted(name for name in told["methods"] if not name.startswith("_"))
    return pb.ActorReply(actor=handle._entry.id, class_name=told["name"], methods=methods)


def _close_opened(opened: Any) -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()
