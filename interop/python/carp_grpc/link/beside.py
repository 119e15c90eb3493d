"""Calls that go beside the stream of a link, as calls of their own on its connection.

The host knows by the metadata carp-session to which link they belong. No thread but the caller's has
to do with them, which is what makes them faster than frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from ..connection import Started
from .core import is_cancelled
from .flow import INLINE
from .messages import Request
from .sessions import ThreadSession, time_left
from .wire import Wire

if TYPE_CHECKING:
    from ..options import Options
    from .threads import Link

_Code = grpc.StatusCode


def possible(wire: Wire, request: Request) -> bool:
    """Whether a call may go beside a link.

    The host must have heard what is exported here, for it may call back; and what is large would
    hold up the small.
    """
    return (
        wire.peer is not None
        and bool(wire.peer.session)
        and wire.left is None
        and wire.heard == wire.asked
        and len(request.payload) <= min(INLINE, wire.peer_limits.max_payload)
    )


def call(
    link: Link, session: ThreadSession, request: Request, options: Options, deadline: float | None
) -> Any:
    """Make a call, and return its result or raise its error."""
    core, method = link._core, session.callable(request.method)
    metadata = core.metadata(request, session.wire.peer.session)
    started = Started(request.method, options)
    trailers: Any = ()
    try:
        if request.lent:  # the trailer tells which of them the host keeps
            payload, done = method.with_call(
                request.payload, timeout=time_left(deadline), metadata=metadata
            )
            trailers = done.trailing_metadata()
        else:
            payload = method(request.payload, timeout=time_left(deadline), metadata=metadata)
    except grpc.RpcError as error:
        failure = core.failed(request, error, started)
        if link._closed and is_cancelled(failure):
            why = "the link was closed after the call was sent"
            raise core.failure(_Code.UNAVAILABLE, why, request.method) from error
        raise failure
    except ValueError as error:  # grpcio's, of a channel that was closed a moment ago
        why = f"the link was closed before the call was sent: {error}"
        raise core.failure(_Code.UNAVAILABLE, why, request.method) from None
    if len(payload) > (most := core.limits.max_payload):
        text = f"the reply has {len(payload)} bytes, this end takes at most {most}"
        raise core.failure(_Code.RESOURCE_EXHAUSTED, text, request.method)
    return core.result(request, payload, trailers)
