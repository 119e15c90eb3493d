"""What is said on a link, apart from how it is written: limits, calls, answers, events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from .. import errors
from . import frames
from .flow import INLINE, MAX_WINDOW, Flow, ProtocolError
from .frames import Pairs

_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one end of a link is willing to receive.

    Attributes:
        call_window: bytes of chunks under way for one call.
        link_window: the same for all calls together.
        max_payload: the largest body of a request or reply.
        max_calls: calls of the peer in flight.
        max_metadata: bytes of the metadata of one call or reply.
        pool: bytes of large payloads that are being received, together; not told to the peer.
    """

    call_window: int = 64 << 10
    link_window: int = 1 << 20
    max_payload: int = 4 << 20
    max_calls: int = 1024
    max_metadata: int = 8 << 10
    pool: int = 32 << 20


def write_limits(limits: Limits) -> Any:
    """The limits as the peer is told them."""
    return frames.Limits(
        call_window=limits.call_window,
        link_window=limits.link_window,
        max_payload=limits.max_payload,
        max_calls=limits.max_calls,
        max_metadata=limits.max_metadata,
    )


def read_limits(told: Any) -> Limits:
    """The limits of a peer, brought into the range in which this end can count."""
    default = Limits()

    def window(told: int, default: int) -> int:
        return min(max(told or default, INLINE), MAX_WINDOW)

    return Limits(
        call_window=window(told.call_window, default.call_window),
        link_window=window(told.link_window, default.link_window),
        max_payload=min(told.max_payload or default.max_payload, MAX_WINDOW),
        max_calls=told.max_calls or default.max_calls,
        max_metadata=told.max_metadata or default.max_metadata,
    )


@dataclasses.dataclass(slots=True)
class Request:
    """A call to make or to serve."""

    method: str
    codec: str
    payload: bytes = b""
    metadata: Pairs = ()
    timeout: float | None = None
    instance: str = ""
    one_way: bool = False
    streaming: bool = False  # the request messages are items
    takes_items: bool = False  # the response messages are to be items
    lent: tuple[str, ...] = ()  # functions among the arguments, by id: until the call has ended


@dataclasses.dataclass(slots=True)
class Response:
    """What a call ended with."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    exception: str = ""
    details: tuple[Message, ...] = ()
    payload: bytes = b""
    metadata: Pairs = ()


@dataclasses.dataclass(eq=False, slots=True)
class Outgoing:
    """A call to the peer that has not ended. `owner` is for whoever made it."""

    flow: Flow
    owner: Any
    takes_items: bool = False
    failure: Response | None = None  # what this end makes of the call, whatever the peer says
    started: bool = False  # its frame has been taken
    cancelled: bool = False  # this end has given it up
    stir: Callable[[], None] | None = None  # told that something of the call has come


@dataclasses.dataclass(eq=False, slots=True)
class Incoming:
    """A call from the peer that has not ended. `owner` is for whoever serves it."""

    flow: Flow
    request: Request
    owner: Any = None
    stir: Callable[[], None] | None = None  # told that something of the call has come
    held: int = 0  # what its payload takes of the pool
    cancelled: bool = False  # the peer is no longer interested
    answered: bool = False


@dataclasses.dataclass(frozen=True)
class Opened:
    """The peer's Hello has arrived; calls may be made."""

    hello: Any


@dataclasses.dataclass(frozen=True)
class Announced:
    """The peer has told what it exports."""

    exports: Any


@dataclasses.dataclass(frozen=True)
class Called:
    """The peer calls."""

    call: Incoming


@dataclasses.dataclass(frozen=True)
class Cancelled:
    """The peer is no longer interested in a call of its own."""

    call: Incoming


@dataclasses.dataclass(frozen=True)
class Answered:
    """A call to the peer has ended."""

    call: Outgoing
    response: Response


@dataclasses.dataclass(frozen=True)
class Released:
    """The peer gives back references to our objects: their ids, and how many of each."""

    counts: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class Left:
    """The peer takes no more calls; `untaken` are those it had not taken and will not run."""

    reason: str
    untaken: tuple[Outgoing, ...]


Event = Opened | Announced | Called | Cancelled | Answered | Released | Left


class Refused(Exception):
    """The peer would not take a call, or takes none any more; it was not sent."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def parsed(data: bytes) -> Any:
    """A frame as it came. Raises ProtocolError."""
    try:
        return frames.Frame.FromString(data)
    except DecodeError as error:
        raise ProtocolError(f"a frame that is malformed: {error}") from None


def write_response(response: Response) -> tuple[Any, int]:
    """A Reply without its payload, and what its metadata counts. Raises whatever does not fit."""
    reply = frames.Reply()
    if response.code is not grpc.StatusCode.OK:
        reply.code = response.code.value[0]
        reply.message, reply.exception = response.message, response.exception
    for detail in response.details:
        packed = reply.details.add()
        packed.type_url = f"type.googleapis.com/{detail.DESCRIPTOR.full_name}"
        packed.value = detail.SerializeToString()
    return reply, frames.add_metadata(reply.metadata, response.metadata)


def read_response(reply: Any, most: int) -> Response:
    """A Reply without its payload, if its metadata counts no more than `most`."""
    if frames.metadata_size(reply.metadata) > most:
        text = f"the reply's metadata is larger than {most} bytes"
        return Response(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
    return Response(
        code=_CODES.get(reply.code, grpc.StatusCode.UNKNOWN),
        message=reply.message,
        exception=reply.exception,
        details=tuple(errors.unpacked(d.type_url, d.value) for d in reply.details),
        payload=reply.payload,
        metadata=frames.read_metadata(reply.metadata),
    )
