"""The asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from . import errors, references
from .connection import Connection, Started
from .names import Name, path
from .link import AioLinkFunction, AioLinkStream
from .link.requests import given
from .options import TYPED, Changes, Options
from .typed import TypedCodec

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

__all__ = ["AioClient", "AioFunction", "AioReplyStream"]


class AioClient:
    """A connection to a host for use in one event loop; calls are awaited.

        async with AioClient("unix:///run/calc.sock") as c:
            await c.Calculator.Add(1, b=2)

    Cancelling the task that awaits a call cancels the call at the host. In all else it is as
    `carp_grpc.Client`, with the same arguments. Make it inside a coroutine.

    Raises:
        RuntimeError: no event loop runs in this thread.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        channel_options: Iterable[tuple[str, Any]] = (),
        **options: Unpack[Changes],
    ) -> None:
        asyncio.get_running_loop()  # grpcio would make one that nobody runs
        self._options = Options().changed(options)
        channel_options = tuple(channel_options)
        self._connection = Connection(target, channel_options)
        address, arguments = self._connection.address, self._connection.arguments
        self._credentials = credentials
        self._options_of_channel = tuple(channel_options)
        self._session: Any = None  # once there are references
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, arguments)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, arguments)

    async def close(self) -> None:
        """Cancel the calls under way and close the connection. Later calls raise ValueError.

        Closing twice does nothing more, and neither does closing in a forked child.
        """
        if not self._connection.forked():
            self._connection.closed = True
            if self._session is not None:
                await self._session.close()
            await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __getattr__(self, name: str) -> AioFunction:
        if name.startswith("_"):  # copy, pickle and debuggers ask for many of these
            raise AttributeError(f"{name}: write client[{name!r}] for a name with an underscore")
        return self[name]

    def __getitem__(self, name: str) -> AioFunction:
        """The exported name `name`, dots and all."""
        return AioFunction(self, name, self._options)

    def typed(self, name: str) -> AioFunction:
        """The exported name `name`, called with codec "proto", whatever the client's is.

        The messages are those that the server's reflection describes: a Go host's for its functions
        and generated services, or those of any gRPC server that has reflection.
        """
        return self[name].with_options(codec=TYPED)

    def __repr__(self) -> str:
        return f"AioClient({self._connection.target!r})"

    def _open_session(self) -> Any:
        """What holds references at the host: a link that is opened when it is first wanted."""
        self._connection.check()
        if self._session is None:
            self._session = references.AioSession(
                self._connection.target,
                "client",
                credentials=self._credentials,
                channel_options=self._options_of_channel,
            )
        return self._session

    async def _typed(self, path: str, options: Options) -> Any:
        """The typed codec of a method that the host was not yet asked about."""
        reflection = self._connection.reflection
        conversation = reflection.conversation(path)
        try:
            question = next(conversation)
            while True:
                try:
                    answer = await self._ask(*question, options)
                except errors.RemoteExecutionError as error:
                    question = conversation.throw(error)
                else:
                    question = conversation.send(answer)
        except StopIteration as stop:
            return reflection.keep(path, stop.value)

    async def _ask(self, path: str, question: bytes, options: Options) -> bytes:
        """One question to the host's reflection service."""
        stream: Any = self._channel.stream_stream(path)(
            iter((question,)),  # type: ignore[arg-type]  # the stubs do not know raw bytes
            timeout=options.timeout,
            wait_for_ready=options.wait_for_ready,
        )
        try:
            async for answer in stream:
                return bytes(answer)
            raise errors.DecodeError(f"{self._connection.target}: reflection did not answer")
        except grpc.RpcError as error:
            raise errors.from_rpc(error, self._connection.target, path)  # it has its cause
        finally:
            stream.cancel()


class AioFunction(Name[AioClient]):
    """An exported name at a host: call it and await the call, or go on to a name below it."""

    __slots__ = ()

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it; awaiting gives the result.

        A typed call of a method that gives a stream gives an `AioReplyStream` at once. A stream
        of requests may be an iterable or an asynchronous one.

        Raises:
            RemoteExecutionError: the call did not end with a result, for whatever reason.
            EncodeError: an argument cannot travel.
            DecodeError: the result is malformed.
        """
        where, options, owner = path(self._name), self._options, self._owner
        connection = owner._connection
        connection.check()
        codec = connection.codec(where, options) or await owner._typed(where, options)
        if isinstance(codec, TypedCodec) and codec.kind != "unary_unary":
            return await self._stream(where, codec, codec.requests(args, kwargs))
        if given(args) and options.codec != TYPED:
            function = AioLinkFunction(owner._open_session(), self._name, options)
            return await function(*args, **kwargs)
        if owner._session is not None and options.codec != TYPED:
            return await owner._session._invoke(where, options, args, kwargs)
        try:
            body = codec.encode_arguments(args, kwargs)
        except errors.EncodeError as error:
            if not references.refers([args, kwargs]):
                raise
            if options.codec == TYPED:
                raise references.untyped(where) from error
            return await owner._open_session()._invoke(where, options, args, kwargs)
        call = connection.callable(where, owner._channel)
        started = Started(where, options)
        try:
            reply = await call(body, **options.for_grpc())
        except grpc.RpcError as error:
            failure = connection.failure(error, started)
            if options.codec == TYPED or not references.is_wanted(failure):
                raise failure  # it has its cause
        else:
            return None if options.one_way else codec.decode_result(reply)
        return await owner._open_session()._invoke(where, options, args, kwargs)

    async def stream(self, /, *args: Any, **kwargs: Any) -> AioLinkStream:
        """Call a function that gives a stream of plain values; as `AioLinkFunction.stream`."""
        session = self._owner._open_session()
        return await AioLinkFunction(session, self._name, self._options).stream(*args, **kwargs)

    async def _stream(self, where: str, codec: TypedCodec, requests: Any) -> Any:
        """Call a method with streams."""
        connection = self._owner._connection
        call = connection.callable(where, self._owner._channel, codec.kind)
        if codec.takes_stream:
            requests = _encoded(codec, requests)
        started = Started(where, self._options)
        replies = call(requests, **self._options.for_grpc())
        if codec.gives_stream:
            return AioReplyStream(connection, started, replies, codec)
        try:
            reply = await replies
        except grpc.RpcError as error:
            raise connection.failure(error, started)
        return codec.decode_result(reply)


async def _encoded(codec: TypedCodec, requests: Any) -> AsyncIterator[bytes]:
    if hasattr(requests, "__aiter__"):
        async for request in requests:
            yield codec.encode_item(request)
    else:
        for request in requests:
            yield codec.encode_item(request)


class AioReplyStream:
    """The replies of a call, as they come: an asynchronous iterator.

    Leaving its `async with` block ends the call. Iterating raises RemoteExecutionError when the
    call ends with an error.
    """

    def __init__(
        self, connection: Connection, started: Started, replies: Any, codec: TypedCodec
    ) -> None:
        self._connection = connection
        self._started = started
        self._replies = replies
        self._iterator = aiter(replies)
        self._codec = codec

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            reply = await anext(self._iterator)
        except grpc.RpcError as error:
            raise self._connection.failure(error, self._started)
        return self._codec.decode_result(reply)

    def cancel(self) -> None:
        """Give the call up; the host learns of it. Does nothing when it is done."""
        self._replies.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()
