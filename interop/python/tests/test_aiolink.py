"""AioLink, against the other end in Python, whose calls block and so run on threads here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import grpc
import pytest
from fakepeer import FakePeer, echo

from carp_grpc import (
    AioLink,
    DeadlineExceededError,
    RemoteExecutionError,
    UnavailableError,
    current,
)
from carp_grpc.link.messages import Response

Code = grpc.StatusCode
T = TypeVar("T")


async def off(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run a blocking function of the other end off the loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with FakePeer(echo) as peer:
        yield peer


@pytest.fixture
async def link(peer: FakePeer) -> AsyncIterator[AioLink]:
    async with AioLink(peer.target, "py") as link:
        await asyncio.wait_for(link.wait_ready(), 30)
        yield link


async def add(a: int, b: int = 2) -> int:
    await asyncio.sleep(0)
    return a + b


async def test_call(peer: FakePeer, link: AioLink) -> None:
    for codec in ("msgpack", "json", "carp"):
        assert await link.a.B.with_options(codec=codec)(1, b=[2]) == [[1], {"b": [2]}]
    assert await link["f"].with_options(one_way=True)() is None
    results = await asyncio.gather(*(link.f(i) for i in range(100)))
    assert results == [[[i], {}] for i in range(100)]


async def test_served(peer: FakePeer, link: AioLink) -> None:
    class Mixed:
        async def Async(self) -> str:
            return f"async for {current().peer}"

        def Plain(self) -> str:
            assert threading.current_thread() is not threading.main_thread()
            return f"plain for {current().peer}"

        def Fails(self) -> None:
            raise StopIteration("no generator here")

    link.export(add)
    link.export(Mixed())
    wanted = {"add": ["call"], "Mixed": ["Async", "Fails", "Plain"]}
    await off(peer.wait_for, lambda: peer.exports == wanted)
    assert await off(peer.call, "/add/call", 1) == 3
    assert await off(peer.call, "/Mixed/Async") == "async for peer"
    assert await off(peer.call, "/Mixed/Plain") == "plain for peer"
    response = await off(peer.call, "/Mixed/Fails")
    assert (response.code, response.exception) == (Code.UNKNOWN, "StopIteration")
    response = await off(peer.call, "/add/call")
    assert response.code is Code.INVALID_ARGUMENT
    link.unexport("add")
    response = await off(peer.call, "/add/call", 1)
    assert response.code is Code.UNIMPLEMENTED


async def test_errors_of_the_host(peer: FakePeer, link: AioLink) -> None:
    peer.handler = lambda call: Response(Code.NOT_FOUND, "gone", "fs.PathError")
    with pytest.raises(RemoteExecutionError) as caught:
        await link.a.B()
    assert (caught.value.code, caught.value.name) == (Code.NOT_FOUND, "fs.PathError")


async def test_cancellation_reaches_the_task(peer: FakePeer, link: AioLink) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    link.export(wait)
    key = peer.start_call("/wait/call")
    await asyncio.wait_for(started.wait(), 30)
    assert peer.wire is not None
    (call,) = peer.wire.calls.values()
    peer.tell(lambda wire: wire.cancel(call))
    await asyncio.wait_for(cancelled.wait(), 30)
    assert (await off(peer.answer, key)).code is Code.CANCELLED


async def test_cancel_of_ours(peer: FakePeer, link: AioLink) -> None:
    peer.handler = lambda call: None
    task = asyncio.ensure_future(link.a.B())
    await off(peer.wait_for, lambda: peer.wire and peer.wire.serving)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await off(peer.wait_for, lambda: len(peer.cancelled) == 1)
    with pytest.raises(DeadlineExceededError):
        await link.a.B.with_options(timeout=0.05)()
    await off(peer.wait_for, lambda: len(peer.cancelled) == 2)


async def test_threads_are_limited(peer: FakePeer) -> None:
    started, go = threading.Semaphore(0), threading.Event()

    def block() -> None:
        started.release()
        assert go.wait(30)

    async with AioLink(peer.target, workers=2) as link:
        link.export(block)
        link.export(add)
        await off(peer.wait_for, lambda: len(peer.exports) == 2)
        keys = [peer.start_call("/block/call") for _ in range(2)]
        for _ in keys:
            assert await off(started.acquire, timeout=30)
        assert (await off(peer.call, "/block/call")).code is Code.RESOURCE_EXHAUSTED
        assert await off(peer.call, "/add/call", 1) == 3
        go.set()
        for key in keys:
            assert (await off(peer.answer, key)).code is Code.OK


async def test_call_back_while_served(peer: FakePeer, link: AioLink) -> None:
    async def back(n: int) -> Any:
        return await link.echo(n)

    link.export(back)
    await off(peer.wait_for, lambda: peer.exports)
    assert await off(peer.call, "/back/call", 5) == [[5], {}]


async def test_reconnect(peer: FakePeer, link: AioLink) -> None:
    link.export(add)
    await off(peer.wait_for, lambda: peer.exports)
    peer.handler = lambda call: None
    task = asyncio.ensure_future(link.a.B())
    await off(peer.wait_for, lambda: peer.wire and peer.wire.serving)
    await off(peer.abort)
    with pytest.raises(UnavailableError, match="lost after the call was sent"):
        await task
    await off(peer.wait_for, lambda: peer.links == 2 and peer.exports == {"add": ["call"]})
    peer.handler = echo
    assert await link.a.B.with_options(wait_for_ready=True)(1) == [[1], {}]
    assert await off(peer.call, "/add/call", 1) == 3


async def test_no_host(tmp_path: Any) -> None:
    async with AioLink(f"unix://{tmp_path}/none") as link:
        with pytest.raises(UnavailableError, match="none"):
            await link.f()
        with pytest.raises(DeadlineExceededError):
            await link.f.with_options(wait_for_ready=True, timeout=0.1)()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(link.wait_ready(), 0.1)


async def test_refused_for_good(peer: FakePeer) -> None:
    peer.refuse = Code.PERMISSION_DENIED, "go away"
    async with AioLink(peer.target) as link:
        await asyncio.wait_for(link.wait(), 30)
        with pytest.raises(RemoteExecutionError, match="go away"):
            await link.wait_ready()
        with pytest.raises(RemoteExecutionError, match="go away"):
            await link.f()


async def test_goaway(peer: FakePeer, link: AioLink) -> None:
    await link.f()
    peer.tell(lambda wire: wire.leave("tired"))
    with pytest.raises(UnavailableError, match="tired"):
        for _ in range(1000):
            await link.f()


async def test_close_lets_functions_end(peer: FakePeer) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        started.set()
        await go.wait()
        return "done"

    link = AioLink(peer.target)
    link.export(slow)
    await off(peer.wait_for, lambda: peer.exports)
    key = peer.start_call("/slow/call")
    await asyncio.wait_for(started.wait(), 30)
    closing = asyncio.ensure_future(link.close(30))
    await off(peer.wait_for, lambda: peer.wire is None or peer.wire.left)
    go.set()
    assert (await off(peer.answer, key)).payload == b"\xa4done"
    await asyncio.wait_for(closing, 30)
    await link.close()
    with pytest.raises(ValueError, match="closed"):
        await link.f()
    await off(peer.wait_for, lambda: peer.wire is None)


async def test_close_cancels_what_does_not_end(peer: FakePeer) -> None:
    started = asyncio.Event()

    async def forever() -> None:
        started.set()
        await asyncio.Event().wait()

    async with AioLink(peer.target) as link:
        link.export(forever)
        await off(peer.wait_for, lambda: peer.exports)
        peer.start_call("/forever/call")
        await asyncio.wait_for(started.wait(), 30)
        await asyncio.wait_for(link.close(0.05), 30)
    await off(peer.wait_for, lambda: peer.wire is None)


def test_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AioLink("unix:/x")
