"""The cases of test_interop_cases with grpclib, a gRPC client that shares no code with grpcio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpclib.client
import grpclib.const
import grpclib.encoding.base
import grpclib.exceptions
import h2.errors
import pytest
from conftest import GoHost
from test_interop_cases import INITIAL, SENT, SERVICE, SIZES, TRAILING, messages

Status = grpclib.const.Status

__all__ = ["messages"]  # the fixture


class Proto(grpclib.encoding.base.CodecBase):
    """grpclib's own wants generated classes."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message.SerializeToString())

    def decode(self, data: bytes, message_type: Any) -> Any:
        return message_type.FromString(data)


class Stub:
    """The TestService: its methods as grpclib makes them, and its messages."""

    def __init__(self, channel: Any, messages: Any) -> None:
        self._channel = channel
        self.messages = messages

    def _method(self, make: Any, name: str, reply: str, service: str = SERVICE) -> Any:
        return make(self._channel, f"/{service}/{name}", object, self.messages(reply))

    def empty(self, name: str = "EmptyCall", service: str = SERVICE) -> Any:
        return self._method(grpclib.client.UnaryUnaryMethod, name, "Empty", service)

    def unary(self) -> Any:
        return self._method(grpclib.client.UnaryUnaryMethod, "UnaryCall", "SimpleResponse")

    def input(self) -> Any:
        reply = "StreamingInputCallResponse"
        return self._method(grpclib.client.StreamUnaryMethod, "StreamingInputCall", reply)

    def output(self) -> Any:
        reply = "StreamingOutputCallResponse"
        return self._method(grpclib.client.UnaryStreamMethod, "StreamingOutputCall", reply)

    def duplex(self) -> Any:
        reply = "StreamingOutputCallResponse"
        return self._method(grpclib.client.StreamStreamMethod, "FullDuplexCall", reply)

    def simple(self, **fields: Any) -> Any:
        return self.messages("SimpleRequest")(**fields)

    def large(self) -> Any:
        return self.simple(response_size=314159, payload={"body": bytes(271828)})

    def asking(self, *sizes: int, body: int = 0, **fields: Any) -> Any:
        return self.messages("StreamingOutputCallRequest")(
            response_parameters=[{"size": size} for size in sizes],
            payload={"body": bytes(body)},
            **fields,
        )


def channel_to(target: str) -> grpclib.client.Channel:
    """A channel to a target as grpcio writes it."""
    if target.startswith("unix-abstract:"):
        return grpclib.client.Channel(path=target.replace("unix-abstract:", "\0"), codec=Proto())
    if target.startswith("unix://"):
        return grpclib.client.Channel(path=target.removeprefix("unix://"), codec=Proto())
    host, _, port = target.rpartition(":")
    return grpclib.client.Channel(host, int(port), codec=Proto())


@pytest.fixture(params=("unix", "tcp", "abstract"))
async def stub(
    request: pytest.FixtureRequest, gohost: GoHost, messages: Any
) -> AsyncIterator[Stub]:
    channel = channel_to(gohost.target(request.param).replace("tcp://", ""))
    yield Stub(channel, messages)
    channel.close()


async def fails(call: Any) -> tuple[grpclib.const.Status, str | None]:
    with pytest.raises(grpclib.exceptions.GRPCError) as caught:
        await call
    return caught.value.status, caught.value.message


async def test_unary(stub: Stub) -> None:
    """empty_unary, large_unary"""
    assert await stub.empty()(stub.messages("Empty")()) == stub.messages("Empty")()
    assert (await stub.unary()(stub.large())).payload.body == bytes(314159)


async def test_streaming(stub: Stub) -> None:
    """client_streaming, server_streaming, ping_pong, empty_stream"""
    request = stub.messages("StreamingInputCallRequest")
    reply = await stub.input()([request(payload={"body": bytes(size)}) for size in SENT])
    assert reply.aggregated_payload_size == 74922
    replies = await stub.output()(stub.asking(*SIZES))
    assert [len(reply.payload.body) for reply in replies] == SIZES
    async with stub.duplex().open() as duplex:
        for size, body in zip(SIZES, SENT):
            await duplex.send_message(stub.asking(size, body=body))
            assert len((await duplex.recv_message()).payload.body) == size
        await duplex.end()
        assert await duplex.recv_message() is None
    assert await stub.duplex()([]) == []


async def test_cancelling(stub: Stub) -> None:
    """cancel_after_begin, cancel_after_first_response

    grpclib has no status of its own for a call that was cancelled: whoever waits for it is.
    """
    async with stub.input().open() as stream:
        await stream.send_request()
        await stream.cancel()
    async with stub.duplex().open() as stream:
        await stream.send_message(stub.asking(SIZES[0], body=SENT[0]))
        assert len((await stream.recv_message()).payload.body) == SIZES[0]
        await stream.cancel()
    # The connection is as good as before.
    assert await stub.empty()(stub.messages("Empty")()) == stub.messages("Empty")()


async def test_timeout_on_sleeping_server(stub: Stub) -> None:
    await stub.empty()(stub.messages("Empty")())  # a connection is there
    try:
        async with stub.duplex().open(timeout=0.001) as duplex:
            await duplex.send_message(stub.asking(body=27182))
            await duplex.recv_message()
        raise AssertionError("the call has not ended at its deadline")
    except asyncio.TimeoutError:
        pass
    except grpclib.exceptions.GRPCError as error:
        assert error.status is Status.DEADLINE_EXCEEDED  # noqa: PT017
    except grpclib.exceptions.StreamTerminatedError as error:
        # The server's clock was the first to see the deadline: see test_interop_cases.
        assert str(int(h2.errors.ErrorCodes.CANCEL)) in str(error)  # noqa: PT017


async def test_custom_metadata(stub: Stub) -> None:
    def check(stream: Any) -> None:
        assert stream.initial_metadata[INITIAL[0]] == INITIAL[1]
        assert stream.trailing_metadata[TRAILING[0]] == TRAILING[1]

    metadata = dict((INITIAL, TRAILING))
    async with stub.unary().open(metadata=metadata) as stream:
        await stream.send_message(stub.large(), end=True)
        await stream.recv_message()
        await stream.recv_trailing_metadata()
        check(stream)
    async with stub.duplex().open(metadata=metadata) as stream:
        await stream.send_message(stub.asking(314159, body=271828), end=True)
        assert len([reply async for reply in stream]) == 1
        await stream.recv_trailing_metadata()
        check(stream)


@pytest.mark.parametrize(
    "text",
    ("test status message", "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"),
    ids=("status_code_and_message", "special_status_message"),
)
async def test_status(stub: Stub, text: str) -> None:
    wanted = {"code": 2, "message": text}
    failed = await fails(stub.unary()(stub.simple(response_status=wanted)))
    assert failed == (Status.UNKNOWN, text)
    failed = await fails(stub.duplex()([stub.asking(response_status=wanted)]))
    assert failed == (Status.UNKNOWN, text)


@pytest.mark.parametrize("service", ("TestService", "UnimplementedService"))
async def test_unimplemented(stub: Stub, service: str) -> None:
    """unimplemented_method, unimplemented_service"""
    call: Callable[..., Any] = stub.empty("UnimplementedCall", f"grpc.testing.{service}")
    assert (await fails(call(stub.messages("Empty")())))[0] is Status.UNIMPLEMENTED
