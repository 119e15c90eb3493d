"""The cases of test_interop_cases with grpcio's asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from conftest import GoHost
from test_interop_cases import INITIAL, SENT, SIZES, TRAILING, Stub, messages

Code = grpc.StatusCode

__all__ = ["messages"]  # the fixture


@pytest.fixture(params=("unix", "tcp", "abstract"))
async def stub(
    request: pytest.FixtureRequest, gohost: GoHost, messages: Any
) -> AsyncIterator[Stub]:
    target = gohost.target(request.param).replace("tcp://", "")
    async with grpc.aio.insecure_channel(target) as channel:
        yield Stub(channel, messages)  # type: ignore[arg-type]


async def fails(call: Awaitable[Any] | Callable[[], Awaitable[Any]]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call() if callable(call) else call)
    return caught.value


def inputs(stub: Stub) -> tuple[Any, Iterator[Any]]:
    call = stub.method("stream_unary", "StreamingInputCall", "StreamingInputCallResponse")
    request = stub.messages("StreamingInputCallRequest")
    return call, (request(payload={"body": bytes(size)}) for size in SENT)


async def test_unary(stub: Stub) -> None:
    """empty_unary, large_unary"""
    assert await stub.empty()(stub.messages("Empty")()) == stub.messages("Empty")()
    request = stub.simple(response_size=314159, payload={"body": bytes(271828)})
    assert (await stub.unary()(request)).payload.body == bytes(314159)


async def test_streaming(stub: Stub) -> None:
    """client_streaming, server_streaming, ping_pong, empty_stream"""
    call, requests = inputs(stub)
    assert (await call(requests)).aggregated_payload_size == 74922
    call = stub.method("unary_stream", "StreamingOutputCall", "StreamingOutputCallResponse")
    assert [len(reply.payload.body) async for reply in call(stub.output(*SIZES))] == SIZES
    duplex = stub.duplex()()
    for size, body in zip(SIZES, SENT):
        await duplex.write(stub.output(size, body=body))
        assert len((await duplex.read()).payload.body) == size
    await duplex.done_writing()
    assert await duplex.read() is grpc.aio.EOF
    assert [reply async for reply in stub.duplex()(iter(()))] == []


async def test_cancelling(stub: Stub) -> None:
    """cancel_after_begin, cancel_after_first_response"""
    pending = inputs(stub)[0]()
    pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    assert await pending.code() is Code.CANCELLED
    duplex = stub.duplex()()
    await duplex.write(stub.output(SIZES[0], body=SENT[0]))
    await duplex.read()
    duplex.cancel()
    assert await duplex.code() is Code.CANCELLED


async def test_timeout_on_sleeping_server(stub: Stub) -> None:
    duplex = stub.duplex()(timeout=0.001)
    error = await fails(lambda: duplex.read())
    # As in test_interop_cases: who is the first to see the deadline.
    reset = error.code() is Code.CANCELLED and "RST_STREAM" in (error.details() or "")
    assert error.code() is Code.DEADLINE_EXCEEDED or reset, error


async def test_custom_metadata(stub: Stub) -> None:
    metadata = (INITIAL, TRAILING)
    request = stub.simple(response_size=314159, payload={"body": bytes(271828)})
    call = stub.unary()(request, metadata=metadata)
    await call
    assert INITIAL in [tuple(pair) for pair in await call.initial_metadata()]
    assert TRAILING in [tuple(pair) for pair in await call.trailing_metadata()]
    requests = iter((stub.output(314159, body=271828),))
    duplex = stub.duplex()(requests, metadata=metadata)
    assert len([reply async for reply in duplex]) == 1
    assert INITIAL in [tuple(pair) for pair in await duplex.initial_metadata()]
    assert TRAILING in [tuple(pair) for pair in await duplex.trailing_metadata()]


@pytest.mark.parametrize(
    "text",
    ("test status message", "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"),
    ids=("status_code_and_message", "special_status_message"),
)
async def test_status(stub: Stub, text: str) -> None:
    wanted = {"code": 2, "message": text}
    error = await fails(stub.unary()(stub.simple(response_status=wanted)))
    assert (error.code(), error.details()) == (Code.UNKNOWN, text)
    duplex = stub.duplex()(iter((stub.output(response_status=wanted),)))
    error = await fails(lambda: duplex.read())
    assert (error.code(), error.details()) == (Code.UNKNOWN, text)


@pytest.mark.parametrize("service", ("TestService", "UnimplementedService"))
async def test_unimplemented(stub: Stub, service: str) -> None:
    """unimplemented_method, unimplemented_service"""
    call = stub.empty("UnimplementedCall", f"grpc.testing.{service}")
    assert (await fails(call(stub.messages("Empty")()))).code() is Code.UNIMPLEMENTED
