"""The msgpack extension types of carp's value model.

| code | meaning | data |
|---|---|---|
| -1 | instant | msgpack's own timestamp |
| 1 | date | `2006-01-02` |
| 2 | civil date and time | `2006-01-02T15:04:05.999999999` |
| 3 | object reference | msgpack array: class, id, host |
| 4 | value of a named type | its name and, right after it, the value |
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from .. import values
from ..errors import DecodeError
from ..values import CivilDateTime, Named, Ref, Timestamp, named, ref, shown
from . import iso

DATE, CIVIL, REF, NAMED = 1, 2, 3, 4

# How a msgpack timestamp can begin: fixext 4 and 8, and ext 8, 16, 32 of 12 bytes. A body without
# any of them has no timestamp; one with them may, as other data can look the same.
TIMESTAMP_HEADER = re.compile(
    rb"[\xd6\xd7]\xff|(?:\xc7|\xc8\x00|\xc9\x00\x00\x00)\x0c\xff"
)


def pack_date(value: dt.date) -> bytes:
    """The data of a date."""
    return value.isoformat().encode()


def unpack_date(data: bytes) -> dt.date:
    """The date in an extension's data. Raises DecodeError."""
    try:
        return iso.parse_date(data.decode())
    except ValueError as error:
        raise DecodeError(f"not a date: {error}") from error


def pack_civil(value: CivilDateTime) -> bytes:
    """The data of a civil time."""
    return iso.format_civil(value).encode()


def unpack_civil(data: bytes) -> dt.datetime | CivilDateTime:
    """The civil time in an extension's data. Raises DecodeError."""
    try:
        return iso.parse_civil(data.decode())
    except ValueError as error:
        raise DecodeError(f"not a date and time: {error}") from error


def unpack_ref(fields: Any) -> Ref:
    """The reference in an extension's unpacked data. Raises DecodeError."""
    if (
        not isinstance(fields, list)
        or len(fields) != 3
        or not all(isinstance(field, str) for field in fields)
    ):
        raise DecodeError(f"a reference is class, id and host, not {shown(fields)}")
    return ref(*fields)


def unpack_named(fields: Any) -> Named:
    """The named value in an extension's unpacked data. Raises DecodeError."""
    if not isinstance(fields, list) or len(fields) != 2 or not isinstance(fields[0], str):
        raise DecodeError(f"a named value is a name and a value, not {shown(fields)}")
    return named(fields[0], fields[1])


def instant(seconds: int, nanoseconds: int) -> dt.datetime | Timestamp:
    """An instant from the wire. Raises DecodeError."""
    try:
        return values.instant(seconds, nanoseconds)
    except ValueError as error:
        raise DecodeError(f"not an instant: {error}") from error
