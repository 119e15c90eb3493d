"""Functions that take and give streams, called over a link: from Python and from Go."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from conftest import GoHost
from fakepeer import FakePeer
from google.protobuf import descriptor_pb2

from carp_grpc import (
    AioLink,
    Client,
    DeadlineExceededError,
    Link,
    RemoteExecutionError,
    UnavailableError,
    codecs,
    current,
    protos,
)
from carp_grpc.link.messages import Outgoing, Request, Response

Code = grpc.StatusCode
LARGE = 300_000


class Caller:
    """A call of the fake peer that takes items."""

    def __init__(self, peer: FakePeer, path: str, *args: Any, streaming: bool = False) -> None:
        self.peer = peer
        self.key = object()
        body = b"" if streaming else codecs.lookup("msgpack").encode_arguments(args, {})
        request = Request(path, "msgpack", body, streaming=streaming, takes_items=True)
        self.call: Outgoing = peer.tell(lambda wire: wire.call(request, self.key))

    def next(self) -> Any:
        """The next item, or the answer after the last one."""
        self.peer.wait_for(
            lambda: (
                self.call.flow.items or self.key in self.peer.answers or self.call.flow.arriving
            )
        )
        data = None
        while data is None:
            data = self.peer.tell(lambda wire: wire.next_item(self.call))
            if data is None and not self.call.flow.arriving:
                return self.peer.answer(self.key)
            self.peer.wait_for(
                lambda: data or self.call.flow.items or not self.call.flow.arriving
            )
        return codecs.lookup("msgpack").decode_result(data)

    def rest(self) -> list[Any]:
        """All items that are still to come, and the answer."""
        got = [self.next()]
        while not isinstance(got[-1], Response):
            got.append(self.next())
        return got


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with FakePeer() as peer:
        yield peer


def test_generator(peer: FakePeer) -> None:
    def count(n: int) -> Iterator[int]:
        current().add_trailer("k", "v")
        yield from range(n)

    async def acount(n: int) -> AsyncIterator[int]:
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    def fail() -> Iterator[bytes]:
        yield bytes(LARGE)
        raise PermissionError("no more")

    with Link(peer.target, "py") as link:
        for function in (count, acount, fail, len):
            link.export(function)
        peer.wait_for(lambda: len(peer.exports) == 4)
        *got, end = Caller(peer, "/count/call", 5000).rest()
        assert got == list(range(5000))
        assert (end.code, end.metadata) == (Code.OK, (("k", "v"),))
        assert Caller(peer, "/acount/call", 3).rest()[:-1] == [0, 1, 2]
        assert Caller(peer, "/count/call", 0).rest()[0].code is Code.OK
        large, end = Caller(peer, "/fail/call").rest()
        assert (len(large), end.code, end.message) == (LARGE, Code.PERMISSION_DENIED, "no more")
        # A function that gives one result, to a caller that takes many.
        assert Caller(peer, "/len/call", "abc").rest()[0] == 3
        refused = peer.call("/count/call", 5)
        assert refused.code is Code.INTERNAL
        assert "gives a stream" in refused.message


async def test_generator_aio(peer: FakePeer) -> None:
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    async def acount(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    async with AioLink(peer.target, "py") as link:
        link.export(count)
        link.export(acount)
        await asyncio.to_thread(peer.wait_for, lambda: len(peer.exports) == 2)
        for name, n in (("count", 100), ("acount", 5000)):
            caller = Caller(peer, f"/{name}/call", n)
            *got, end = await asyncio.to_thread(caller.rest)
            assert (got, end.code) == (list(range(n)), Code.OK)


@pytest.mark.parametrize("leave", ("cancel", "abort"))
def test_generator_that_nobody_reads_is_stopped(peer: FakePeer, leave: str) -> None:
    given, closed = [], threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                given.append(1)
                yield bytes(1000)
        finally:
            closed.set()

    with Link(peer.target, "py") as link:
        link.export(endless)
        peer.wait_for(lambda: peer.exports)
        caller = Caller(peer, "/endless/call")
        peer.wait_for(lambda: caller.call.flow.receive_window <= 0)
        assert peer.call("/nope/call").code is Code.UNIMPLEMENTED  # the link is not blocked
        assert len(given) < 100  # 64 KiB and what is on its way
        if leave == "cancel":
            peer.tell(lambda wire: wire.cancel(caller.call))
        else:
            peer.abort()
        assert closed.wait(30)


async def test_async_generator_that_nobody_reads_is_stopped(peer: FakePeer) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
        finally:
            closed.set()

    async with AioLink(peer.target, "py") as link:
        link.export(endless)
        await asyncio.to_thread(peer.wait_for, lambda: peer.exports)
        caller = Caller(peer, "/endless/call")
        await asyncio.to_thread(peer.wait_for, lambda: caller.call.flow.receive_window <= 0)
        peer.tell(lambda wire: wire.cancel(caller.call))
        await asyncio.wait_for(closed.wait(), 30)


class Giver:
    """Answers one call that takes items, from the fake peer."""

    def __init__(self, peer: FakePeer) -> None:
        self.peer = peer
        peer.handler = self.called
        self.call: Any = None

    def called(self, call: Any) -> None:
        self.call = call

    def give(self, value: Any, *, wait: bool = True) -> None:
        self.peer.wait_for(lambda: self.call)
        body = codecs.lookup("msgpack").encode_result(value)
        self.peer.tell(lambda wire: wire.send_item(self.call, body, self.peer.changed.notify_all))
        if wait:
            self.peer.wait_for(lambda: self.call.flow.sending is None)

    def end(self, code: grpc.StatusCode = Code.OK) -> None:
        self.peer.tell(lambda wire: wire.reply(self.call, Response(code, "the end")))


def test_taken(peer: FakePeer) -> None:
    giver = Giver(peer)
    with Link(peer.target, "py", timeout=60.0) as link:
        stream = link.f.stream(1)
        for i in range(3000):
            giver.give(i)
            assert next(stream) == i
        # One for which there is no room until somebody waits for it.
        giver.give(bytes(LARGE), wait=False)
        peer.wait_for(lambda: giver.call.flow.send_window < 64)
        assert len(next(stream)) == LARGE
        giver.give("last")
        giver.end()
        assert list(stream) == ["last"]
        assert list(stream) == []

        stream = link.f.stream()
        peer.wait_for(lambda: giver.call.flow.id == 3)
        giver.give(1)
        giver.end(Code.PERMISSION_DENIED)
        assert next(stream) == 1
        with pytest.raises(RemoteExecutionError, match="the end"):
            next(stream)


async def test_taken_aio(peer: FakePeer) -> None:
    giver = Giver(peer)
    async with AioLink(peer.target, "py", timeout=60.0) as link:
        stream = await link.f.stream(1)
        for i in range(300):
            await asyncio.to_thread(giver.give, i)
            assert await anext(stream) == i
        await asyncio.to_thread(giver.give, bytes(LARGE), wait=False)
        await asyncio.to_thread(peer.wait_for, lambda: giver.call.flow.send_window < 64)
        assert len(await anext(stream)) == LARGE
        giver.end(Code.PERMISSION_DENIED)
        with pytest.raises(RemoteExecutionError, match="the end"):
            await anext(stream)


@pytest.mark.parametrize("how", ("with", "drop", "deadline", "abort"))
def test_left(peer: FakePeer, how: str) -> None:
    giver = Giver(peer)
    with Link(peer.target, "py", timeout=60.0) as link:
        link.wait_ready(60)
        stream = link.f.with_options(timeout=0.2 if how == "deadline" else 60).stream()
        giver.give(1)
        if how == "with":
            with stream:
                assert next(stream) == 1
        elif how == "drop":
            del stream
            gc.collect()
        elif how == "deadline":
            with pytest.raises(DeadlineExceededError):
                list(stream)
        else:
            peer.abort()
            with pytest.raises(UnavailableError):
                list(stream)
            return
        peer.wait_for(lambda: peer.cancelled)


async def test_left_aio(peer: FakePeer) -> None:
    giver = Giver(peer)
    async with AioLink(peer.target, "py", timeout=60.0) as link:
        stream = await link.f.stream()
        await asyncio.to_thread(giver.give, 1)
        async with stream:
            assert await anext(stream) == 1
        await asyncio.to_thread(peer.wait_for, lambda: len(peer.cancelled) == 1)
        stream = await link.f.stream()
        await asyncio.to_thread(peer.wait_for, lambda: giver.call.flow.id == 3)
        del stream
        gc.collect()
        await asyncio.to_thread(peer.wait_for, lambda: len(peer.cancelled) == 2)


def bench_service(gohost: GoHost) -> Any:
    """The descriptor of grpc.testing.BenchmarkService, for which the host has generated code."""
    with Client(gohost.unix, codec="proto", timeout=30.0) as client:
        client["grpc.testing.TestService"].EmptyCall()
        codec = client._connection.reflection.known("/grpc.testing.TestService/EmptyCall")
        assert codec is not None
        pool = codec.pool
    request = pool.FindMessageTypeByName("grpc.testing.SimpleRequest")
    file = descriptor_pb2.FileDescriptorProto(
        name="benchmark.proto", package="grpc.testing", dependency=[request.file.name]
    )
    service = file.service.add(name="BenchmarkService")
    for name, takes, gives in (
        ("UnaryCall", False, False),
        ("StreamingCall", True, True),
        ("StreamingFromClient", True, False),
        ("StreamingFromServer", False, True),
    ):
        service.method.add(
            name=name,
            input_type=".grpc.testing.SimpleRequest",
            output_type=".grpc.testing.SimpleResponse",
            client_streaming=takes,
            server_streaming=gives,
        )
    pool.Add(file)
    return pool.FindServiceByName("grpc.testing.BenchmarkService")


class Bench:
    """Answers each request with as many bytes as it asks for, or has itself."""

    def __init__(self, service: Any) -> None:
        self.reply = protos.class_of(service.methods_by_name["UnaryCall"].output_type)

    def sized(self, request: Any) -> Any:
        reply = self.reply()
        reply.payload.body = bytes(request.response_size)
        return reply

    def StreamingCall(self, requests: Iterator[Any]) -> Iterator[Any]:
        yield from map(self.sized, requests)

    def StreamingFromClient(self, requests: Iterator[Any]) -> Any:
        reply = self.reply(username=",".join(str(len(r.payload.body)) for r in requests))
        return reply

    def StreamingFromServer(self, request: Any) -> Iterator[Any]:
        for i in range(3):
            reply = self.sized(request)
            reply.username = str(i)
            yield reply


class AioBench(Bench):
    async def StreamingCall(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:  # type: ignore[override]
        async for request in requests:
            yield self.sized(request)

    async def StreamingFromClient(self, requests: AsyncIterator[Any]) -> Any:  # type: ignore[override]
        sizes = [str(len(request.payload.body)) async for request in requests]
        return self.reply(username=",".join(sizes))


SIZES = [0, 1, 65_000, 70_000, LARGE, 2 << 20, 5]
STREAMED = (
    ("StreamingCall", SIZES, SIZES),
    ("StreamingFromClient", SIZES, [",".join(map(str, SIZES))]),
    ("StreamingFromServer", [LARGE], [LARGE] * 3),
)


@pytest.mark.parametrize("bench", (Bench, AioBench))
def test_go_streams(gohost: GoHost, bench: type[Bench]) -> None:
    service = bench_service(gohost)
    with Link(gohost.unix, timeout=60.0) as link:
        exported = link.export_service(bench(service), service)
        assert exported.skipped == {"UnaryCall": "there is no method of this name"}
        for method, sizes, want in STREAMED:
            assert link.Python.Stream(method, sizes) == want


@pytest.mark.parametrize("bench", (Bench, AioBench))
async def test_go_streams_aio(gohost: GoHost, bench: type[Bench]) -> None:
    service = await asyncio.to_thread(bench_service, gohost)
    async with AioLink(gohost.unix, timeout=60.0) as link:
        link.export_service(bench(service), service)
        for method, sizes, want in STREAMED:
            assert await link.Python.Stream(method, sizes) == want
