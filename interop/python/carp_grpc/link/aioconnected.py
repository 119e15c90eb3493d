"""What keeps an `AioLink` connected, reads what the host says, and serves its calls."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
import grpc.aio

from .. import context, errors
from ..options import Options
from . import frames, streams
from .core import Core, is_final
from .flow import ProtocolError
from .messages import (
    Answered,
    Called,
    Cancelled,
    Event,
    Incoming,
    Left,
    Limits,
    Opened,
    Released,
    Response,
    parsed,
)
from .serving import Bound, failure, no_message
from .sessions import TaskSession
from .streams import BridgedMessages, TaskMessages, arun
from .workers import Workers

_log = logging.getLogger("carp_grpc")
_Code = grpc.StatusCode


class AioConnected:
    """The half of an `AioLink` that looks to the host."""

    _anonymous = False  # it is no host

    def __init__(
        self,
        target: str,
        label: str,
        credentials: grpc.ChannelCredentials | None,
        channel_options: Iterable[tuple[str, Any]],
        workers: int,
        limits: Limits | None,
        options: Options,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._core = Core(
            target,
            label,
            channel_options,
            limits,
            options,
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

    async def _invoke(
        self, path: str, options: Options, args: Any, kwargs: Any, instance: str = ""
    ) -> Any:
        """Call the host, for objects and callbacks of it."""
        raise NotImplementedError

    def _give_back(self, id: str) -> None:
        """Give back a reference to an object of the host. Called from wherever Python collects."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._release, id)

    def _release(self, id: str) -> None:
        if self._session is not None and self._ready():
            self._session.wire.release((id,))
            self._send(self._session)

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
                await self._receive(session, parsed(data))
            why = self._core.failure(_Code.UNAVAILABLE, "the host ended the link", frames.PATH)
        except grpc.RpcError as error:
            why = errors.from_rpc(error, self._core.target, frames.PATH)
        except Exception as error:  # noqa: BLE001  # whatever it is, the next connection may do
            why = self._core.failure(_Code.INTERNAL, f"the host broke off: {error}", frames.PATH)
            if not isinstance(error, ProtocolError):
                _log.exception("%r: cannot read what the host sent", self)
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
            try:
                response = scope.run(streams.run, bound, messages)
            finally:
                self._workers.done()
            with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits
                loop.call_soon_threadsafe(settle, response)

        if not self._workers.claim():
            return None
        if not self._workers.run(run):
            self._workers.done()
            return None
        return done

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
        bound.context._cancel()
        task.cancel()
