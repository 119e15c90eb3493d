"""A Go host requires the services of a plain gRPC server: grpcio alone, no carp in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest
from conftest import Hosts
from grpc_reflection.v1alpha import reflection
from test_golink import stats_service
from test_streams import STREAMED, AioBench, Bench, bench_service

from carp_grpc import AioClient, Client, RemoteExecutionError, protos
from carp_grpc.typed import streams

BENCHMARK = "grpc.testing.BenchmarkService"
STATS = "grpc.testing.LoadBalancerStatsService"
SIZE = [("grpc.max_receive_message_length", 8 << 20)]


def handlers(service: Any, servicer: Any) -> Any:
    """What generated code registers with a server."""
    methods = {}
    for method in service.methods:
        serve = getattr(servicer, method.name, None)
        if serve is None:
            continue
        kind = "_".join("stream" if s else "unary" for s in streams(method))
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        methods[method.name] = make(
            serve,
            request_deserializer=protos.class_of(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
    return grpc.method_handlers_generic_handler(service.full_name, methods)


class PlainBench(Bench):
    """The service as grpcio calls it: with a context."""

    def StreamingCall(self, requests: Any, context: Any) -> Any:  # type: ignore[override]
        return super().StreamingCall(requests)

    def StreamingFromClient(self, requests: Any, context: Any) -> Any:  # type: ignore[override]
        return super().StreamingFromClient(requests)

    def StreamingFromServer(self, request: Any, context: Any) -> Any:  # type: ignore[override]
        return super().StreamingFromServer(request)


class PlainAioBench(AioBench):
    async def StreamingCall(self, requests: Any, context: Any) -> Any:  # type: ignore[override]
        async for reply in super().StreamingCall(requests):
            yield reply

    async def StreamingFromClient(self, requests: Any, context: Any) -> Any:  # type: ignore[override]
        return await super().StreamingFromClient(requests)

    async def StreamingFromServer(self, request: Any, context: Any) -> Any:  # type: ignore[override]
        for reply in super().StreamingFromServer(request):
            yield reply


class PlainStats:
    def __init__(self, service: Any, name: str) -> None:
        self.reply = protos.class_of(service.methods_by_name["GetClientStats"].output_type)
        self.name = name

    def GetClientStats(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.num_rpcs < 0:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "less than none")
        return self.reply(rpcs_by_peer={self.name: request.num_rpcs})


class Servers:
    """Starts servers with grpcio and its threads."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._running: list[Any] = []

    def start(self, target: str, *services: Any, before: Any = None) -> tuple[Any, str]:
        """A server and where to dial it. `before` is called with it, before it starts."""
        server = grpc.server(self._pool, handlers=services, options=SIZE)
        port = server.add_insecure_port(target.replace("tcp://", ""))
        if before is not None:
            before(server)
        server.start()
        self._running.append(server)
        return server, target.replace(":0", f":{port}")

    def stop(self) -> None:
        for server in self._running:
            server.stop(None).wait()


@pytest.fixture
def servers() -> Iterator[Servers]:
    with ThreadPoolExecutor(8) as pool:
        servers = Servers(pool)
        try:
            yield servers
        finally:
            servers.stop()


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    folder = tmp_path_factory.mktemp("p")
    return {
        "unix": f"unix://{folder}/s",
        "tcp": "tcp://127.0.0.1:0",
        "abstract": f"unix-abstract:{folder}",
    }.__getitem__


@pytest.mark.parametrize("transport", ("unix", "tcp", "abstract"))
def test_required(hosts: Hosts, servers: Servers, address: Any, transport: str) -> None:
    host = hosts.start()
    bench, stats = bench_service(host), stats_service(host)
    _, target = servers.start(
        address(transport),
        handlers(bench, PlainBench(bench)),
        handlers(stats, PlainStats(stats, "plain")),
    )
    with Client(host.unix, timeout=60.0) as client:
        client.Python.ConnectServer(target, [BENCHMARK, STATS])
        assert client.Python.Stats(7) == {"plain": 7}
        with pytest.raises(RemoteExecutionError, match="less than none") as caught:
            client.Python.Stats(-1)
        assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
        for method, sizes, want in STREAMED:
            assert client.Python.Stream(method, sizes) == want


async def test_required_aio(hosts: Hosts, address: Any) -> None:
    host = hosts.start()
    bench = await asyncio.to_thread(bench_service, host)
    server = grpc.aio.server(handlers=(handlers(bench, PlainAioBench(bench)),), options=SIZE)
    server.add_insecure_port(address("unix"))
    await server.start()
    try:

        def require() -> None:
            with Client(host.unix, timeout=60.0) as client:
                client.Python.ConnectServer(address("unix"), [BENCHMARK])
                for method, sizes, want in STREAMED:
                    assert client.Python.Stream(method, sizes) == want

        await asyncio.to_thread(require)
    finally:
        await server.stop(None)


# What grpcio-reflection knows; the descriptors have a pool of their own.
def describe(server: Any, service: Any) -> None:
    names = (service.full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=service.file.pool)


def test_asked_by_reflection(hosts: Hosts, servers: Servers, address: Any) -> None:
    """The host, and a typed client, learn from the server what it has."""
    host = hosts.start()
    stats = stats_service(host)
    server, target = servers.start(
        address("unix"), handlers(stats, PlainStats(stats, "plain")), before=lambda s: describe(s, stats)
    )
    with Client(host.unix, timeout=60.0) as client:
        client.Python.ConnectServer(target, [])
        assert client.Python.Stats(7) == {"plain": 7}
        assert client.Python.TypedStats(8) == {"plain": 8}
    with Client(target, timeout=60.0) as client:
        call = client.typed(STATS).GetClientStats
        assert call(num_rpcs=3).rpcs_by_peer == {"plain": 3}
        with pytest.raises(RemoteExecutionError, match="less than none") as caught:
            call(num_rpcs=-1)
        assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(RemoteExecutionError) as caught:
            client.typed(BENCHMARK).StreamingCall(())
        assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED
    server.stop(None).wait()


async def test_asked_by_reflection_aio(hosts: Hosts, address: Any) -> None:
    host = hosts.start()
    bench = await asyncio.to_thread(bench_service, host)
    server = grpc.aio.server(handlers=(handlers(bench, PlainAioBench(bench)),), options=SIZE)
    describe(server, bench)
    server.add_insecure_port(address("unix"))
    await server.start()
    try:

        def require() -> None:
            with Client(host.unix, timeout=60.0) as client:
                client.Python.ConnectServer(address("unix"), [])
                for method, sizes, want in STREAMED:
                    assert client.Python.Stream(method, sizes) == want

        await asyncio.to_thread(require)
        async with AioClient(address("unix"), timeout=60.0) as client:
            replies = await client.typed(BENCHMARK).StreamingFromServer(response_size=3)
            assert [reply async for reply in replies]
    finally:
        await server.stop(None)


def test_restarted(hosts: Hosts, servers: Servers, address: Any) -> None:
    host = hosts.start()
    stats = stats_service(host)
    first, target = servers.start(address("unix"), handlers(stats, PlainStats(stats, "first")))
    with Client(host.unix, timeout=60.0) as client:
        client.Python.ConnectServer(target, [STATS])
        assert client.Python.Stats(1) == {"first": 1}
        first.stop(None).wait()
        servers.start(target, handlers(stats, PlainStats(stats, "second")))
        deadline = time.monotonic() + 60
        while True:
            try:
                assert client.Python.Stats(2) == {"second": 2}
                return
            except RemoteExecutionError as error:  # until the host has dialled again
                assert error.code is grpc.StatusCode.UNAVAILABLE, error
                assert time.monotonic() < deadline, f"waiting for the new server: {error}"


def test_says_what_to_do(hosts: Hosts, servers: Servers, address: Any) -> None:
    host = hosts.start()
    stats = stats_service(host)
    _, target = servers.start(address("unix"), handlers(stats, PlainStats(stats, "plain")))
    with Client(host.unix, timeout=60.0) as client:
        with pytest.raises(RemoteExecutionError, match="no reflection.*name them"):
            client.Python.ConnectServer(target, [])
