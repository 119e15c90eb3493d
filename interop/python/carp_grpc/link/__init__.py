"""Links: a Python process joins a host, is called by it and calls it, over one connection."""

from .messages import Limits
from .objects import RemoteFunction, RemoteObject, release
from .tasks import AioLink, AioLinkFunction
from .threads import Link, LinkFunction

__all__ = ["AioLink", "AioLinkFunction", "Limits", "Link", "LinkFunction", "RemoteFunction", "RemoteObject", "release"]
