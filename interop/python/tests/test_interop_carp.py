"""The cases of test_interop_cases with `Client` and `AioClient`, by their codec proto.

What they can't do, generated stubs do beside them: a `Client` waits for a call whose requests are a
stream, so that nobody can cancel it after it has begun; and neither hands out the metadata of a
reply, unless it is an error's, so that custom_metadata is seen in a trailer of one.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from conftest import GoHost
from test_interop_cases import INITIAL, SENT, SERVICE, SIZES, TRAILING

from carp_grpc import AioClient, Client, DeadlineExceededError, RemoteExecutionError

Code = grpc.StatusCode
TEXTS = ("test status message", "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")
LARGE: dict[str, Any] = {"response_size": 314159, "payload": {"body": bytes(271828)}}
INPUTS = [{"payload": {"body": bytes(size)}} for size in SENT]


def asking(*sizes: int, body: int = 0, **fields: Any) -> dict[str, Any]:
    parameters = [{"size": size} for size in sizes]
    return {"response_parameters": parameters, "payload": {"body": bytes(body)}, **fields}


def sizes(replies: list[Any]) -> list[int]:
    return [len(reply.payload.body) for reply in replies]


@pytest.fixture(params=("unix", "tcp", "abstract"))
def target(request: pytest.FixtureRequest, gohost: GoHost) -> str:
    return gohost.target(request.param)


def failure(error: RemoteExecutionError) -> tuple[grpc.StatusCode, str]:
    return error.code, error.message


def test_client(target: str) -> None:
    """All but cancel_after_begin."""
    with Client(target, codec="proto", timeout=60.0) as client:
        service = client[SERVICE]
        assert service.EmptyCall().ByteSize() == 0
        assert service.UnaryCall(**LARGE).payload.body == bytes(314159)
        assert service.StreamingInputCall(iter(INPUTS)).aggregated_payload_size == 74922
        assert sizes(list(service.StreamingOutputCall(**asking(*SIZES)))) == SIZES
        ping_pong(service)
        assert list(service.FullDuplexCall(())) == []
        cancel_after_first_response(service)
        timeout_on_sleeping_server(service)
        custom_metadata(service)
        for text in TEXTS:
            status_is_kept(service, text)
        for name in (f"{SERVICE}.UnimplementedCall", "grpc.testing.UnimplementedService.Any"):
            with pytest.raises(RemoteExecutionError) as caught:
                client[name]()
            assert caught.value.code is Code.UNIMPLEMENTED


def ping_pong(service: Any) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    replies = service.FullDuplexCall(iter(requests.get, None))
    for size, body in zip(SIZES, SENT):
        requests.put(asking(size, body=body))
        assert sizes([next(replies)]) == [size]
    requests.put(None)
    assert list(replies) == []


def cancel_after_first_response(service: Any) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    replies = service.FullDuplexCall(iter(requests.get, None))
    requests.put(asking(SIZES[0], body=SENT[0]))
    next(replies)
    replies.cancel()
    with pytest.raises(RemoteExecutionError) as caught:
        next(replies)
    assert caught.value.code is Code.CANCELLED
    requests.put(None)


def timeout_on_sleeping_server(service: Any) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    requests.put(asking(body=27182))
    with pytest.raises(DeadlineExceededError):
        list(service.FullDuplexCall.with_options(timeout=0.001)(iter(requests.get, None)))
    requests.put(None)


def custom_metadata(service: Any) -> None:
    call = service.UnaryCall.with_options(metadata=(INITIAL, TRAILING))
    with pytest.raises(RemoteExecutionError) as caught:
        call(response_status={"code": 2, "message": "for its trailer"})
    assert TRAILING in caught.value.trailers


def status_is_kept(service: Any, text: str) -> None:
    wanted = {"code": 2, "message": text}
    with pytest.raises(RemoteExecutionError) as caught:
        service.UnaryCall(response_status=wanted)
    assert failure(caught.value) == (Code.UNKNOWN, text)
    with pytest.raises(RemoteExecutionError) as caught:
        list(service.FullDuplexCall((asking(response_status=wanted),)))
    assert failure(caught.value) == (Code.UNKNOWN, text)


async def test_aio_client(target: str) -> None:
    """All of them."""
    async with AioClient(target, codec="proto", timeout=60.0) as client:
        service = client[SERVICE]
        assert (await service.EmptyCall()).ByteSize() == 0
        assert (await service.UnaryCall(**LARGE)).payload.body == bytes(314159)
        assert (await service.StreamingInputCall(INPUTS)).aggregated_payload_size == 74922
        replies = await service.StreamingOutputCall(**asking(*SIZES))
        assert sizes([reply async for reply in replies]) == SIZES
        await aio_ping_pong(service)
        assert [reply async for reply in await service.FullDuplexCall(())] == []
        await aio_cancelling(service)
        with pytest.raises(DeadlineExceededError):
            late = service.FullDuplexCall.with_options(timeout=0.001)
            [reply async for reply in await late(asked(asyncio.Queue()))]
        with pytest.raises(RemoteExecutionError) as caught:
            call = service.UnaryCall.with_options(metadata=(INITIAL, TRAILING))
            await call(response_status={"code": 2, "message": "for its trailer"})
        assert TRAILING in caught.value.trailers
        for text in TEXTS:
            await aio_status_is_kept(service, text)
        for name in (f"{SERVICE}.UnimplementedCall", "grpc.testing.UnimplementedService.Any"):
            with pytest.raises(RemoteExecutionError) as caught:
                await client[name]()
            assert caught.value.code is Code.UNIMPLEMENTED


async def asked(requests: asyncio.Queue[Any]) -> AsyncIterator[Any]:
    while (request := await requests.get()) is not None:
        yield request


async def aio_ping_pong(service: Any) -> None:
    requests: asyncio.Queue[Any] = asyncio.Queue()
    replies = await service.FullDuplexCall(asked(requests))
    for size, body in zip(SIZES, SENT):
        requests.put_nowait(asking(size, body=body))
        assert sizes([await anext(replies)]) == [size]
    requests.put_nowait(None)
    assert [reply async for reply in replies] == []


async def aio_cancelling(service: Any) -> None:
    """cancel_after_begin, cancel_after_first_response"""
    requests: asyncio.Queue[Any] = asyncio.Queue()
    taken = asyncio.Event()

    async def inputs() -> AsyncIterator[Any]:
        taken.set()
        async for request in asked(requests):
            yield request

    call = asyncio.ensure_future(service.StreamingInputCall(inputs()))
    await asyncio.wait_for(taken.wait(), 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    replies = await service.FullDuplexCall(asked(requests))
    requests.put_nowait(asking(SIZES[0], body=SENT[0]))
    await anext(replies)
    replies.cancel()
    with pytest.raises((RemoteExecutionError, asyncio.CancelledError)):
        await anext(replies)


async def aio_status_is_kept(service: Any, text: str) -> None:
    wanted = {"code": 2, "message": text}
    with pytest.raises(RemoteExecutionError) as caught:
        await service.UnaryCall(response_status=wanted)
    assert failure(caught.value) == (Code.UNKNOWN, text)
    with pytest.raises(RemoteExecutionError) as caught:
        requests = (asking(response_status=wanted),)
        [reply async for reply in await service.FullDuplexCall(requests)]
    assert failure(caught.value) == (Code.UNKNOWN, text)
