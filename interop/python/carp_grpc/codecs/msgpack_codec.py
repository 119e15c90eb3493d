"""Codec "msgpack": the default, and the cheapest, for dynamic calls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

from ..errors import DecodeError, EncodeError
from ..values import (
    KEYS,
    MAX_DEPTH,
    CivilDateTime,
    Named,
    Ref,
    Timestamp,
    check_int,
    is_deep,
    key,
    plain,
    shown,
)
from . import bodies, extensions


class MsgpackCodec:
    """Codec "msgpack". Safe for concurrent use."""

    name = "msgpack"

    def encode_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The body of a request. Raises EncodeError."""
        return pack(bodies.join(args, kwargs)) if args or kwargs else b""

    def decode_arguments(self, body: bytes) -> tuple[list[Any], dict[str, Any]]:
        """The arguments in the body of a request. Raises DecodeError."""
        return bodies.split(unpack(body)) if body else ([], {})

    def encode_result(self, value: Any) -> bytes:
        """The body of a reply. Raises EncodeError."""
        return pack(value)

    def decode_result(self, body: bytes) -> Any:
        """The value in the body of a reply; None for an empty one. Raises DecodeError."""
        return unpack(body) if body else None

    def encode_item(self, value: Any) -> bytes:
        """One value of a stream. Raises EncodeError."""
        return pack(value)

    def decode_item(self, body: bytes) -> Any:
        """One value of a stream. Raises DecodeError."""
        return unpack(body)


def pack(value: Any) -> bytes:
    """One value as msgpack. Raises EncodeError."""
    unusual = False

    def default(item: object) -> object:
        nonlocal unusual
        unusual = True
        return _packable(item)

    try:
        # strict: subclasses and tuples come to `default` instead of being guessed at.
        body = msgpack.packb(value, default=default, strict_types=True)
    except EncodeError:
        raise
    except (ValueError, OverflowError, TypeError) as error:
        raise EncodeError(f"msgpack cannot carry {shown(value)}: {error}") from error
    if unusual:
        # An unusual value may have been a key, where it has no place. msgpack does not tell, and
        # checking every map would cost more than packing it.
        _check_keys(value)
    if _may_be_deep(body) and is_deep(value, unusual):
        raise EncodeError(f"the value is nested deeper than {MAX_DEPTH} levels")
    return bytes(body)


def _packable(item: object) -> object:
    """What stands in the wire form for a value that msgpack itself does not know."""
    reduced = plain(item)
    kind = type(reduced)
    if kind is int:
        return check_int(reduced)  # type: ignore[arg-type]
    write = _EXTENSIONS.get(kind)
    return reduced if write is None else write(reduced)


def _check_keys(value: object) -> None:
    value = plain(value)
    if isinstance(value, dict):
        for name in value:
            key(name)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check_keys(item)


def _pack_named(named: Named) -> msgpack.ExtType:
    return msgpack.ExtType(extensions.NAMED, pack(named.name) + pack(named.value))


_EXTENSIONS: dict[type, Callable[[Any], object]] = {
    Timestamp: lambda stamp: msgpack.Timestamp(stamp.seconds, stamp.nanoseconds),
    dt.date: lambda date: msgpack.ExtType(extensions.DATE, extensions.pack_date(date)),
    CivilDateTime: lambda t: msgpack.ExtType(extensions.CIVIL, extensions.pack_civil(t)),
    Ref: lambda ref: msgpack.ExtType(extensions.REF, pack([ref.cls, ref.id, ref.host])),
    Named: _pack_named,
}


def unpack(body: bytes) -> Any:
    """The one value in a msgpack body. Raises DecodeError."""
    try:
        value = msgpack.unpackb(
            body,
            strict_map_key=False,
            object_pairs_hook=_map,
            ext_hook=_extension,
        )
    except DecodeError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise DecodeError(f"not one msgpack value: {error or type(error).__name__}") from error
    if _may_be_deep(body) and is_deep(value, False):
        raise DecodeError(f"the value is nested deeper than {MAX_DEPTH} levels")
    if extensions.TIMESTAMP_HEADER.search(body):
        return _instants(value)
    return value


# The bytes that no list and no map begins with.
_NO_CONTAINER = bytes(c for c in range(256) if not (0x80 <= c <= 0x9F or 0xDC <= c <= 0xDF))


def _may_be_deep(body: bytes) -> bool:
    """Whether a body has enough bytes that may begin a list or map to be nested too deeply.

    msgpack allows more levels than carp does, and its hooks do not tell how deep they are.
    """
    return len(body) > MAX_DEPTH and len(body.translate(None, _NO_CONTAINER)) > MAX_DEPTH - 1


# Before the two values in a named value's data, it makes them one array.
_ARRAY_OF_TWO = b"\x92"

_WIRE_KEYS = KEYS | {msgpack.Timestamp}


def _map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dict, if it can hold all pairs: 1, 1.0 and True are different keys only on the wire."""
    try:
        result = dict(pairs)
    except TypeError as error:
        raise DecodeError(f"a map has a key that is not a scalar: {error}") from error
    if len(result) != len(pairs):
        raise DecodeError("a map has two keys that are equal, or that Python holds to be equal")
    for name in result:
        if type(name) is not str and type(name) not in _WIRE_KEYS:
            raise DecodeError(f"a map has a key that is not a scalar: {shown(name)}")
    return result


def _extension(code: int, data: bytes) -> object:
    if code == extensions.DATE:
        return extensions.unpack_date(data)
    if code == extensions.CIVIL:
        return extensions.unpack_civil(data)
    if code == extensions.REF:
        return extensions.unpack_ref(unpack(data))
    if code == extensions.NAMED:
        return extensions.unpack_named(unpack(_ARRAY_OF_TWO + data))
    raise DecodeError(f"msgpack extension {code} has no meaning in carp")


def _instants(value: Any) -> Any:
    """Replace msgpack's own timestamps, which no hook sees, by ours."""
    if isinstance(value, list):
        return [_instants(item) for item in value]
    if isinstance(value, dict):
        return {_instants(name): _instants(item) for name, item in value.items()}
    if isinstance(value, msgpack.Timestamp):
        return extensions.instant(value.seconds, value.nanoseconds)
    return value
