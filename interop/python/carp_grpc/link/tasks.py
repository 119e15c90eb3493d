"""The link for programs with an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from ..options import Changes, Options
from .aioconnected import AioConnected
from .exports import Exported, examine_service
from .functions import AioLinkFunction, AioLinkStream
from .messages import Limits, Outgoing, Refused, Request, Response
from .sessions import TaskPending, TaskSession

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor
    from typing_extensions import Self, Unpack

__all__ = ["AioLink"]

_Code = grpc.StatusCode


class AioLink(AioConnected):
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
        super().__init__(
            target, label, credentials, channel_options, workers, limits, Options().changed(options)
        )

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

    async def _call(self, request: Request, options: Options) -> Any:
        try:
            response = await asyncio.wait_for(self._answer(request, options), options.timeout)
        except asyncio.TimeoutError:
            text = f"no answer within {options.timeout} s"
            raise self._core.failure(_Code.DEADLINE_EXCEEDED, text, request.method) from None
        return self._core.outcome(request, response)

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
