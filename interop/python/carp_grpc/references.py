"""Sessions of clients: what holds a client's remote objects and callbacks at a host.

A client without a link opens one, as no host and without exports, when it first deals in
references: it passes a function, or calls something that answers with an object.
"""

from __future__ import annotations

import inspect
from typing import Any

from .errors import EncodeError, RemoteExecutionError
from .link import AioLink, Link
from .link.objects import RemoteFunction, RemoteObject

_WANTED = ("carp-wants-session", "1")


class Session(Link):
    """The link of a client."""

    _anonymous = True


class AioSession(AioLink):
    """The link of an asyncio client."""

    _anonymous = True


def refers(value: Any) -> bool:
    """Whether a value can only travel by reference."""
    if isinstance(value, (list, tuple)):
        return any(map(refers, value))
    if isinstance(value, dict):
        return any(map(refers, value.values()))
    return inspect.isroutine(value) or isinstance(value, (RemoteObject, RemoteFunction))


def untyped(path: str) -> EncodeError:
    """The error of a typed call with references among its arguments."""
    return EncodeError(
        f"{path}: functions and remote objects travel with the codecs msgpack, json and carp, "
        "not with proto, whose calls belong to no session"
    )


def is_wanted(failure: BaseException) -> bool:
    """Whether a host has refused a call, without having run it, for want of a session."""
    return isinstance(failure, RemoteExecutionError) and _WANTED in failure.trailers
