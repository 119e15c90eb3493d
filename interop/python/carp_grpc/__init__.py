"""Call functions that a carp host exports, over gRPC.

    from carp_grpc import Client

    with Client("unix:///run/calc.sock") as c:
        c.Calculator.Add(1, b=2)                      # positional and keyword arguments
        c.Calculator.Add.with_options(timeout=2)(1, 2)
        c.Calculator.Add.future(1, 2).result()

`AioClient` is the same for asyncio.

Values travel as `carp_grpc.values` tells; errors arrive as `carp_grpc.errors` tells.
"""

from .aio import AioClient, AioFunction
from .client import Client, Function, PendingCall
from .errors import (
    DeadlineExceededError,
    DecodeError,
    EncodeError,
    ForkedError,
    RemoteExecutionError,
    UnavailableError,
    register_error,
)
from .values import CivilDateTime, Named, Ref, Timestamp

__all__ = [
    "AioClient",
    "AioFunction",
    "CivilDateTime",
    "Client",
    "DeadlineExceededError",
    "DecodeError",
    "EncodeError",
    "ForkedError",
    "Function",
    "Named",
    "PendingCall",
    "Ref",
    "RemoteExecutionError",
    "Timestamp",
    "UnavailableError",
    "register_error",
]

__version__ = "0.1.0"
