"""The link for programs with an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from .. import context, errors
from ..options import Changes, Options
from . import frames, streams
from .core import Core, is_final
from .exports import Exported, examine_service
from .flow import ProtocolError
from .functions import AioLinkFunction, AioLinkStream
from .messages import (
    Answered,
    Called,
    Cancelled,
    Event,
    Incoming,
    Left,
    Limits,
    Opened,
    Outgoing,
    Refused,
    Released,
    Request,
    Response,
)
from .serving import Bound, failure, no_message
from .sessions import TaskPending, TaskSession
from .streams import BridgedMessages, TaskMessages, arun
from .workers import Workers

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor
    from typing_extensions import Self, Unpack

__all__ = ["AioLink"]

_log = logging.getLogger("carp_grpc")

_Code = grpc.StatusCode


class AioLink:
    """A link to a host, for use in one event loop: calls are awaited, tasks serve the host's.

        async with AioLink("unix:///run/host.sock", label="worker") as link:
            link.export(resize)
            await link.Catalog.Add("cat.png")
            await link.wait()

    Exported coroutine functions run as tasks of the loop; a task is cancelled when the host no
    longer waits for it. Plain functions run on threads, as many at once as `workers` says, and
    calls beyond either limit are answered with RESOURCE_EXHAUSTED. In all else it is as
    `carp_grpc.Link`, with the same arguments. Make it inside a coroutine.

    Raises:
        RuntimeError: no event loop runs in this thread.
    """

    _anonymous = False  # it is no host

    def __init__(
        self,
        target: str,
        label: str = "",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        channel_options: Iterable[tuple[str, Any]] = (),
        workers: int = 64,
        limits: Limits | None = None,
        **options: Unpack[Changes],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        changed = Options().changed(options)
        self._core = Core(
            target,
            label,
            channel_options,
            limits,
            changed,
            self._invoke,
            self._give_back,
            anonymous=self._anonymous,
        )
        self._credentials = credentials
        self._session: TaskSession | None = None
        self._connecting = True
        self._closed = False
        self._failure: BaseException | None = None  # of the latest attempt to connect
        self._changed = asyncio.Condition()
        self._serving: set[asyncio.Task[None]] = set()
        self._workers = Workers(workers, f"carp-link-{self._core.label}")
        self._keeper = loop.create_task(self._keep())

    # Exports.

    def export(
        self,
        thing: object,
        name: str | None = None,
        *,
        version: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Exported:
        """Make a function, or the public methods of an object, callable by the host.

        As `carp_grpc.Link.export`; coroutine functions are welcome.
        """
        self._core.check()
        session = self._session
        wire = session.wire if session else None
        exported = self._core.export(thing, name, version, metadata or {}, wire)
        self._send(session)
        return exported

    def export_service(
        self,
        servicer: object,
        service: ServiceDescriptor,
        *,
        version: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Exported:
        """Export a service that is described in a .proto file, for generated stubs of the host.

        As `carp_grpc.Link.export_service`; methods may be coroutine functions.
        """
        self._core.check()
        exported = examine_service(servicer, service, version, metadata or {})
        session = self._session
        self._core.add(exported, session.wire if session else None)
        self._send(session)
        return exported

    def unexport(self, name: str) -> None:
        """Take an export back; calls that run go on. Raises ValueError if there is none."""
        self._core.check()
        session = self._session
        self._core.unexport(name, session.wire if session else None)
        self._send(session)

    # Waiting.

    async def wait_ready(self) -> None:
        """Wait until the host is connected; bound it with `asyncio.timeout` or `wait_for`.

        Raises:
            RemoteExecutionError: the host refused the link for good.
            ValueError: the link was closed.
        """
        self._core.check()
        await self._wait(lambda: self._ready() or self._closed)
        self._check_open()

    async def wait(self) -> None:
        """Wait until the link is closed or refused for good."""
        self._core.check()
        await self._wait(lambda: self._closed)

    async def close(self, grace: float = 5.0) -> None:
        """Take no more calls, let those of the host that run end, and close the connection.

        Args:
            grace: seconds to wait for running functions; then tasks are cancelled. Plain
                functions are not stopped, but their results are lost.

        Our own calls that are under way fail with UnavailableError. Closing twice does nothing
        more, and neither does closing in a forked child.
        """
        if self._core.forked():
            return
        session = self._session
        if session is not None and not self._closed:
            session.wire.leave(f"{self._core.label} closes the link")
            self._send(session)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._finish(session), grace)
        self._closed = True
        await self._tell()
        for task in (self._keeper, *self._serving):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        self._workers.close()

    async def _finish(self, session: TaskSession) -> None:
        """Let what runs for the host end, then end the stream, and wait until the host has."""
        await self._wait(lambda: self._session is not session or not session.wire.serving)
        self._closed = True  # so that this connection is the last one
        session.finishing = True
        self._send(session)
        await self._wait(lambda: self._session is not session)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Names.

    def __getattr__(self, name: str) -> AioLinkFunction:
        if name.startswith("_"):  # copy, pickle and debuggers ask for many of these
            raise AttributeError(f"{name}: write link[{name!r}] for a name with an underscore")
        return self[name]

    def __getitem__(self, name: str) -> AioLinkFunction:
        """The exported name `name`, dots and all."""
        return AioLinkFunction(self, name, self._core.options)

    def __repr__(self) -> str:
        return f"AioLink({self._core.target!r}, {self._core.label!r})"

    # Calls to the host.

    async def _invoke(
        self, path: str, options: Options, args: Any, kwargs: Any, instance: str = ""
    ) -> Any:
        self._core.check()
        request = self._core.request(path, options, args, kwargs, instance)
        try:
            return await self._call(request, options)
        finally:
            self._core.passing.end(request.lent, ())

    def _give_back(self, id: str) -> None:
        """Give back a reference to an object of the host. Called from wherever Python collects."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._release, id)

    def _release(self, id: str) -> None:
        if self._session is not None and self._ready():
            self._session.wire.release((id,))
            self._send(self._session)

    async def _call(self, request: Request, options: Options) -> Any:
        try:
            response = await asyncio.wait_for(self._answer(request, options), options.timeout)
        except asyncio.TimeoutError:
            text = f"no answer within {options.timeout} s"
            raise self._core.failure(_Code.DEADLINE_EXCEEDED, text, request.method) from None
        return self._core.result(request, response)

    async def _open_stream(self, request: Request, options: Options) -> AioLinkStream:
        self._core.check()
        deadline = None if options.timeout is None else self._loop.time() + options.timeout
        try:
            session = await asyncio.wait_for(self._room(options, request.method), options.timeout)
        except asyncio.TimeoutError:
            text = f"not sent within {options.timeout} s"
            raise self._core.failure(_Code.DEADLINE_EXCEEDED, text, request.method) from None
        try:
            call = session.wire.call(request, TaskPending(request))
        except Refused as error:
            raise self._core.failure(error.code, str(error), request.method) from None
        self._send(session)
        return AioLinkStream(self, session, call, deadline)

    async def _answer(self, request: Request, options: Options) -> Response:
        session = await self._room(options, request.method)
        pending = TaskPending(request)
        try:
            call = session.wire.call(request, pending)
        except Refused as error:
            raise self._core.failure(error.code, str(error), request.method) from None
        self._send(session)
        try:
            return await pending.response
        except asyncio.CancelledError:
            self._cancel(session, call)
            raise

    async def _room(self, options: Options, method: str) -> TaskSession:
        """The session, once it would take one more call. Raises when that is not to be."""

        def settled() -> bool:
            if self._session is not None and self._ready():
                return not self._session.wire.full()
            return self._closed or not (self._connecting or options.wait_for_ready)

        if not settled():
            await self._wait(settled)
        self._check_open()
        if self._session is None or not self._ready():
            why = f"there is no link to the host: {self._failure}"
            raise self._core.failure(_Code.UNAVAILABLE, why, method)
        return self._session

    def _cancel(self, session: TaskSession, call: Outgoing) -> None:
        session.wire.cancel(call)
        self._send(session)

    def _send(self, session: TaskSession | None) -> None:
        if session is not None:
            session.more.set()

    def _ready(self) -> bool:
        return self._session is not None and self._session.wire.peer is not None

    def _check_open(self) -> None:
        if self._closed:
            if self._failure is not None and is_final(self._failure):
                raise self._failure
            raise ValueError(f"{self!r} is closed")

    async def _wait(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # The connection.

    async def _keep(self) -> None:
        """Keep the link connected until it is closed."""
        if self._credentials is None:
            channel = grpc.aio.insecure_channel(self._core.address, self._core.arguments)
        else:
            channel = grpc.aio.secure_channel(
                self._core.address, self._credentials, self._core.arguments
            )
        async with channel:
            while not self._closed:
                self._failure = await self._connect(channel)
                self._closed = self._closed or is_final(self._failure)
                self._connecting = False
                await self._tell()
                if not self._closed:
                    await asyncio.sleep(self._core.pause())

    async def _connect(self, channel: grpc.aio.Channel) -> BaseException:
        """One connection, from beginning to end. Returns why it ended."""
        start: Any = channel.stream_stream(frames.PATH)
        session = TaskSession(self._core.new_wire(), start(), self._tell)
        self._session = session
        writer = asyncio.ensure_future(session.write())
        why: BaseException = self._core.failure(
            _Code.UNAVAILABLE, "the link was closed here", frames.PATH
        )
        try:
            async for data in session.stream:
                await self._receive(session, frames.Frame.FromString(data))
            why = self._core.failure(_Code.UNAVAILABLE, "the host ended the link", frames.PATH)
        except grpc.RpcError as error:
            why = errors.from_rpc(error, self._core.target, frames.PATH)
        except ProtocolError as error:
            why = self._core.failure(_Code.INTERNAL, f"the host broke off: {error}", frames.PATH)
        finally:
            writer.cancel()
            session.stream.cancel()
            self._end(session, why)
        return why

    def _end(self, session: TaskSession, why: BaseException) -> None:
        """Forget a session: its calls fail, and those it serves are told."""
        self._session = None
        for call in session.wire.calls.values():
            call.owner.fail(self._core.lost(call, why))
        for incoming in session.wire.serving.values():
            _tell(incoming)
        self._core.passing.holdings.clear()

    async def _receive(self, session: TaskSession, frame: Any) -> None:
        was_full = session.wire.full()
        for event in session.wire.receive(frame):
            self._handle(session, event)
        if session.wire.backlog() > session.wire.most_backlog():
            raise ProtocolError("it sends, but does not read what it is sent")
        self._send(session)
        call = session.wire.serving.get(frame.id) or session.wire.calls.get(frame.id)
        if call is not None and call.stir is not None:
            call.stir()
        if was_full or self._changed_state(frame):
            await self._tell()

    def _changed_state(self, frame: Any) -> bool:
        return frame.WhichOneof("kind") in ("hello", "goaway")

    def _handle(self, session: TaskSession, event: Event) -> None:
        if isinstance(event, Answered):
            event.call.owner.answer(event.response)
        elif isinstance(event, Called):
            self._called(session, event.call)
        elif isinstance(event, Cancelled):
            _tell(event.call)
        elif isinstance(event, Released):
            self._core.released(event)
        elif isinstance(event, Opened):
            self._core.opened(event.hello)
            self._failure = None
            self._connecting = False
            _log.info("%r: connected to host %s", self, event.hello.label or event.hello.host_id)
        elif isinstance(event, Left):
            for call in event.untaken:
                why = f"the host takes no more calls: {event.reason}"
                failure = self._core.failure(_Code.UNAVAILABLE, why, call.owner.request.method)
                call.owner.fail(failure)

    # Calls of the host.

    def _called(self, session: TaskSession, call: Incoming) -> None:
        messages = TaskMessages(session, call)
        if self._core.one_of_stream(call):
            task = asyncio.ensure_future(self._await_message(session, call, messages))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        else:
            self._begin(session, call, messages)

    async def _await_message(
        self, session: TaskSession, call: Incoming, messages: TaskMessages
    ) -> None:
        """Wait for the only request message of a call."""
        try:
            call.request.payload = await messages.first()
        except (errors.RemoteExecutionError, EOFError) as error:
            session.wire.reply(call, no_message(error))
        else:
            self._begin(session, call, messages)
        self._send(session)

    def _begin(self, session: TaskSession, call: Incoming, messages: TaskMessages) -> None:
        bridged = BridgedMessages(messages)
        function = self._core.registry.find(call.request.method)
        is_async = function is not None and function.is_async
        bound = self._core.bind(call, session.wire, messages if is_async else bridged)
        session.wire.free(call)
        if isinstance(bound, Response):
            session.wire.reply(call, bound)
            return
        messages.bound = bound
        scope = contextvars.copy_context()
        scope.run(context._current.set, bound.context)
        if bound.function.is_async:
            run: Awaitable[Response] | None = arun(bound, messages)
        else:
            run = self._on_thread(bound, bridged, scope.copy())
        if run is None:
            text = "all threads of the Python process that serve calls are busy"
            session.wire.reply(call, Response(_Code.RESOURCE_EXHAUSTED, text))
            return
        if call.request.one_way:
            session.wire.reply(call, Response())
        task = scope.run(asyncio.ensure_future, self._serve(session, call, run))
        call.owner = (bound, task)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _on_thread(
        self, bound: Bound, messages: BridgedMessages, scope: contextvars.Context
    ) -> Awaitable[Response] | None:
        """Run a plain function on a thread; None if all are busy."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Response] = loop.create_future()

        def settle(response: Response) -> None:
            if not done.done():
                done.set_result(response)

        def run() -> None:
            response = scope.run(streams.run, bound, messages)
            with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits
                loop.call_soon_threadsafe(settle, response)

        return done if self._workers.submit(run) else None

    async def _serve(self, session: TaskSession, call: Incoming, run: Awaitable[Response]) -> None:
        """Answer one call of the host."""
        try:
            response = await run
        except asyncio.CancelledError as error:  # of the wait for a thread
            response = failure(error)
        session.wire.reply(call, response)
        self._send(session)


def _tell(call: Incoming) -> None:
    """End a task for which nobody waits any more."""
    call.cancelled = True
    if call.stir is not None:
        call.stir()
    if call.owner is not None and not call.request.one_way:
        bound, task = call.owner
        bound.context._cancelled.set()
        task.cancel()
