"""Codec "json": plain JSON, with a marked object for each kind of value that JSON lacks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DecodeError, EncodeError
from ..values import (
    INT_MAX,
    INT_MIN,
    MAX_DEPTH,
    check_depth,
    check_int,
    is_deep,
    key,
    plain,
    shown,
)
from . import bodies, marks


class JSONCodec:
    """Codec "json". Safe for concurrent use."""

    name = "json"

    def encode_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The body of a request. Raises EncodeError."""
        return dump(bodies.join(args, kwargs)) if args or kwargs else b""

    def decode_arguments(self, body: bytes) -> tuple[list[Any], dict[str, Any]]:
        """The arguments in the body of a request. Raises DecodeError."""
        return bodies.split(load(body)) if body else ([], {})

    def encode_result(self, value: Any) -> bytes:
        """The body of a reply. Raises EncodeError."""
        return dump(value)

    def decode_result(self, body: bytes) -> Any:
        """The value in the body of a reply; None for an empty one. Raises DecodeError."""
        return load(body) if body else None

    def encode_item(self, value: Any) -> bytes:
        """One value of a stream. Raises EncodeError."""
        return dump(value)

    def decode_item(self, body: bytes) -> Any:
        """One value of a stream. Raises DecodeError."""
        return load(body)


def dump(value: Any) -> bytes:
    """One value as JSON. Raises EncodeError."""
    text = json.dumps(_to_json(value, 1), ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"a str is not valid Unicode: {error}") from error


def _to_json(value: Any, depth: int) -> Any:
    """The value with everything that JSON lacks replaced by marked objects."""
    check_depth(depth)
    value = plain(value)
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return check_int(value)
    if kind is float:
        if not math.isfinite(value):
            raise EncodeError(f"json has no {value!r}: use another codec")
        return value
    if kind is list:
        return [_to_json(item, depth + 1) for item in value]
    if kind is dict:
        return _map_to_json(value, depth)
    return marks.mark(value, lambda inner: _to_json(inner, depth + 1))


def _map_to_json(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    keys: list[Any] = [key(name) for name in value]
    items = [_to_json(item, depth + 1) for item in value.values()]
    if all(type(name) is str for name in keys):
        # A user's key that looks like a mark gets a second $.
        return {("$" + name if name[:1] == "$" else name): item for name, item in zip(keys, items)}
    return {marks.MAP: [[_to_json(n, depth + 1), item] for n, item in zip(keys, items)]}


def load(body: bytes) -> Any:
    """The one value in a JSON body. Raises DecodeError."""
    try:
        text = body.decode()
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except DecodeError:
        raise
    except RecursionError as error:
        raise DecodeError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise DecodeError(f"not one JSON value in UTF-8: {error}") from error
    if body.count(b"[") + body.count(b"{") >= MAX_DEPTH and is_deep(value):
        raise DecodeError(f"the value is nested deeper than {MAX_DEPTH} levels")
    if _SURROGATE.search(text):
        _check_text(value)
    return value


# Half a pair is legal in JSON's escapes and illegal in text; Python would let it pass.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _check_text(value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DecodeError(f"a string is not valid Unicode: {error}") from error
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name)
            _check_text(item)
    elif isinstance(value, list):
        for item in value:
            _check_text(item)


def _integer(digits: str) -> int:
    # Long before int() would take its time over millions of digits.
    if len(digits) > 20 or not INT_MIN <= (value := int(digits)) <= INT_MAX:
        raise DecodeError(f"the integer {shown(digits)} is outside -2**63..2**64-1")
    return value


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise DecodeError(f"the number {shown(digits)} is too large for a double")
    return value


def _constant(word: str) -> float:
    raise DecodeError(f"{word} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> Any:
    """A dict, or the value that a marked object stands for."""
    result: dict[str, Any] = {}
    marked = False
    for name, item in pairs:
        if name[:1] == "$":
            if name[1:2] == "$":
                name = name[1:]
            else:
                marked = True
        if name in result:
            raise DecodeError(f"an object has the key {name!r} twice")
        result[name] = item
    # A mark beside a user's key is an error, also if that key, one $ less, looks like a mark.
    return marks.unmark(dict(pairs)) if marked else result
