"""The marked objects of codec "json": `{"$bytes": …}` and its kin."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Callable
from typing import Any

from ..errors import DecodeError, EncodeError
from ..values import KEYS, CivilDateTime, Named, Ref, Timestamp, named, ref, shown
from . import iso

BYTES, TIME, DATE, DATETIME = "$bytes", "$time", "$date", "$datetime"
REF, TYPE, VALUE, MAP = "$ref", "$type", "$value", "$map"


def mark(value: Any, inner: Callable[[Any], Any]) -> dict[str, Any]:
    """The marked object for a value that JSON lacks; `inner` converts what a Named holds."""
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode()}
    if isinstance(value, Timestamp):
        return {TIME: iso.format_instant(value)}
    if isinstance(value, CivilDateTime):
        return {DATETIME: iso.format_civil(value)}
    if isinstance(value, dt.date):
        return {DATE: value.isoformat()}
    if isinstance(value, Ref):
        return {REF: {"class": value.cls, "id": value.id, "host": value.host}}
    if isinstance(value, Named):
        return {TYPE: value.name, VALUE: inner(value.value)}
    raise EncodeError(f"json has no form for {shown(value)}")


def unmark(marked: dict[str, Any]) -> Any:
    """The value that a marked object stands for. Raises DecodeError."""
    names = sorted(marked)
    if names == [TYPE, VALUE]:
        return named(_text(marked, TYPE), marked[VALUE])
    if len(names) != 1 or names[0] not in _READERS:
        raise DecodeError(f"an object has unknown marks: its keys are {', '.join(names)}")
    return _READERS[names[0]](marked)


def _text(marked: dict[str, Any], name: str) -> str:
    text = marked[name]
    if not isinstance(text, str):
        raise DecodeError(f'"{name}" holds text, not {shown(text)}')
    return text


def _bytes(marked: dict[str, Any]) -> bytes:
    text = _text(marked, BYTES)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError(f'"{BYTES}" is not base64: {error}') from error
    if base64.b64encode(data).decode() != text:  # bits that belong to no byte, for example
        raise DecodeError(f'"{BYTES}" is not base64 in its one right form: {shown(text)}')
    return data


def _iso(name: str, parse: Callable[[str], Any]) -> Callable[[dict[str, Any]], Any]:
    def read(marked: dict[str, Any]) -> Any:
        text = _text(marked, name)
        try:
            return parse(text)
        except ValueError as error:
            raise DecodeError(f'"{name}" cannot be {shown(text)}: {error}') from error

    return read


def _ref(marked: dict[str, Any]) -> Ref:
    fields = marked[REF]
    if not isinstance(fields, dict) or not fields.keys() <= {"class", "id", "host"}:
        raise DecodeError(f'"{REF}" holds class, id and host, not {shown(fields)}')
    texts = {"class": "", "id": "", "host": "", **fields}
    return ref(*(_text(texts, name) for name in texts))


def _map(marked: dict[str, Any]) -> dict[Any, Any]:
    pairs = marked[MAP]
    if not isinstance(pairs, list):
        raise DecodeError(f'"{MAP}" holds a list of pairs, not {shown(pairs)}')
    result: dict[Any, Any] = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise DecodeError(f'"{MAP}" holds pairs, not {shown(pair)}')
        name, item = pair
        if type(name) not in KEYS:
            raise DecodeError(f"a map has a key that is not a scalar: {shown(name)}")
        if name in result:
            raise DecodeError(
                f"a map has two keys that are equal, or that Python holds to be equal: {name!r}"
            )
        result[name] = item
    return result


_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    BYTES: _bytes,
    TIME: _iso(TIME, iso.parse_instant),
    DATE: _iso(DATE, iso.parse_date),
    DATETIME: _iso(DATETIME, iso.parse_civil),
    REF: _ref,
    MAP: _map,
}
