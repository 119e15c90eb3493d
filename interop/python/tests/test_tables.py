"""The tables of values that all languages share; their notation is told in interop/testdata."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import notation
import pytest
from conftest import ROOT, GoHost
from test_values import same

from carp_grpc import Client, DecodeError, EncodeError
from carp_grpc.codecs import carp_codec, json_codec, msgpack_codec
from carp_grpc.protos import message_class

TABLES = ROOT / "interop" / "testdata"
Value: Any = message_class("carp.v1.Value")


def table(name: str) -> list[Any]:
    lines = (TABLES / name).read_text(encoding="utf-8").rstrip("\n").split("\n")
    return [json.loads(line) for line in lines]


def carp_encode(value: Any) -> bytes:
    message = Value()
    carp_codec.write(value, message)
    return bytes(message.SerializeToString())


def carp_decode(body: bytes) -> Any:
    return carp_codec.read(carp_codec._parsed(Value, body))


CODECS: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "msgpack": (msgpack_codec.pack, msgpack_codec.unpack),
    "json": (json_codec.dump, json_codec.load),
    "carp": (carp_encode, carp_decode),
}

VALUES = table("values.jsonl")
MALFORMED = table("malformed.jsonl")


def given(row: Any) -> Any:
    """What is to be encoded."""
    return notation.read(row.get("from", row["value"]))


def equal(got: Any, want: Any) -> bool:
    if isinstance(want, float) and math.isnan(want):
        return isinstance(got, float) and math.isnan(got)
    return same(got, want)


def spelling_is_fixed(row: Any, codec: str) -> bool:
    """Whether encoders have no choice of an order or a spelling; README.md lists where they do."""
    value = row["value"] if isinstance(row["value"], dict) else {}
    if codec == "json" or "ref" in value or "named" in value or value.get("float") == "nan":
        return False
    return len(value.get("map", ())) < 2


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("row", VALUES, ids=lambda row: row["name"])
def test_value(row: Any, codec: str) -> None:
    encode, decode = CODECS[codec]
    want = notation.read(row["value"])
    if codec not in row:
        with pytest.raises(EncodeError):
            encode(want)
        return
    body = encode(given(row))
    assert equal(decode(body), want)
    for number, spelled in enumerate(row[codec]):
        data = spelled.encode() if codec == "json" else bytes.fromhex(spelled)
        assert equal(decode(data), want), spelled
        if number == 0 and spelling_is_fixed(row, codec):
            assert body == data


@pytest.mark.parametrize("row", MALFORMED, ids=lambda row: f"{row['codec']} {row['why']}")
def test_malformed(row: Any) -> None:
    with pytest.raises(DecodeError):
        CODECS[row["codec"]][1](bytes.fromhex(row["body"]))


@pytest.fixture(scope="module")
def client(gohost: GoHost) -> Iterator[Client]:
    with Client(gohost.unix, timeout=60.0) as client:
        yield client


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("row", VALUES, ids=lambda row: row["name"])
def test_through_go(client: Client, row: Any, codec: str) -> None:
    """To a Go function that takes and returns anything, and back."""
    if codec not in row:
        return
    want = notation.read(row["value"])
    assert equal(client.echo.with_options(codec=codec)(given(row)), want)
