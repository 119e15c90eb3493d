"""grpcio by itself, sync and aio, against a Go host: every row of interop's README for it.

The codec of a call is in its metadata, the bodies are made elsewhere: by the codecs of carp_grpc, or
for proto by hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from conftest import GoHost

from carp_grpc import codecs

Code = grpc.StatusCode
PATIENCE = 60.0
LARGE = 5 << 20  # more than gRPC takes unless told otherwise
ROOMY = [("grpc.max_receive_message_length", 64 << 20)]
Pairs = tuple[tuple[str, Any], ...]


class Sync:
    """Calls by grpcio's blocking client."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, ROOMY)

    async def unary(
        self, path: str, body: bytes, metadata: Pairs, timeout: float = PATIENCE
    ) -> tuple[bytes, Pairs]:
        """The reply, and the metadata that came before and after it."""
        call: Any = self._channel.unary_unary(path)
        reply, done = call.with_call(body, timeout=timeout, metadata=metadata)
        return reply, (*done.initial_metadata(), *done.trailing_metadata())

    async def stream(self, path: str, bodies: list[bytes], metadata: Pairs) -> list[bytes]:
        call: Any = self._channel.stream_stream(path)
        return list(call(iter(bodies), timeout=PATIENCE, metadata=metadata))

    async def close(self) -> None:
        self._channel.close()


class Aio:
    """Calls by grpcio's asyncio client."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, ROOMY)

    async def unary(
        self, path: str, body: bytes, metadata: Pairs, timeout: float = PATIENCE
    ) -> tuple[bytes, Pairs]:
        make: Any = self._channel.unary_unary(path)
        call = make(body, timeout=timeout, metadata=metadata)
        reply = await call
        return reply, (*await call.initial_metadata(), *await call.trailing_metadata())

    async def stream(self, path: str, bodies: list[bytes], metadata: Pairs) -> list[bytes]:
        call: Any = self._channel.stream_stream(path)
        return [body async for body in call(iter(bodies), timeout=PATIENCE, metadata=metadata)]

    async def close(self) -> None:
        await self._channel.close()


@pytest.fixture(params=(Sync, Aio), ids=("sync", "aio"))
def client_class(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=("unix", "tcp", "abstract"))
async def client(
    request: pytest.FixtureRequest, gohost: GoHost, client_class: Callable[[str], Any]
) -> AsyncIterator[Any]:
    client = client_class(gohost.target(request.param).replace("tcp://", ""))
    yield client
    await client.close()


def varint(n: int) -> bytes:
    data = bytearray()
    while n > 127:
        data.append(n & 127 | 128)
        n >>= 7
    return bytes((*data, n))


def message(*fields: int | bytes) -> bytes:
    """A protobuf message of these fields, from 1 on."""
    data = b""
    for number, field in enumerate(fields, 1):
        if isinstance(field, int):
            data += varint(number << 3) + varint(field)
        else:
            data += varint(number << 3 | 2) + varint(len(field)) + field
    return data


class Codec:
    """The bodies of one codec."""

    def __init__(self, name: str) -> None:
        self.metadata: Pairs = (("carp-codec", name),)
        self._codec = None if name == "proto" else codecs.lookup(name)

    def arguments(self, *args: Any) -> bytes:
        return self._codec.encode_arguments(args, {}) if self._codec else message(*args)

    def is_result(self, body: bytes, want: Any) -> bool:
        if self._codec:
            return bool(self._codec.decode_result(body) == want)
        return body == message(want)


@pytest.fixture(params=("msgpack", "json", "carp", "proto"))
def codec(request: pytest.FixtureRequest) -> Codec:
    return Codec(request.param)


async def test_unary(client: Any, codec: Codec) -> None:
    body = codec.arguments(2**40, 2)
    reply, _ = await client.unary("/Calculator/Add", body, codec.metadata)
    assert codec.is_result(reply, 2**40 + 2)


async def test_stream_of_a_service(client: Any) -> None:
    path = "/carp.examples.greeter.v1.Greeter/GreetAll"
    replies = await client.stream(path, [message(b"Ann"), message(b"Bob")], ())
    assert replies == [message(b"Hello, Ann!"), message(b"Hello, Bob!")]


async def test_error_with_details(client: Any, codec: Codec) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        await client.unary("/Failing/Status", b"", codec.metadata)
    error: Any = caught.value
    assert (error.code(), error.details()) == (Code.FAILED_PRECONDITION, "not now")
    details = dict(tuple(error.trailing_metadata()))["grpc-status-details-bin"]
    assert b"google.protobuf.StringValue" in details and b"busy" in details
    with pytest.raises(grpc.RpcError) as caught:
        await client.unary("/Calculator/Div", codec.arguments(1, 0), codec.metadata)
    error = caught.value
    assert (error.code(), error.details()) == (Code.UNKNOWN, "division by zero")
    assert ("carp-exception", "errors.errorString") in [tuple(p) for p in error.trailing_metadata()]


async def test_metadata(client: Any, codec: Codec) -> None:
    initial = ("x-grpc-test-echo-initial", "here")
    trailing = ("x-grpc-test-echo-trailing-bin", b"\xff\x00")
    _, got = await client.unary("/grpc.testing.TestService/UnaryCall", b"", (initial, trailing))
    assert {initial, trailing} <= {tuple(pair) for pair in got}
    if codec.metadata[0][1] == "proto":
        return  # which has no form for what the function returns
    sent = (*codec.metadata, ("k", "v"), ("b-bin", b"\xff\x00"))
    reply, got = await client.unary("/headers/call", b"", sent)
    assert {("h", "1"), ("t", "2")} <= {tuple(pair) for pair in got}
    seen = codec._codec.decode_result(reply) if codec._codec else {}
    assert (seen["k"], seen["b-bin"]) == (["v"], [b"\xff\x00"])


async def test_deadline(client: Any, codec: Codec) -> None:
    await client.unary("/nothing/call", b"", codec.metadata)  # a connection is there
    for timeout in (0.1, 1, 10, 60):  # a busy machine may not begin the call in time
        with pytest.raises(grpc.RpcError) as caught:
            await client.unary("/waiting/Wait", b"", codec.metadata, timeout)
        error: Any = caught.value
        # Who is the first to see it: see test_interop_cases.
        reset = error.code() is Code.CANCELLED and "RST_STREAM" in error.details()
        assert error.code() is Code.DEADLINE_EXCEEDED or reset, error
        with contextlib.suppress(grpc.RpcError):
            await client.unary("/waiting/Begun", b"", codec.metadata, timeout)
            break
    await client.unary("/waiting/Ended", b"", codec.metadata)


async def test_large(client: Any, codec: Codec) -> None:
    body = codec.arguments(bytes(LARGE))
    reply, _ = await client.unary("/length/call", body, codec.metadata)
    assert codec.is_result(reply, LARGE)
    reply, _ = await client.unary("/blob/call", codec.arguments(LARGE), codec.metadata)
    assert codec.is_result(reply, bytes(LARGE))
