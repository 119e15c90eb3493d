"""Call functions that a carp host exports, over gRPC.

    from carp_grpc import Client

    with Client("unix:///run/calc.sock") as c:
        c.Calculator.Add(1, b=2)                      # positional and keyword arguments
        c.Calculator.Add.with_options(timeout=2)(1, 2)
        c.Calculator.Add.future(1, 2).result()

A program that also exports functions, for the host to call, opens a `Link`:

    with Link("unix:///run/calc.sock", label="worker") as link:
        link.export(resize)
        link.wait()

`link.Log.Follow.stream("app")` iterates over what a function gives one by one, and
`link.Stats.Sum(iter(numbers))` sends an iterator's values one by one, to a function that takes a stream
as its last argument. An exported generator function gives a stream, and one whose last parameter is
annotated as `Iterator` or `AsyncIterator` takes one.

`AioClient` and `AioLink` are the same for asyncio. In a served function, `current()` tells about
the call.

Values travel as `carp_grpc.values` tells; errors arrive as `carp_grpc.errors` tells.
"""

from .aio import AioClient, AioFunction, AioReplyStream
from .client import Client, Function, PendingCall, ReplyStream
from .context import CallContext, current
from .errors import (
    DeadlineExceededError,
    DecodeError,
    EncodeError,
    ForkedError,
    RemoteExecutionError,
    UnavailableError,
    register_error,
)
from .link import (
    AioLink,
    AioLinkFunction,
    AioLinkStream,
    Link,
    LinkFunction,
    LinkStream,
    RemoteFunction,
    RemoteObject,
    release,
)
from .values import CivilDateTime, Named, Ref, Timestamp

__all__ = [
    "AioClient",
    "AioFunction",
    "AioLink",
    "AioLinkFunction",
    "AioLinkStream",
    "AioReplyStream",
    "CallContext",
    "CivilDateTime",
    "Client",
    "DeadlineExceededError",
    "DecodeError",
    "EncodeError",
    "ForkedError",
    "Function",
    "Link",
    "LinkFunction",
    "LinkStream",
    "Named",
    "PendingCall",
    "Ref",
    "RemoteExecutionError",
    "RemoteFunction",
    "RemoteObject",
    "ReplyStream",
    "Timestamp",
    "UnavailableError",
    "current",
    "register_error",
    "release",
]

__version__ = "0.1.0"
