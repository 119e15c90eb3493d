"""Every value survives a round trip in every codec exactly, or is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
from typing import Any

import pytest

from carp_grpc import CivilDateTime, DecodeError, EncodeError, Named, Ref, Timestamp, codecs

CODECS = ("msgpack", "json", "carp")
UTC = dt.timezone.utc
EAST = dt.timezone(dt.timedelta(hours=5, minutes=45))

EXACT: dict[str, Any] = {
    "none": None,
    "true": True,
    "false": False,
    **{f"int {n}": n for n in (0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, -32768, 65536)},
    **{f"int {n}": n for n in (2**31 - 1, -(2**31), 2**32, 2**53 + 1, -(2**53) - 1)},
    **{f"int {n}": n for n in (2**63 - 1, -(2**63), 2**63, 2**64 - 1)},
    **{f"float {x}": x for x in (0.0, -0.0, 1.0, 0.1, 1e16, 1e300, 5e-324, -2.5)},
    "empty text": "",
    "text": 'héllo, wörld — 日本語 🎈 \x00 " \\ \u2028',
    "empty bytes": b"",
    "bytes": bytes(range(256)),
    "empty list": [],
    "list": [1, "a", None, [2.5, [b"x"]], {}],
    "empty map": {},
    "map": {"a": 1, "b": {"c": [1, 2]}, "": 0},
    "map with integer keys": {1: "x", -1: "y", 2**64 - 1: "z"},
    "map with mixed keys": {1: "a", "1": "b", b"1": "c", 1.5: "d", False: "e"},
    "map with none and time keys": {
        None: 0,
        dt.date(2024, 2, 29): 1,
        dt.datetime(2024, 2, 29, 1, tzinfo=UTC): 2,
        dt.datetime(2024, 2, 29, 1): 3,
    },
    "keys like marks": {"$bytes": "x", "$": 1, "$$": 2, "*": 3},
    "key like one mark": {"$time": "2024-01-01T00:00:00Z"},
    "instant": dt.datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC),
    "instant without fraction": dt.datetime(2024, 2, 29, tzinfo=UTC),
    "first instant": dt.datetime(1, 1, 1, tzinfo=UTC),
    "last instant": dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    "instant before 1970": dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    "instant in nanoseconds": Timestamp(1_700_000_000, 123_456_789),
    "civil time": dt.datetime(2024, 2, 29, 12, 30, 15, 250000),
    "civil time in nanoseconds": CivilDateTime(dt.datetime(1, 1, 1), 1),
    "date": dt.date(2024, 2, 29),
    "first date": dt.date(1, 1, 1),
    "reference": Ref("Counter", "f00", "host"),
    "named": Named("shapes.Circle", {"r": 1.5, "at": [dt.date(2024, 1, 1), b"\xd6\xff"]}),
    "instants within": [dt.datetime(2024, 1, 1, tzinfo=UTC), {"a": Timestamp(1, 1)}],
}


def same(got: Any, want: Any) -> bool:
    """Equality that tells 1 from 1.0 and True, and -0.0 from 0.0."""
    if type(got) is not type(want):
        return False
    if isinstance(want, float):
        return got.hex() == want.hex()
    if isinstance(want, list):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(want, dict):
        return len(got) == len(want) and all(
            any(same(g, w) and same(got[g], want[w]) for g in got) for w in want
        )
    if isinstance(want, Named):
        return got.name == want.name and same(got.value, want.value)
    return bool(got == want)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", EXACT)
def test_survives(codec: str, name: str) -> None:
    c = codecs.lookup(codec)
    want = EXACT[name]
    got = c.decode_result(c.encode_result(want))
    assert same(got, want), f"{got!r} from {want!r}"
    args, kwargs = c.decode_arguments(c.encode_arguments([want, want], {"a": want, "b": 1}))
    assert same(args, [want, want]) and same(kwargs, {"a": want, "b": 1})


@pytest.mark.parametrize("codec", ("msgpack", "carp"))
@pytest.mark.parametrize("value", (math.inf, -math.inf, math.nan))
def test_not_finite(codec: str, value: float) -> None:
    c = codecs.lookup(codec)
    assert repr(c.decode_result(c.encode_result(value))) == repr(value)


class Color(enum.IntEnum):
    RED = 3


class Word(str, enum.Enum):
    YES = "yes"


@dataclasses.dataclass
class Point:
    x: int
    inner: Any


class Pair(tuple[int, int]):
    pass


NORMAL: list[tuple[Any, Any]] = [
    ((1, (2, 3)), [1, [2, 3]]),
    (Pair((1, 2)), [1, 2]),
    (bytearray(b"x"), b"x"),
    (memoryview(b"x"), b"x"),
    (Color.RED, 3),
    (Word.YES, "yes"),
    (Point(1, Point(2, None)), {"x": 1, "inner": {"x": 2, "inner": None}}),
    (dt.datetime(2024, 1, 1, 5, 45, tzinfo=EAST), dt.datetime(2024, 1, 1, tzinfo=UTC)),
    (Timestamp(0, 1000), dt.datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("value, want", NORMAL, ids=lambda v: type(v).__name__)
def test_becomes(codec: str, value: Any, want: Any) -> None:
    c = codecs.lookup(codec)
    got = c.decode_result(c.encode_result([value]))
    assert same(got, [want]), repr(got)


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


REFUSED: dict[str, Any] = {
    "int above 64 bits": 2**64,
    "int below 64 bits": -(2**63) - 1,
    "huge int": 10**5000,
    "half a surrogate pair": "\ud800",
    "half a surrogate pair as key": {"\ud800": 1},
    "complex": 1j,
    "set": {1},
    "object": object(),
    "class": Point,
    "timedelta": dt.timedelta(1),
    "time": dt.time(1),
    "tuple as key": {(1, 2): 3},
    "tuple as inner key": [{"a": {(1, 2): 3}}],
    "contains itself": cyclic(),
    "before year 1 in UTC": dt.datetime(1, 1, 1, tzinfo=EAST),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", REFUSED)
def test_refused(codec: str, name: str) -> None:
    c = codecs.lookup(codec)
    with pytest.raises(EncodeError):
        c.encode_result(REFUSED[name])
    with pytest.raises(EncodeError):
        c.encode_arguments([REFUSED[name]], {"a": 1})


@pytest.mark.parametrize("value", (math.inf, -math.inf, math.nan, [math.inf]))
def test_json_refuses_not_finite(value: Any) -> None:
    with pytest.raises(EncodeError, match="json has no"):
        codecs.lookup("json").encode_result(value)


MALFORMED: dict[str, list[bytes]] = {
    "msgpack": [
        b"\xc1",
        b"\x92\x01",
        b"\x01\x02",
        b"\xdd\xff\xff\xff\xff",
        b"\xa1\xff",
        b"\x82\x01\x02\x01\x03",
        b"\x82\x01\x02\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\x03",  # 1 and 1.0
        b"\x81\x91\x01\x02",
        b"\x91" * 5000 + b"\x01",
        b"\xc7\x01\x63\x00",
        b"\xc7\x0bx\x01",
        b"\xd4\x01\x00",
        b"\xc7\x0c\xff\xff\xff\xff\xff" + b"\x7f" * 8,  # nanoseconds out of range
    ],
    "json": [
        b"{",
        b"1 2",
        b"NaN",
        b"Infinity",
        b"1e999",
        b"18446744073709551616",
        b"9" * 10000,
        b'{"a":1,"a":2}',
        b'{"$bytes":"?"}',
        b'{"$bytes":"","a":1}',
        b'{"$bytes":1}',
        b'{"$bytes":"YR=="}',
        b'{"$what":1}',
        b'{"$$value":1,"$type":"x"}',
        b'{"$time":"2024-01-01"}',
        b'{"$time":"2024-01-01T00:00:00"}',
        b'{"$date":"2024-02-30"}',
        b'{"$map":[[1,2],[1,3]]}',
        b'{"$map":[[[],2]]}',
        b'{"$map":[1]}',
        b'"\\ud800"',
        b'{"\\uD800x":1}',
        b'"\xff"',
        b"[" * 100000,
    ],
    "carp": [
        b"\xff",
        b"\x0a\x00",  # a Value without a kind
        b"\x0a\x05\x4a\x03\x0a\x01\xff",
    ],
}


@pytest.mark.parametrize(
    "codec, body", [(codec, body) for codec, bodies in MALFORMED.items() for body in bodies]
)
def test_malformed(codec: str, body: bytes) -> None:
    with pytest.raises(DecodeError):
        codecs.lookup(codec).decode_result(body)


@pytest.mark.parametrize("codec", CODECS)
def test_empty_bodies(codec: str) -> None:
    c = codecs.lookup(codec)
    assert c.encode_arguments([], {}) == b""
    assert c.decode_arguments(b"") == ([], {})
    assert c.decode_result(b"") is None


@pytest.mark.parametrize("body", (b"1", b'{"*":1}', b'{"$map":[[1,2]]}'))
def test_not_arguments(body: bytes) -> None:
    with pytest.raises(DecodeError):
        codecs.lookup("json").decode_arguments(body)


def test_one_dict_is_one_argument() -> None:
    for name in CODECS:
        c = codecs.lookup(name)
        assert c.decode_arguments(c.encode_arguments([{"a": 1}], {})) == ([{"a": 1}], {})


@pytest.mark.parametrize("codec", CODECS)
def test_depth(codec: str) -> None:
    """A hundred levels; protobuf's runtime for Python stops at half of that."""
    levels = 49 if codec == "carp" else 99
    c = codecs.lookup(codec)
    for inmost in (1, [], {"a": []}, dt.date(2024, 1, 1)):
        value: Any = inmost
        for _ in range(levels - 1 - isinstance(inmost, dict)):
            value = [value]
        assert c.decode_result(c.encode_result(value)) == value
    for inmost in (1, [1], {"a": 1}, Point(1, 2), (1,)):
        value = inmost
        for _ in range(100 if inmost == 1 else 99):
            value = {"a": value}
        with pytest.raises(EncodeError):
            c.encode_result(value)


def test_depth_of_bodies() -> None:
    c = codecs.lookup("msgpack")
    assert c.decode_result(b"\x91" * 99 + b"\x90") is not None
    for body in (b"\x91" * 100 + b"\x90", b"\x81\x01" * 100 + b"\x01", b"\x91" * 100 + b"\x01"):
        with pytest.raises(DecodeError, match="100 levels"):
            c.decode_result(body)


def test_unknown_codec() -> None:
    with pytest.raises(ValueError, match="carp, json, msgpack"):
        codecs.lookup("xml")
