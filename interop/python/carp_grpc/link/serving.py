"""One call of a peer: from its body to the arguments, from the outcome to the answer.

| raised | code |
|---|---|
| `RemoteExecutionError` and its kin | its own, with name and details |
| `TimeoutError` | DEADLINE_EXCEEDED |
| `asyncio.CancelledError` | CANCELLED |
| `NotImplementedError` | UNIMPLEMENTED |
| `PermissionError` | PERMISSION_DENIED |
| `FileNotFoundError` | NOT_FOUND |
| `FileExistsError` | ALREADY_EXISTS |
| `MemoryError` | RESOURCE_EXHAUSTED |
| anything else | UNKNOWN |

Arguments that do not fit are INVALID_ARGUMENT, a result that cannot travel is INTERNAL. The text
is the exception's own; its type's name, or the registered one, goes with it. Tracebacks stay.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import grpc

from .. import codecs, errors
from ..context import CallContext
from .exports import Function
from .messages import Request, Response
from .objects import CALLBACK, Passing

_log = logging.getLogger("carp_grpc")

_Code = grpc.StatusCode
_CODES: tuple[tuple[type[BaseException], grpc.StatusCode], ...] = (
    (TimeoutError, _Code.DEADLINE_EXCEEDED),
    (asyncio.TimeoutError, _Code.DEADLINE_EXCEEDED),  # its own class before Python 3.11
    (asyncio.CancelledError, _Code.CANCELLED),
    (NotImplementedError, _Code.UNIMPLEMENTED),
    (PermissionError, _Code.PERMISSION_DENIED),
    (FileNotFoundError, _Code.NOT_FOUND),
    (FileExistsError, _Code.ALREADY_EXISTS),
    (MemoryError, _Code.RESOURCE_EXHAUSTED),
)

# The type names of errors that a host makes itself.
RELEASED = "carp.ReleasedError"
BIND_ERROR, HOST_ERROR, REPLY_ERROR = "carp.BindError", "carp.HostError", "carp.ReplyError"

# A text and what goes with it must fit into HTTP/2 headers on the way to clients beyond the link.
_MAX_TEXT = 4 << 10
_CUT = "… (cut)"


@dataclasses.dataclass
class Bound:
    """A call whose arguments fit its function."""

    function: Function
    args: list[Any]
    kwargs: dict[str, Any]
    codec: codecs.Codec
    context: CallContext
    takes_items: bool  # the caller wants items, even if there is only one
    passing: Passing

    def encode_item(self, item: Any) -> bytes:
        """One message of a stream. Raises RemoteExecutionError."""
        return self._encode(self.codec.encode_item, item)

    def _encode(self, encode: Callable[[Any], bytes], result: Any) -> bytes:
        try:
            return self.passing.encode_result(encode, result)
        except errors.EncodeError as error:
            text = f"{self.context.method}: the result: {error}"
            internal = _Code.INTERNAL
            raise errors.of_code(internal)(text, code=internal, name=REPLY_ERROR) from error

    def ended(self) -> Response:
        """The answer after the last message of the reply."""
        return Response(metadata=tuple(self.context._trailers))

    def answer(self, result: Any) -> Response:
        """The answer for what the function returned. Raises RemoteExecutionError."""
        payload = self._encode(self.codec.encode_result, result)
        return Response(payload=payload, metadata=tuple(self.context._trailers))

    def failed(self, error: BaseException) -> Response:
        """The answer for what the function raised."""
        _log.debug("%s raised", self.context.method, exc_info=error)
        response = failure(error)
        response.metadata = tuple(self.context._trailers)
        return response


def bind(
    request: Request, function: Function | None, peer: str, messages: Any, passing: Passing
) -> Bound | Response:
    """Fit a request's arguments to its function, or say why the call cannot be made.

    A function that takes a stream is given `messages`.
    """
    path = request.method
    found = _find(request, function, passing)
    if isinstance(found, Response):
        return found
    function = found
    codec = _codec(request, function)
    if codec is None:
        known = codecs.names() if function.codec is None else [function.codec.name]
        return Response(
            _Code.UNIMPLEMENTED,
            f"{path}: the codec {request.codec!r} is not spoken here",
            HOST_ERROR,
            metadata=(("carp-accept-codec", ",".join(known)),),
        )
    if function.gives_stream and not request.takes_items:
        text = f"{path}: it gives a stream, and the call is for one reply"
        return Response(_Code.INTERNAL, text, HOST_ERROR)
    try:
        args: list[Any] = [messages]
        kwargs: dict[str, Any] = {}
        if not function.takes_stream:
            args, kwargs = passing.decode(codec.decode_arguments, request.payload)
        if function.values:
            if function.values in kwargs:
                raise TypeError(f"argument {function.values!r} is a stream of values")
            kwargs[function.values] = messages
        function.check(args, kwargs)
    except (errors.DecodeError, TypeError) as error:
        return Response(_Code.INVALID_ARGUMENT, f"{path}: {error}", BIND_ERROR)
    context = CallContext(path, peer, request.metadata, request.timeout)
    return Bound(function, args, kwargs, codec, context, request.takes_items, passing)


def _codec(request: Request, function: Function) -> codecs.Codec | None:
    """The codec that a call names, if the function speaks it."""
    if function.codec is not None:
        return function.codec if function.codec.name == request.codec else None
    try:
        return codecs.lookup(request.codec)
    except ValueError:
        return None


def _find(request: Request, function: Function | None, passing: Passing) -> Function | Response:
    """The function that a call is for, of its object if it names one."""
    path = request.method
    if function is None and path != CALLBACK:
        text = f"{path}: nothing of this name is exported here"
        return Response(_Code.UNIMPLEMENTED, text, HOST_ERROR)
    if function is not None and not function.instance:
        return function
    if not request.instance:
        text = f"{path} is a method of an object, and the call names none"
        return Response(_Code.INVALID_ARGUMENT, text, HOST_ERROR)
    held = passing.holdings.find(request.instance)
    if held is not None and function is None and not held.cls:
        return Function.of(held.thing)
    if held is not None and function is not None and held.cls == path[1:].partition("/")[0]:
        return function.of_object(held.thing)
    text = f"{path}: there is no such object here: it was released, or the id is of another link"
    return Response(_Code.NOT_FOUND, text, RELEASED)


def no_message(error: BaseException) -> Response:
    """The answer for a call whose only message did not come."""
    if isinstance(error, errors.RemoteExecutionError):
        return failure(error)
    text = "the call ended without a message, and one is wanted"
    return Response(_Code.INVALID_ARGUMENT, text, BIND_ERROR)


def failure(error: BaseException) -> Response:
    """The answer for an exception."""
    if isinstance(error, errors.RemoteExecutionError):
        name = error.name or type(error).__name__
        return Response(error.code, _cut(_said(error.message)), name, error.details)
    cause = error.__cause__
    name = errors.name_of(error)
    if isinstance(cause, errors.RemoteExecutionError) and cause.name == name:
        return Response(cause.code, _cut(_said(error)), name, cause.details)  # passed on
    for cls, code in _CODES:
        if isinstance(error, cls):
            return Response(code, _cut(_said(error)), name)
    return Response(_Code.UNKNOWN, _cut(_said(error)), name)


def _said(error: object) -> str:
    """The text of an exception, which is code of the user's and may itself raise."""
    try:
        return str(error)
    except BaseException as failed:  # noqa: BLE001  # the caller waits for an answer
        return f"(no text: str() of it raised {type(failed).__name__})"


def _cut(text: str) -> str:
    data = text.encode(errors="replace")
    if len(data) <= _MAX_TEXT:
        return data.decode()
    return data[: _MAX_TEXT - len(_CUT.encode())].decode(errors="ignore") + _CUT
