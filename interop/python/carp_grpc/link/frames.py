"""The frames of a link as protobuf messages, and small conversions around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..protos import message_class

Frame = message_class("carp.v1.Frame")
Hello = message_class("carp.v1.Hello")
Exports = message_class("carp.v1.Exports")
Export = message_class("carp.v1.Export")
Call = message_class("carp.v1.Call")
Reply = message_class("carp.v1.Reply")
Chunk = message_class("carp.v1.Chunk")
Credit = message_class("carp.v1.Credit")
Item = message_class("carp.v1.Item")
End = message_class("carp.v1.End")
Cancel = message_class("carp.v1.Cancel")
Release = message_class("carp.v1.Release")
ReleaseRequest = message_class("carp.v1.ReleaseRequest")
Limits = message_class("carp.v1.Limits")
Goaway = message_class("carp.v1.Goaway")
Ping = message_class("carp.v1.Ping")
Pong = message_class("carp.v1.Pong")

PATH = "/carp.v1.Peer/Link"
RELEASE = "/carp.v1.Peer/Release"

Pairs = tuple[tuple[str, "str | bytes"], ...]

# What an entry of metadata counts beyond its key and value.
_ENTRY = 32


def frame(kind: str, message: Any, call: int = 0) -> Any:
    """A frame of one kind, for one call or for the link as a whole."""
    return Frame(**{"id": call, kind: message})


def credit(count: int, call: int = 0) -> Any:
    """A frame that lets the peer send `count` bytes more."""
    return frame("credit", Credit(bytes=count), call)


def add_metadata(into: Any, pairs: Iterable[tuple[str, str | bytes]]) -> int:
    """Append pairs to a repeated Metadata field; returns what they count against the limit."""
    size = 0
    for key, value in pairs:
        data = value.encode() if isinstance(value, str) else bytes(value)
        into.add(key=key, value=data)
        size += len(key) + len(data) + _ENTRY
    return size


def metadata_size(entries: Iterable[Any]) -> int:
    """What entries count against the limit."""
    return sum(len(entry.key) + len(entry.value) + _ENTRY for entry in entries)


def read_metadata(entries: Iterable[Any]) -> Pairs:
    """The pairs in a repeated Metadata field: bytes for keys that end in -bin, text for others.

    Text that is not valid UTF-8 keeps its bytes behind surrogate escapes, as file names do.
    """
    return tuple(
        (
            entry.key,
            entry.value
            if entry.key.endswith("-bin")
            else entry.value.decode(errors="surrogateescape"),
        )
        for entry in entries
    )
