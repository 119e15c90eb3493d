"""The codecs of dynamic calls: how arguments and results become the bytes of a message.

`lookup(name)` finds one of "msgpack", "json" and "carp". Typed protobuf calls ("proto") need the
method's descriptor too and live in `carp_grpc.typed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .carp_codec import CarpCodec
from .json_codec import JSONCodec
from .msgpack_codec import MsgpackCodec

__all__ = ["Codec", "lookup", "names"]


class Codec(Protocol):
    """Turns argument lists and results into bytes and back. Safe for concurrent use."""

    @property
    def name(self) -> str:
        """The tag under which the wire knows the codec."""

    def encode_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The body of a request. Raises EncodeError."""

    def decode_arguments(self, body: bytes) -> tuple[list[Any], dict[str, Any]]:
        """The arguments in the body of a request. Raises DecodeError."""

    def encode_result(self, value: Any) -> bytes:
        """The body of a reply. Raises EncodeError."""

    def decode_result(self, body: bytes) -> Any:
        """The value in the body of a reply; None for an empty one. Raises DecodeError."""

    def encode_item(self, value: Any) -> bytes:
        """One value of a stream. Raises EncodeError."""

    def decode_item(self, body: bytes) -> Any:
        """One value of a stream. Raises DecodeError."""


_codecs: dict[str, Codec] = {c.name: c for c in (MsgpackCodec(), JSONCodec(), CarpCodec())}


def names() -> list[str]:
    """The names of the codecs there are."""
    return sorted(_codecs)


def lookup(name: str) -> Codec:
    """The codec called `name`.

    Raises:
        ValueError: there is none; the text lists those there are.
    """
    try:
        return _codecs[name]
    except KeyError:
        known = ", ".join(names())
        raise ValueError(
            f"there is no codec {name!r} for dynamic calls; there are {known}"
        ) from None
