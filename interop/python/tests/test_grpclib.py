"""grpclib, an independent gRPC for Python, against a Go host, without any code of ours.

Unlike grpcio it can set the content-subtype, and so needs no carp-codec metadata.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import grpclib.client
import grpclib.const
import grpclib.encoding.base
import grpclib.exceptions
import h2.errors
import msgpack
import pytest
from conftest import GoHost

STATUS = grpclib.const.Status
NOTHING = object()
AT_DEADLINE = (
    asyncio.TimeoutError,
    grpclib.exceptions.GRPCError,
    grpclib.exceptions.StreamTerminatedError,
)


class Msgpack(grpclib.encoding.base.CodecBase):
    __content_subtype__ = "msgpack"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(msgpack.packb(message))

    def decode(self, data: bytes, message_type: Any) -> Any:
        value = msgpack.unpackb(data)
        return NOTHING if value is None else value  # None means to grpclib that there is no reply


class JSON(grpclib.encoding.base.CodecBase):
    __content_subtype__ = "json"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return json.dumps(message).encode()

    def decode(self, data: bytes, message_type: Any) -> Any:
        return json.loads(data)


class Raw(grpclib.encoding.base.CodecBase):
    """Protobuf messages that somebody else has encoded."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        return data


CODECS = {"msgpack": Msgpack, "json": JSON, "proto": Raw}


def open_channel(gohost: GoHost, transport: str, codec: str) -> grpclib.client.Channel:
    if transport == "unix":
        path = gohost.unix.removeprefix("unix://")
        return grpclib.client.Channel(path=path, codec=CODECS[codec]())
    host, _, port = gohost.tcp.removeprefix("tcp://").rpartition(":")
    return grpclib.client.Channel(host, int(port), codec=CODECS[codec]())


@pytest.fixture(params=("unix", "tcp"))
async def channels(request: pytest.FixtureRequest, gohost: GoHost) -> AsyncIterator[Any]:
    opened = []

    def open_one(codec: str) -> grpclib.client.Channel:
        opened.append(open_channel(gohost, request.param, codec))
        return opened[-1]

    yield open_one
    for channel in opened:
        channel.close()


async def call(channel: Any, path: str, message: Any, **options: Any) -> Any:
    return await grpclib.client.UnaryUnaryMethod(channel, path, object, object)(message, **options)


@pytest.mark.parametrize("codec", ("msgpack", "json"))
async def test_call(channels: Any, codec: str) -> None:
    channel = channels(codec)
    assert await call(channel, "/Calculator/Add", [1, 2]) == 3
    assert await call(channel, "/Calculator/Add", {"*": [1], "b": 2}) == 3
    value = {"a": [1, 2.5, None, "é"], "b": {"c": True}}
    assert await call(channel, "/echo/call", [value]) == value


async def test_protobuf(channels: Any) -> None:
    channel = channels("proto")
    reply = await call(channel, "/carp.examples.greeter.v1.Greeter/Greet", b"\x0a\x03Ann")
    assert reply == b"\x0a\x0bHello, Ann!"
    # A plain Go function: AddRequest{a: 1, b: 2} and AddResponse{result: 3}.
    assert await call(channel, "/Calculator/Add", b"\x08\x01\x10\x02") == b"\x08\x03"


async def test_stream(channels: Any) -> None:
    path = "/carp.examples.greeter.v1.Greeter/GreetAll"
    method = grpclib.client.StreamStreamMethod(channels("proto"), path, object, object)
    replies = await method([b"\x0a\x03Ann", b"\x0a\x03Bob"])
    assert replies == [b"\x0a\x0bHello, Ann!", b"\x0a\x0bHello, Bob!"]


async def test_error(channels: Any) -> None:
    with pytest.raises(grpclib.exceptions.GRPCError) as caught:
        await call(channels("msgpack"), "/Calculator/Div", [1, 0])
    assert (caught.value.status, caught.value.message) == (STATUS.UNKNOWN, "division by zero")
    with pytest.raises(grpclib.exceptions.GRPCError) as caught:
        await call(channels("msgpack"), "/Failing/Status", [])
    assert caught.value.status is STATUS.FAILED_PRECONDITION


async def test_deadline(channels: Any) -> None:
    """Both ends watch the deadline, and there are three ways in which a client can learn of it.

    Its own clock is first: TimeoutError. The host's function has returned first: its status. Or the
    host's transport has reset the stream first, with CANCEL, as grpc-go does at the deadline;
    grpclib gives that no other meaning.
    """
    channel = channels("msgpack")
    await call(channel, "/echo/call", [1])  # a connection is there
    for timeout in (0.1, 1, 10, 60):  # a busy machine may not begin the call in time
        with pytest.raises(AT_DEADLINE) as caught:
            await call(channel, "/waiting/Wait", [], timeout=timeout)
        if isinstance(caught.value, grpclib.exceptions.GRPCError):
            assert caught.value.status is STATUS.DEADLINE_EXCEEDED
        if isinstance(caught.value, grpclib.exceptions.StreamTerminatedError):
            reset = f"error_code: {int(h2.errors.ErrorCodes.CANCEL)}"
            assert str(caught.value) == f"Stream reset by remote party, {reset}"
        with contextlib.suppress(*AT_DEADLINE):
            await call(channel, "/waiting/Begun", [], timeout=timeout)
            break
    await call(channel, "/waiting/Ended", [], timeout=30)


async def test_metadata(channels: Any) -> None:
    sent = {"k": "v", "b-bin": b"\xff\x00"}
    seen = await call(channels("msgpack"), "/headers/call", [], metadata=sent)
    assert (seen["k"], seen["b-bin"]) == (["v"], [b"\xff\x00"])


async def test_large(channels: Any) -> None:
    data = bytes(5 << 20)
    assert await call(channels("msgpack"), "/length/call", [data]) == len(data)
    assert await call(channels("msgpack"), "/echo/call", [data]) == data


async def test_streams_of_plain_functions(channels: Any) -> None:
    channel = channels("msgpack")
    add = grpclib.client.StreamUnaryMethod(channel, "/Numbers/Sum", object, object)
    assert await add([[2], 1, 2], timeout=60) == 6
    double = grpclib.client.StreamStreamMethod(channel, "/Numbers/Double", object, object)
    async with double.open(timeout=60) as stream:
        await stream.send_message([])
        for n in range(1, 100):
            await stream.send_message(n)
            assert await stream.recv_message() == 2 * n
        await stream.end()
        assert await stream.recv_message() is None
    count = grpclib.client.UnaryStreamMethod(channel, "/Numbers/Count", object, object)
    assert await count([3], timeout=60) == [0, 1, 2]
