"""Codec "carp": carp.v1.Args and carp.v1.Result, for peers that have protobuf and nothing else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Error as ProtobufError

from ..errors import DecodeError, EncodeError
from ..protos import message_class
from ..values import (
    KEYS,
    MAX_DEPTH,
    CivilDateTime,
    Named,
    Ref,
    Timestamp,
    check_depth,
    check_int,
    civil,
    instant,
    key,
    named,
    plain,
    ref,
    shown,
)

_Args = message_class("carp.v1.Args")
_Result = message_class("carp.v1.Result")
new_value = message_class("carp.v1.Value")

# The field of a carp.v1.Value that holds a message which may also stand by itself.
FIELD_OF = {
    "carp.v1.Date": "date_value",
    "carp.v1.DateTime": "datetime_value",
    "carp.v1.Ref": "ref_value",
    "carp.v1.Named": "named_value",
}


class CarpCodec:
    """Codec "carp". Safe for concurrent use."""

    name = "carp"

    def encode_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The body of a request. Raises EncodeError."""
        message = _Args()
        for arg in args:
            write(arg, message.args.add())
        for name, arg in kwargs.items():
            write(arg, _kwarg(message, name))
        return _serialized(message)

    def decode_arguments(self, body: bytes) -> tuple[list[Any], dict[str, Any]]:
        """The arguments in the body of a request. Raises DecodeError."""
        message = _parsed(_Args, body)
        args = [read(arg) for arg in message.args]
        return args, {name: read(arg) for name, arg in message.kwargs.items()}

    def encode_result(self, value: Any) -> bytes:
        """The body of a reply. Raises EncodeError."""
        message = _Result()
        write(value, message.value)
        return _serialized(message)

    def decode_result(self, body: bytes) -> Any:
        """The value in the body of a reply; None for an empty one. Raises DecodeError."""
        message = _parsed(_Result, body)
        return read(message.value) if message.HasField("value") else None

    def encode_item(self, value: Any) -> bytes:
        """One value of a stream. Raises EncodeError."""
        message = new_value()
        write(value, message)
        return _serialized(message)

    def decode_item(self, body: bytes) -> Any:
        """One value of a stream. Raises DecodeError."""
        return read(_parsed(new_value, body))


def _kwarg(message: Any, name: str) -> Any:
    try:
        return message.kwargs[name]
    except UnicodeError as error:
        raise EncodeError(f"the argument name {name!r} is not valid Unicode") from error


def _serialized(message: Any) -> bytes:
    try:
        return bytes(message.SerializeToString())
    except (ProtobufError, ValueError) as error:
        # protobuf's own limits: 2 GiB, and 100 messages within each other, two for a container.
        raise EncodeError(f"protobuf cannot carry this, too deep or too large: {error}") from error


def _parsed(cls: Any, body: bytes) -> Any:
    try:
        return cls.FromString(body)
    except (ProtobufError, ValueError) as error:
        raise DecodeError(f"not a {cls.DESCRIPTOR.full_name}: {error}") from error


def write(value: object, into: Any, depth: int = 1) -> None:
    """Set the carp.v1.Value `into` to `value`. Raises EncodeError."""
    check_depth(depth)
    value = plain(value)
    _WRITERS[type(value)](value, into, depth)


def _write_int(value: int, into: Any, depth: int) -> None:
    if check_int(value) < 2**63:
        into.int_value = value
    else:
        into.uint_value = value


def _write_str(value: str, into: Any, depth: int) -> None:
    try:
        into.string_value = value
    except (ValueError, UnicodeError) as error:
        raise EncodeError(f"str {shown(value)} is not valid Unicode: {error}") from error


def _write_list(value: list[Any], into: Any, depth: int) -> None:
    into.list_value.SetInParent()  # so that an empty one is there too
    for item in value:
        write(item, into.list_value.items.add(), depth + 1)


def _write_map(value: dict[Any, Any], into: Any, depth: int) -> None:
    into.map_value.SetInParent()
    for name, item in value.items():
        entry = into.map_value.entries.add()
        write(key(name), entry.key, depth + 1)
        write(item, entry.value, depth + 1)


def _write_date(value: dt.date, into: Any) -> None:
    into.year, into.month, into.day = value.year, value.month, value.day


def _write_civil(value: CivilDateTime, into: Any, depth: int) -> None:
    whole = value.datetime
    _write_date(whole, into.datetime_value.date)
    into.datetime_value.hour = whole.hour
    into.datetime_value.minute = whole.minute
    into.datetime_value.second = whole.second
    into.datetime_value.nanosecond = value.nanosecond


def _write_time(value: Timestamp, into: Any, depth: int) -> None:
    into.time_value.SetInParent()
    into.time_value.seconds = value.seconds
    into.time_value.nanos = value.nanoseconds


def _write_ref(value: Ref, into: Any, depth: int) -> None:
    into.ref_value.SetInParent()
    setattr(into.ref_value, "class", value.cls)
    into.ref_value.id = value.id
    into.ref_value.host = value.host


def _write_named(value: Named, into: Any, depth: int) -> None:
    into.named_value.name = value.name
    write(value.value, into.named_value.value, depth + 1)


def _setter(field: str) -> Callable[[Any, Any, int], None]:
    def set_field(value: Any, into: Any, depth: int) -> None:
        setattr(into, field, value)

    return set_field


_WRITERS: dict[type, Callable[[Any, Any, int], None]] = {
    type(None): lambda value, into, depth: into.null_value.SetInParent(),
    bool: _setter("bool_value"),
    int: _write_int,
    float: _setter("double_value"),
    str: _write_str,
    bytes: _setter("bytes_value"),
    list: _write_list,
    dict: _write_map,
    Timestamp: _write_time,
    dt.date: lambda value, into, depth: _write_date(value, into.date_value),
    CivilDateTime: _write_civil,
    Ref: _write_ref,
    Named: _write_named,
}


def read(message: Any, depth: int = 1) -> Any:
    """The Python value of a carp.v1.Value. Raises DecodeError."""
    kind = message.WhichOneof("kind")
    if kind is None:
        raise DecodeError("a carp.v1.Value has no kind set, or one that is unknown here")
    if depth > MAX_DEPTH:
        raise DecodeError(f"the value is nested deeper than {MAX_DEPTH} levels")
    content = getattr(message, kind)
    special = _READERS.get(kind)
    return content if special is None else special(content, depth)


def _read_map(content: Any, depth: int) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for entry in content.entries:
        name = read(entry.key, depth + 1)
        if type(name) not in KEYS:
            raise DecodeError(f"a map has a key that is not a scalar: {shown(name)}")
        if name in result:
            raise DecodeError(
                f"a map has two keys that are equal, or that Python holds to be equal: {name!r}"
            )
        result[name] = read(entry.value, depth + 1)
    return result


def _read_date(content: Any) -> dt.date:
    try:
        return dt.date(content.year, content.month, content.day)
    except ValueError as error:
        raise DecodeError(f"not a date: {error}") from error


def _read_civil(content: Any) -> object:
    try:
        date = content.date
        whole = dt.datetime(
            date.year, date.month, date.day, content.hour, content.minute, content.second
        )
        return civil(whole, content.nanosecond)
    except ValueError as error:
        raise DecodeError(f"not a date and time: {error}") from error


def _read_time(content: Any) -> object:
    try:
        return instant(content.seconds, content.nanos)
    except ValueError as error:
        raise DecodeError(f"not an instant: {error}") from error


def _read_named(content: Any, depth: int) -> Named:
    return named(content.name, read(content.value, depth + 1))


_READERS: dict[str, Callable[[Any, int], Any]] = {
    "null_value": lambda content, depth: None,
    "list_value": lambda content, depth: [read(item, depth + 1) for item in content.items],
    "map_value": _read_map,
    "time_value": lambda content, depth: _read_time(content),
    "date_value": lambda content, depth: _read_date(content),
    "datetime_value": lambda content, depth: _read_civil(content),
    "ref_value": lambda content, depth: ref(getattr(content, "class"), content.id, content.host),
    "named_value": _read_named,
}
