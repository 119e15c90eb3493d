"""Argument lists as one value, for codecs that have values and no message of their own.

| call | value |
|---|---|
| `f()` | none: the body is empty |
| `f(1, 2)` | `[1, 2]` |
| `f(a=1)` | `{"a": 1}` |
| `f(1, b=2)` | `{"*": [1], "b": 2}`; no parameter can be called `*` |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DecodeError
from ..values import shown

_POSITIONAL = "*"


def join(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any] | dict[str, Any]:
    """One value for an argument list that is not empty."""
    if not kwargs:
        return list(args)
    if not args:
        return dict(kwargs)
    return {_POSITIONAL: list(args), **kwargs}


def split(value: Any) -> tuple[list[Any], dict[str, Any]]:
    """The argument list that `value` stands for.

    Raises:
        DecodeError: it stands for none.
    """
    if isinstance(value, list):
        return value, {}
    if not isinstance(value, dict):
        raise DecodeError(f"arguments are a list or a map, not {shown(value)}")
    if not all(isinstance(name, str) for name in value):
        raise DecodeError("arguments by name have text as names")
    args = value.pop(_POSITIONAL, [])
    if not isinstance(args, list):
        raise DecodeError(f'"*" holds the positional arguments, a list, not {shown(args)}')
    return args, value
