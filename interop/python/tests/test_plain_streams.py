"""Streams of plain Go functions from grpcio, which knows nothing of carp."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import msgpack
import pytest
from conftest import GoHost

PATIENCE = 60.0
Pack = Callable[[Any], bytes]
# The bodies of arguments, of one value, and what a reply's stands for, by codec.
CODECS: dict[str, tuple[Pack, Pack, Callable[[bytes], Any]]] = {
    "msgpack": (msgpack.packb, msgpack.packb, msgpack.unpackb),
    "json": (
        lambda arguments: json.dumps(arguments).encode(),
        lambda value: json.dumps(value).encode(),
        json.loads,
    ),
    # Of small ints: the arguments are the first fields, the stream is the one after them.
    "proto": (
        lambda arguments: bytes(itertools.chain(*((8 * i, n) for i, n in enumerate(arguments, 1)))),
        lambda value: bytes((0x10, value)),
        lambda body: body[1],
    ),
}


@pytest.fixture(params=("unix", "tcp", "abstract"))
def channel(request: pytest.FixtureRequest, gohost: GoHost) -> Iterator[grpc.Channel]:
    target = gohost.target(request.param).replace("tcp://", "")
    with grpc.insecure_channel(target) as channel:
        yield channel


@pytest.mark.parametrize("codec", CODECS)
def test_grpcio(channel: grpc.Channel, codec: str) -> None:
    pack, item, unpack = CODECS[codec]
    options: dict[str, Any] = {"metadata": (("carp-codec", codec),), "timeout": PATIENCE}
    add: Any = channel.stream_unary("/Numbers/Sum")
    assert unpack(add(iter([pack([2]), item(1), item(2)]), **options)) == 6
    count: Any = channel.unary_stream("/Numbers/Count")
    assert [unpack(body) for body in count(pack([4]), **options)][1:] == [1, 2, 3]


@pytest.mark.parametrize("codec", ("msgpack", "json"))
def test_grpcio_both_ways(channel: grpc.Channel, codec: str) -> None:
    pack, item, unpack = CODECS[codec]
    options: dict[str, Any] = {"metadata": (("carp-codec", codec),), "timeout": PATIENCE}
    endless = itertools.chain([pack([])], map(item, itertools.count(1)))
    double: Any = channel.stream_stream("/Numbers/Double")
    replies = double(endless, **options)
    assert [unpack(body) for body in itertools.islice(replies, 100)] == list(range(2, 202, 2))
    replies.cancel()
    # The function has what it wants before the client has said all.
    endless = itertools.chain([pack([])], map(item, itertools.count(1)))
    first: Any = channel.stream_unary("/Numbers/First")
    assert unpack(first(endless, **options)) == 1
    with pytest.raises(grpc.RpcError) as caught:
        add: Any = channel.stream_unary("/Numbers/Sum")
        add(iter([pack([2]), item("text")]), **options)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "a value of the stream" in error.details()


async def test_grpcio_aio(gohost: GoHost) -> None:
    options: dict[str, Any] = {"metadata": (("carp-codec", "msgpack"),), "timeout": PATIENCE}
    async with grpc.aio.insecure_channel(gohost.unix) as channel:
        add: Any = channel.stream_unary("/Numbers/Sum")
        assert await add(map(msgpack.packb, ([2], 1, 2)), **options) == msgpack.packb(6)
        double: Any = channel.stream_stream("/Numbers/Double")(**options)
        await double.write(msgpack.packb([]))
        for n in range(1, 100):
            await double.write(msgpack.packb(n))
            assert await double.read() == msgpack.packb(2 * n)
        await double.done_writing()
        assert await double.read() is grpc.aio.EOF
