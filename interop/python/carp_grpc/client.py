"""The synchronous client."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from . import codecs, errors, forks, names, targets
from .options import TYPED, Changes, Options
from .reflection import Reflection
from .typed import TypedCodec

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

__all__ = ["Client", "Function", "PendingCall"]


class Client:
    """A connection to a host, whose exported names are this object's attributes.

        with Client("unix:///run/calc.sock") as c:
            c.Calculator.Add(1, b=2)
            c.Calculator.with_options(timeout=0.5).Slow()
            c["Calculator.close"]()        # a name that is taken here

    Opening it does not wait for the host: the first call connects. Safe for use by several
    threads at once. In a forked child every use raises ForkedError.

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
        self._born = forks.generation()
        self._target = target
        self._options = Options().changed(options)
        address, chosen = targets.resolve(target, tuple(channel_options))
        if credentials is None:
            self._channel = grpc.insecure_channel(address, chosen)
        else:
            self._channel = grpc.secure_channel(address, credentials, chosen)
        self._callables: dict[str, Any] = {}
        self._reflection = Reflection(target)

    def close(self) -> None:
        """Cancel the calls under way and close the connection. Later calls raise ValueError.

        Closing twice does nothing more.
        """
        if self._born == forks.generation():
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

    def __repr__(self) -> str:
        return f"Client({self._target!r})"

    def _start(self, path: str, options: Options, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
        """The grpcio callable, the codec and the encoded arguments of a call."""
        forks.check(self._born, repr(self))
        codec: codecs.Codec | TypedCodec
        if options.codec == TYPED:
            codec = self._reflection.codec(path, self._ask, options)
        else:
            codec = codecs.lookup(options.codec)
        call = self._callables.get(path)
        if call is None:
            call = self._callables[path] = self._channel.unary_unary(path)
        return call, codec, codec.encode_arguments(args, kwargs)

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
            raise errors.from_rpc(error, self._target, path) from error
        finally:
            stream.cancel()

    def _fail(self, error: grpc.RpcError, path: str) -> BaseException:
        failure = errors.from_rpc(error, self._target, path)
        if failure.code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INVALID_ARGUMENT):
            self._reflection.forget(path)  # the host may have exported the name anew
        return errors.raised(failure)


class Function:
    """An exported name at a host: call it, or go on to a name below it. Immutable.

    Whether the host has such a name shows only when it is called.
    """

    __slots__ = ("_client", "_name", "_options")

    def __init__(self, client: Client, name: str, options: Options) -> None:
        self._client = client
        self._name = name
        self._options = options

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it and wait for the result.

        Raises:
            RemoteExecutionError: the call did not end with a result, for whatever reason.
            EncodeError: an argument cannot travel.
            DecodeError: the result is malformed.
        """
        path = names.path(self._name)
        call, codec, body = self._client._start(path, self._options, args, kwargs)
        options = self._options
        try:
            reply = call(
                body,
                timeout=options.timeout,
                metadata=options.wire_metadata(),
                wait_for_ready=options.wait_for_ready,
            )
        except grpc.RpcError as error:
            raise self._client._fail(error, path) from None
        return None if options.one_way else codec.decode_result(reply)

    def future(self, /, *args: Any, **kwargs: Any) -> PendingCall:
        """Call it and do not wait."""
        path = names.path(self._name)
        call, codec, body = self._client._start(path, self._options, args, kwargs)
        options = self._options
        pending = call.future(
            body,
            timeout=options.timeout,
            metadata=options.wire_metadata(),
            wait_for_ready=options.wait_for_ready,
        )
        return PendingCall(self._client, path, pending, codec)

    def with_options(self, **changes: Unpack[Changes]) -> Function:
        """The same name with other options for its calls, as in `with_options(timeout=2)`."""
        return Function(self._client, self._name, self._options.changed(changes))

    def __getattr__(self, name: str) -> Function:
        if name.startswith("_"):
            raise AttributeError(f"{name}: write [{name!r}] for a name with an underscore")
        return self[name]

    def __getitem__(self, name: str) -> Function:
        """The name `name` below this one."""
        return Function(self._client, f"{self._name}.{name}", self._options)

    def __repr__(self) -> str:
        return f"<{self._name} at {self._client._target}>"


class PendingCall:
    """A call under way."""

    def __init__(self, client: Client, path: str, pending: Any, codec: Any) -> None:
        self._client = client
        self._path = path
        self._pending = pending
        self._codec = codec

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result.

        Args:
            timeout: seconds to wait; the call goes on when they have passed.

        Raises:
            TimeoutError: `timeout` passed.
            RemoteExecutionError: as when calling.
        """
        try:
            reply = self._pending.result(timeout)
        except grpc.FutureTimeoutError:
            raise TimeoutError(f"{self._path}: no result within {timeout} s") from None
        except grpc.FutureCancelledError:
            failure = errors.build(
                grpc.StatusCode.CANCELLED, "cancelled here", (), self._client._target, self._path
            )
            raise failure from None
        except grpc.RpcError as error:
            raise self._client._fail(error, self._path) from None
        return self._codec.decode_result(reply)

    def done(self) -> bool:
        """Whether `result` returns at once."""
        return bool(self._pending.done())

    def cancel(self) -> None:
        """Give the call up; the host learns of it."""
        self._pending.cancel()
