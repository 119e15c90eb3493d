"""The synchronous client."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from . import errors, references
from .connection import Connection, Started
from .names import Name, path
from .link import LinkFunction, LinkStream
from .link.requests import given
from .options import TYPED, Changes, Options
from .typed import TypedCodec

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

__all__ = ["Client", "Function", "PendingCall", "ReplyStream"]


class Client:
    """A connection to a host, whose exported names are this object's attributes.

        with Client("unix:///run/calc.sock") as c:
            c.Calculator.Add(1, b=2)
            c.Calculator.Slow.with_options(timeout=0.5)()
            c["close"]()                   # a name that is taken here

    A function among the arguments is a callback, and an object of the host arrives as `RemoteObject`.
    With the first of these the client opens a session, a stream of its connection that ends with
    the client or when the connection is lost, and with it all references. A typed call has none.

    Opening it does not wait for the host: the first call connects, and a call after a broken
    connection connects again. Safe for use by several threads at once. In a forked child every
    use raises ForkedError.

    Args:
        target: `unix:///path`, `unix-abstract:name`, `tcp://host:port`, or a gRPC target.
        credentials: TLS and its kin, for TCP; without them the connection is in clear text.
        channel_options: grpcio's, such as ("grpc.max_receive_message_length", n).
        options: the defaults of all calls; see `carp_grpc.options.Changes`.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        channel_options: Iterable[tuple[str, Any]] = (),
        **options: Unpack[Changes],
    ) -> None:
        self._options = Options().changed(options)
        channel_options = tuple(channel_options)
        self._connection = Connection(target, channel_options)
        address, arguments = self._connection.address, self._connection.arguments
        self._credentials = credentials
        self._options_of_channel = tuple(channel_options)
        self._session: Any = None  # once there are references
        self._opening = threading.Lock()
        if credentials is None:
            self._channel = grpc.insecure_channel(address, arguments)
        else:
            self._channel = grpc.secure_channel(address, credentials, arguments)

    def close(self) -> None:
        """Cancel the calls under way and close the connection. Later calls raise ValueError.

        Closing twice does nothing more, and neither does closing in a forked child.
        """
        if not self._connection.forked():
            with self._opening:
                self._connection.closed = True
            if self._session is not None:
                self._session.close()
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Function:
        if name.startswith("_"):  # copy, pickle and debuggers ask for many of these
            raise AttributeError(f"{name}: write client[{name!r}] for a name with an underscore")
        return self[name]

    def __getitem__(self, name: str) -> Function:
        """The exported name `name`, dots and all."""
        return Function(self, name, self._options)

    def typed(self, name: str) -> Function:
        """The exported name `name`, called with codec "proto", whatever the client's is.

        The messages are those that the server's reflection describes: a Go host's for its functions
        and generated services, or those of any gRPC server that has reflection.
        """
        return self[name].with_options(codec=TYPED)

    def __repr__(self) -> str:
        return f"Client({self._connection.target!r})"

    def _open_session(self) -> Any:
        """What holds references at the host: a link that is opened when it is first wanted."""
        with self._opening:
            self._connection.check()
            if self._session is None:
                self._session = references.Session(
                    self._connection.target,
                    "client",
                    credentials=self._credentials,
                    channel_options=self._options_of_channel,
                )
        return self._session

    def _codec(self, path: str, options: Options) -> Any:
        """The codec of a call."""
        self._connection.check()
        codec = self._connection.codec(path, options)
        if codec is None:
            reflection = self._connection.reflection
            codec = reflection.codec(path, lambda asked, q: self._ask(asked, q, options))
        return codec

    def _ask(self, path: str, question: bytes, options: Options) -> bytes:
        """One question to the host's reflection service."""
        stream: Any = self._channel.stream_stream(path)(
            iter((question,)),  # type: ignore[arg-type]  # the stubs do not know raw bytes
            timeout=options.timeout,
            wait_for_ready=options.wait_for_ready,
        )
        try:
            return bytes(next(stream))
        except grpc.RpcError as error:
            raise errors.from_rpc(error, self._connection.target, path)  # it has its cause
        finally:
            stream.cancel()


class Function(Name[Client]):
    """An exported name at a host: call it, or go on to a name below it."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it and wait for the result.

        A typed call of a method that gives a stream returns it at once, as a `ReplyStream`.

        Raises:
            RemoteExecutionError: the call did not end with a result, for whatever reason.
            EncodeError: an argument cannot travel.
            DecodeError: the result is malformed.
        """
        where, options, owner = path(self._name), self._options, self._owner
        codec = owner._codec(where, options)
        if isinstance(codec, TypedCodec) and codec.kind != "unary_unary":
            return self._stream(where, codec, codec.requests(args, kwargs))
        if given(args) and options.codec != TYPED:
            return LinkFunction(owner._open_session(), self._name, options)(*args, **kwargs)
        if owner._session is not None and options.codec != TYPED:
            return owner._session._invoke(where, options, args, kwargs)
        try:
            body = codec.encode_arguments(args, kwargs)
        except errors.EncodeError as error:
            if not references.refers([args, kwargs]):
                raise
            if options.codec == TYPED:
                raise references.untyped(where) from error
            return owner._open_session()._invoke(where, options, args, kwargs)
        call = owner._connection.callable(where, owner._channel)
        started = Started(where, options)
        try:
            reply = call(body, **options.for_grpc())
        except grpc.RpcError as error:
            failure = owner._connection.failure(error, started)
            if options.codec == TYPED or not references.is_wanted(failure):
                raise failure  # it has its cause
        else:
            return None if options.one_way else codec.decode_result(reply)
        return owner._open_session()._invoke(where, options, args, kwargs)

    def stream(self, /, *args: Any, **kwargs: Any) -> LinkStream:
        """Call a function that gives a stream of plain values, and iterate over them as they come.

        As `LinkFunction.stream`: it goes over the client's session.
        """
        session = self._owner._open_session()
        return LinkFunction(session, self._name, self._options).stream(*args, **kwargs)

    def future(self, /, *args: Any, **kwargs: Any) -> PendingCall:
        """Call it and do not wait.

        Raises:
            TypeError: it is a typed call of a method with streams.
        """
        where, options, owner = path(self._name), self._options, self._owner
        codec = owner._codec(where, options)
        if isinstance(codec, TypedCodec) and codec.kind != "unary_unary":
            raise TypeError(f"{self!r} has streams: call it, which does not wait for them")
        body = codec.encode_arguments(args, kwargs)
        call = owner._connection.callable(where, owner._channel)
        started = Started(where, options)
        pending = call.future(body, **options.for_grpc())
        return PendingCall(owner._connection, started, pending, codec)

    def _stream(self, where: str, codec: TypedCodec, requests: Any) -> Any:
        """Call a method with streams."""
        owner = self._owner
        call = owner._connection.callable(where, owner._channel, codec.kind)
        if codec.takes_stream:
            requests = map(codec.encode_item, requests)
        started = Started(where, self._options)
        if codec.gives_stream:
            replies = call(requests, **self._options.for_grpc())
            return ReplyStream(owner._connection, started, replies, codec)
        try:
            reply = call(requests, **self._options.for_grpc())
        except grpc.RpcError as error:
            raise owner._connection.failure(error, started)
        return codec.decode_result(reply)


class ReplyStream:
    """The replies of a call, as they come: an iterator. Leaving its `with` block ends the call.

    Iterating raises RemoteExecutionError when the call ends with an error.
    """

    def __init__(
        self, connection: Connection, started: Started, replies: Any, codec: TypedCodec
    ) -> None:
        self._connection = connection
        self._started = started
        self._replies = replies
        self._codec = codec

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            reply = next(self._replies)
        except grpc.RpcError as error:
            raise self._connection.failure(error, self._started)
        return self._codec.decode_result(reply)

    def cancel(self) -> None:
        """Give the call up; the host learns of it. Does nothing when it is done."""
        self._replies.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class _Decoder(Protocol):
    def decode_result(self, body: bytes) -> Any: ...


class PendingCall:
    """A call under way. Safe for use by several threads at once."""

    def __init__(
        self, connection: Connection, started: Started, pending: Any, codec: _Decoder
    ) -> None:
        self._connection = connection
        self._started = started
        self._pending = pending
        self._codec = codec

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result.

        Args:
            timeout: seconds to wait; the call goes on when they have passed.

        Raises:
            TimeoutError: `timeout` passed.
            RemoteExecutionError: as when calling; with code CANCELLED after `cancel`.
        """
        try:
            reply = self._pending.result(timeout)
        except grpc.FutureTimeoutError:
            raise TimeoutError(f"{self._started.path}: no result within {timeout} s") from None
        except grpc.FutureCancelledError:
            cancelled = grpc.StatusCode.CANCELLED
            target = self._connection.target
            raise errors.build(
                cancelled, "cancelled here", (), target, self._started.path
            ) from None
        except grpc.RpcError as error:
            raise self._connection.failure(error, self._started)  # it has its cause
        return self._codec.decode_result(reply)

    def done(self) -> bool:
        """Whether `result` returns at once."""
        return bool(self._pending.done())

    def cancel(self) -> None:
        """Give the call up; the host learns of it. Does nothing when it is done."""
        self._pending.cancel()
