"""The errors of this package.

    Exception
    ├── RemoteExecutionError      a call did not end with a result
    │   ├── DeadlineExceededError     … its time ran out       (also a TimeoutError)
    │   └── UnavailableError          … no host could be reached (also a ConnectionError)
    ├── EncodeError               a value cannot travel         (a ValueError)
    ├── DecodeError               a peer sent a malformed body  (a ValueError)
    └── ForkedError               a client was used after fork  (a RuntimeError)

A call fails in one way only: with a `RemoteExecutionError`, or with the exception class that
`register_error` put in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Error as ProtobufError
from google.protobuf.message import Message

__all__ = [
    "DeadlineExceededError",
    "DecodeError",
    "EncodeError",
    "ForkedError",
    "RemoteExecutionError",
    "UnavailableError",
    "register_error",
]


class EncodeError(ValueError):
    """A value was refused because it could not travel without being changed."""


class DecodeError(ValueError):
    """A body from a peer does not follow the wire contract."""


class ForkedError(RuntimeError):
    """A connection was used in a forked child of the process that opened it.

    gRPC's threads and sockets do not survive `fork`: a call in the child would hang. Open a new
    client in the child, or start children with multiprocessing's "spawn" method.
    """


class RemoteExecutionError(Exception):
    """A call ended with an error instead of a result.

    Attributes:
        name: the type name of the error at the side that raised it, as in Go's `fs.PathError`
            or Python's `KeyError`; empty when the peer's gRPC runtime, or our own, made the error.
        code: the gRPC status code.
        message: the text that came with it.
        details: the messages attached to the status. Those whose type this process knows are
            decoded; the others stay `google.protobuf.any_pb2.Any`.
        target: the address that the call was made to.
        method: the path of the call, as in `/Calculator/Add`.
        trailers: the trailing metadata, in order.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        name: str = "",
        details: Iterable[Message] = (),
        target: str = "",
        method: str = "",
        trailers: Iterable[tuple[str, str | bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.name = name
        self.details = tuple(details)
        self.target = target
        self.method = method
        self.trailers = tuple(trailers)

    @property
    def remote(self) -> bool:
        """Whether the called function is known to have raised this, rather than the transport."""
        return bool(self.name)

    def __str__(self) -> str:
        kind = f"{self.code.name} {self.name}" if self.name else self.code.name
        where = f"{self.method} at {self.target}: " if self.method else ""
        return f"{where}{kind}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with positional arguments only and lose the rest.
        state = {
            "code": self.code,
            "name": self.name,
            "details": self.details,
            "target": self.target,
            "method": self.method,
            "trailers": self.trailers,
        }
        return _rebuild, (type(self), self.message, state)


class DeadlineExceededError(RemoteExecutionError, TimeoutError):
    """The call's timeout passed before its result arrived; it may still have run."""


class UnavailableError(RemoteExecutionError, ConnectionError):
    """No host answered at the target, or the connection broke during the call."""


def _rebuild(
    cls: type[RemoteExecutionError], message: str, state: Mapping[str, Any]
) -> RemoteExecutionError:
    return cls(message, **state)


_BY_CODE: dict[grpc.StatusCode, type[RemoteExecutionError]] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
}

_registered: dict[str, type[BaseException]] = {}


def register_error(name: str, cls: type[BaseException]) -> None:
    """Raise `cls(message)` for remote errors whose type name is `name`.

    The `RemoteExecutionError` stays reachable as the exception's `__cause__`. A served function
    that raises `cls` sends `name`. Registering a name again replaces the class. Safe for
    concurrent use.

    Raises:
        TypeError: `cls` is not an exception class.
        ValueError: `name` is empty or not printable ASCII, so no header could carry it.
    """
    if not (isinstance(cls, type) and issubclass(cls, BaseException)):
        raise TypeError(f"register_error({name!r}): {cls!r} is not an exception class")
    if not name or not (name.isascii() and name.isprintable()):
        raise ValueError(f"register_error: {name!r} must be printable ASCII and not empty")
    _registered[name] = cls


def name_of(error: BaseException) -> str:
    """The type name under which `error` travels: the registered one, else the class's own."""
    for cls in type(error).__mro__:
        for name, registered in _registered.items():
            if registered is cls:
                return name
    return type(error).__name__


def raised(error: RemoteExecutionError) -> BaseException:
    """The exception to raise for `error`: a registered class in its place, or itself."""
    cls = _registered.get(error.name)
    if cls is None:
        return error
    replacement = cls(error.message)
    replacement.__cause__ = error
    return replacement


def from_rpc(error: grpc.RpcError, target: str, method: str) -> RemoteExecutionError:
    """Translate what grpcio raises.

    It is kept as the cause of an error of the transport, whose causes it tells; of an error that
    the called function raised it knows no more.
    """
    code = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
    text = error.details() if hasattr(error, "details") else str(error)
    pairs: Any = error.trailing_metadata() if hasattr(error, "trailing_metadata") else ()
    trailers = tuple((key, value) for key, value in pairs or ())
    result = build(code, text or "", trailers, target, method)
    if result.remote:
        result.__suppress_context__ = True
    else:
        result.__cause__ = error
    return result


def build(
    code: grpc.StatusCode,
    text: str,
    trailers: Iterable[tuple[str, str | bytes]],
    target: str,
    method: str,
) -> RemoteExecutionError:
    """Make the error of a finished call out of its status and trailers."""
    trailers = tuple(trailers)
    name, details = "", ()  # type: str, tuple[Message, ...]
    for key, value in trailers:
        if key == "carp-exception" and isinstance(value, str):
            name = value
        elif key == "grpc-status-details-bin" and isinstance(value, bytes):
            details = _details(value)
    return of_code(code)(
        text,
        code=code,
        name=name,
        details=details,
        target=target,
        method=method,
        trailers=trailers,
    )


def of_code(code: grpc.StatusCode) -> type[RemoteExecutionError]:
    """The class of errors with this code."""
    return _BY_CODE.get(code, RemoteExecutionError)


def _details(status: bytes) -> tuple[Message, ...]:
    """The messages in a serialized google.rpc.Status; none when it is malformed.

    The error itself matters more than what decorates it, so nothing here raises.
    """
    from . import protos  # here, because most processes never see a detail

    try:
        message = protos.message_class("google.rpc.Status").FromString(status)
    except ProtobufError:
        return ()
    return tuple(unpacked(detail.type_url, detail.value) for detail in message.details)


def unpacked(type_url: str, data: bytes) -> Message:
    """The message in an Any, or the Any itself if this process does not know its type."""
    from google.protobuf import descriptor_pool

    from . import protos

    name = type_url.rpartition("/")[2]
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
        return protos.class_of(descriptor).FromString(data)
    except (KeyError, ProtobufError):  # a type that this process does not know, or not like this
        return any_pb2.Any(type_url=type_url, value=data)
