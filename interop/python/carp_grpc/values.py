"""Values that travel, beyond what Python has types for, and the bounds of those it has.

| Python | on the wire |
|---|---|
| `None`, `bool`, `str`, `bytes` (also `bytearray`, `memoryview`) | the same |
| `int` from -2**63 to 2**64-1 | an integer, exact |
| `float` | a double, exact; `inf` and `nan` not in json |
| `list`, `tuple` | a list |
| `dict` with scalar keys: all of the above except lists, and dates and times | a map |
| `datetime` with a zone, `Timestamp` | an instant; the zone itself is not carried |
| `datetime` without a zone, `CivilDateTime` | a civil date and time |
| `date` | a civil date |
| `Ref` | a reference to an object that stays at its host |
| `Named` | a value with the name of its type |
| a dataclass instance | a map of its fields; it comes back as a dict |

What arrives has the first type of its row: a list, never a tuple; a `datetime` in UTC, or a
`Timestamp` when a datetime cannot hold it to the nanosecond. Subclasses of these types travel as
the type they extend. Everything else raises `EncodeError`; nothing is changed silently.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

from .errors import DecodeError, EncodeError

__all__ = ["CivilDateTime", "Named", "Ref", "Timestamp"]

INT_MIN, INT_MAX = -(2**63), 2**64 - 1
MAX_DEPTH = 100

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_SECONDS_MIN = -62135596800  # 0001-01-01T00:00:00Z
_SECONDS_MAX = 253402300799  # 9999-12-31T23:59:59Z


@dataclasses.dataclass(frozen=True, order=True)
class Timestamp:
    """An instant, to the nanosecond, in the years 1 to 9999 UTC.

    Attributes:
        seconds: whole seconds since 1970-01-01T00:00:00Z, negative before.
        nanoseconds: 0 to 999,999,999, counted forward from `seconds`.
    """

    seconds: int
    nanoseconds: int = 0

    def __post_init__(self) -> None:
        if not _SECONDS_MIN <= self.seconds <= _SECONDS_MAX:
            raise ValueError(f"Timestamp: {self.seconds} s is outside the years 1 to 9999")
        if not 0 <= self.nanoseconds < 1_000_000_000:
            raise ValueError(f"Timestamp: {self.nanoseconds} ns is not in 0..999999999")

    @classmethod
    def from_datetime(cls, value: dt.datetime) -> Timestamp:
        """The instant of an aware datetime.

        Raises:
            ValueError: `value` has no zone, so it is not an instant.
        """
        if value.utcoffset() is None:
            raise ValueError(f"{value!r} has no zone, so it is not an instant")
        delta = value - _EPOCH
        return cls(delta.days * 86400 + delta.seconds, delta.microseconds * 1000)

    def to_datetime(self) -> dt.datetime:
        """A datetime in UTC, cut to whole microseconds."""
        return _EPOCH + dt.timedelta(seconds=self.seconds, microseconds=self.nanoseconds // 1000)


@dataclasses.dataclass(frozen=True, order=True)
class CivilDateTime:
    """A date and time without a zone, to the nanosecond.

    Attributes:
        datetime: a naive datetime whose microsecond is 0.
        nanosecond: 0 to 999,999,999.
    """

    datetime: dt.datetime
    nanosecond: int = 0

    def __post_init__(self) -> None:
        if self.datetime.tzinfo is not None:
            raise ValueError(f"CivilDateTime: {self.datetime!r} has a zone")
        if self.datetime.microsecond:
            raise ValueError("CivilDateTime: the fraction belongs in nanosecond")
        if not 0 <= self.nanosecond < 1_000_000_000:
            raise ValueError(f"CivilDateTime: {self.nanosecond} ns is not in 0..999999999")

    @classmethod
    def from_datetime(cls, value: dt.datetime) -> CivilDateTime:
        """The same civil time as a naive datetime."""
        return cls(value.replace(microsecond=0, fold=0), value.microsecond * 1000)


@dataclasses.dataclass(frozen=True)
class Ref:
    """A reference to an object that stays where it is.

    Attributes:
        cls: the name under which the object's class is exported; empty for a callback.
        id: the object's id, valid on the link or session that brought it; never empty.
        host: the host that the object lives in; empty for the one that sent this.
    """

    cls: str
    id: str
    host: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("Ref: the id is empty")


@dataclasses.dataclass(frozen=True)
class Named:
    """A value with the name of its type, for types that both ends agreed on.

    Attributes:
        name: as in "shapes.Circle"; never empty.
        value: the value proper; not itself a Named.
    """

    name: str
    value: Any

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("Named: the name is empty")
        if isinstance(self.value, Named):
            raise ValueError("Named: a named value has no second name")  # noqa: TRY004


def instant(seconds: int, nanoseconds: int) -> dt.datetime | Timestamp:
    """An instant as a UTC datetime where that is exact, else as a Timestamp."""
    stamp = Timestamp(seconds, nanoseconds)
    return stamp if nanoseconds % 1000 else stamp.to_datetime()


def civil(whole: dt.datetime, nanosecond: int) -> dt.datetime | CivilDateTime:
    """A civil time as a naive datetime where that is exact, else as a CivilDateTime."""
    if nanosecond % 1000:
        return CivilDateTime(whole, nanosecond)
    return whole.replace(microsecond=nanosecond // 1000)


class _Seen(threading.local):
    count = 0


_seen = _Seen()


def refs_seen() -> int:
    """How many references this thread has decoded: whether there are any in a value."""
    return _seen.count


def ref(cls: str, id: str, host: str) -> Ref:
    """A reference from the wire. Raises DecodeError."""
    _seen.count += 1
    try:
        return Ref(cls, id, host)
    except ValueError as error:
        raise DecodeError(str(error)) from error


def named(name: str, value: object) -> Named:
    """A named value from the wire. Raises DecodeError."""
    try:
        return Named(name, value)
    except ValueError as error:
        raise DecodeError(str(error)) from error


def plain(value: object) -> object:
    """Reduce the types that stand for others to the ones that every codec writes.

    The result is None or of exactly one of these types: bool, int, float, str, bytes, list,
    dict, Timestamp, CivilDateTime, date, Ref, Named. Elements of containers are left alone.

    Raises:
        EncodeError: the value is of no type that travels.
    """
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dt.datetime):  # before date, which it extends
        if value.utcoffset() is None:
            return CivilDateTime.from_datetime(value.replace(tzinfo=None))
        return _stamp(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for base, reduce in _EXTENDABLE:
        if isinstance(value, base):
            return reduce(value)
    if isinstance(value, dt.date):
        return dt.date(value.year, value.month, value.day)
    raise EncodeError(
        f"{type(value).__name__} {shown(value)} cannot travel: convert it to a type that can"
    )


def _stamp(value: dt.datetime) -> Timestamp:
    try:
        return Timestamp.from_datetime(value)
    except (ValueError, OverflowError) as error:  # in year 1 or 9999, outside of them in UTC
        raise EncodeError(f"{value!r} cannot travel: {error}") from error


# The base type's own methods make the plain value: str() of a str-based Enum's member is "E.A".
_EXTENDABLE: tuple[tuple[Any, Callable[[Any], object]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
    (list, list.copy),
    (dict, dict.copy),
)
_PLAIN = frozenset(
    (bool, int, float, str, bytes, list, dict, Timestamp, CivilDateTime, dt.date, Ref, Named)
)
# The types that a key can have: those of plain values, and that of what an instant or a civil
# time becomes when it arrives.
KEYS = frozenset(
    (
        type(None), bool, int, float, str, bytes,
        Timestamp, CivilDateTime, dt.date, dt.datetime,
    )
)  # fmt: skip


def key(value: object) -> object:
    """The plain form of a map's key.

    Raises:
        EncodeError: the key is not a scalar.
    """
    reduced = plain(value)
    if type(reduced) not in KEYS:
        raise EncodeError(
            f"{type(value).__name__} {shown(value)} cannot be a key: "
            "a key is None, a bool, number, str, bytes, date or time"
        )
    return reduced


def check_int(value: int) -> int:
    """Return `value` if 64 bits hold it.

    Raises:
        EncodeError: it is outside -2**63..2**64-1.
    """
    if not INT_MIN <= value <= INT_MAX:
        raise EncodeError(f"int {shown(value)} is outside -2**63..2**64-1: send it as a str")
    return value


def check_depth(depth: int) -> None:
    """Refuse what the other end would refuse, and what contains itself.

    Raises:
        EncodeError: the value is nested deeper than 100 levels.
    """
    if depth > MAX_DEPTH:
        raise EncodeError(f"the value is nested deeper than {MAX_DEPTH} levels, or contains itself")


def is_deep(value: Any, unusual: bool = False) -> bool:
    """Whether a value is nested deeper than 100 levels. Looks at it level by level.

    Args:
        unusual: there may be types in it that stand for containers.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        if unusual:
            level = [plain(item) for item in level]
        filled = [item for item in level if type(item) in _CONTAINERS and item]
        if not filled:
            return False
        inner = [item.values() if type(item) is dict else item for item in filled]
        if unusual:
            level = [x for items in inner for x in items if type(x) not in _SIMPLE]
        else:
            level = [x for items in inner for x in items if type(x) in _CONTAINERS]
    return True


_CONTAINERS = frozenset((dict, list))
_SIMPLE = frozenset((type(None), bool, int, float, str, bytes))


def shown(value: object) -> str:
    """A short repr for error texts."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  # a repr of the user's, or an int of more than 4300 digits
        return f"(no repr: {type(error).__name__})"
    return text if len(text) <= 60 else text[:57] + "..."
