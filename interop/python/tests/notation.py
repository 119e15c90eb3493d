"""The notation of values in interop/testdata, which its README describes."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from carp_grpc import Named, Ref
from carp_grpc.codecs import iso

_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def read(notation: Any) -> Any:
    """The value that a notation stands for."""
    if not isinstance(notation, dict):
        return notation
    times = notation.get("times", 1)
    ((kind, content),) = ((k, v) for k, v in notation.items() if k not in ("times", "deep"))
    if kind == "list":
        value = [read(item) for item in content] * times
        for _ in range(notation.get("deep", 0)):
            value = [value]
        return value
    return _READERS[kind](content, times)


def _map(content: list[Any], times: int) -> dict[Any, Any]:
    return {read(key): read(value) for key, value in content}


_READERS: dict[str, Any] = {
    "int": lambda content, times: int(content),
    "float": lambda content, times: (
        _FLOATS[content] if content in _FLOATS else float.fromhex(content)
    ),
    "text": lambda content, times: content * times,
    "bytes": lambda content, times: bytes.fromhex(content) * times,
    "broken": lambda content, times: bytes.fromhex(content).decode(errors="surrogateescape"),
    "map": _map,
    "instant": lambda content, times: iso.parse_instant(content),
    "zoned": lambda content, times: dt.datetime.fromisoformat(content),
    "date": lambda content, times: dt.date.fromisoformat(content),
    "civil": lambda content, times: iso.parse_civil(content),
    "ref": lambda content, times: Ref(*content),
    "named": lambda content, times: Named(content[0], read(content[1])),
}
