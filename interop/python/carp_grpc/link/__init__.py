"""Links: a Python process joins a host, is called by it and calls it, over one connection."""

from .functions import AioLinkFunction, AioLinkStream, LinkFunction, LinkStream
from .messages import Limits
from .objects import RemoteFunction, RemoteObject, release
from .tasks import AioLink
from .threads import Link

__all__ = [
    "AioLink",
    "AioLinkFunction",
    "AioLinkStream",
    "Limits",
    "Link",
    "LinkFunction",
    "LinkStream",
    "RemoteFunction",
    "RemoteObject",
    "release",
]
