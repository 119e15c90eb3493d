"""Latency between Python and Go, beside plain grpcio and grpc-go in the same run.

    python interop/python/benchmarks/latency.py [calls [rounds]]

Everything goes over one unix socket each, one call at a time, a text of three letters each way,
and every reply is looked at. The plain rows encode and decode messages of protobuf, as generated
stubs do, and the others values, in the codec of their name. The rounds of all rows of a table
alternate, and a row's figures are the medians of its rounds, so that what else the machine does
falls on all alike.

The last table has small calls on a link while a call with 64 MiB goes the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

import carp_grpc
from carp_grpc.link import Limits

ROOT = pathlib.Path(__file__).resolve().parents[3]
ROUNDS = 5  # of each row
GREETER = "carp.examples.greeter.v1.Greeter"
GREET = f"/{GREETER}/Greet"
LARGE = 64 << 20

Latencies = tuple[float, float]  # p50 and p99 in microseconds
Row = tuple[str, Callable[[int], Latencies]]
AioRow = tuple[str, Callable[[int], Awaitable[Latencies]]]


def percentiles(nanoseconds: list[int]) -> Latencies:
    durations = sorted(nanoseconds)
    count = len(durations)
    return durations[count // 2] / 1000, durations[count * 99 // 100] / 1000


def measure(call: Callable[[], str], want: str, calls: int) -> Latencies:
    durations = []
    for i in range(-calls // 10, calls):
        start = time.perf_counter_ns()
        got = call()
        if i >= 0:
            durations.append(time.perf_counter_ns() - start)
        check(got, want)
    return percentiles(durations)


async def ameasure(call: Callable[[], Awaitable[str]], want: str, calls: int) -> Latencies:
    durations = []
    for i in range(-calls // 10, calls):
        start = time.perf_counter_ns()
        got = await call()
        if i >= 0:
            durations.append(time.perf_counter_ns() - start)
        check(got, want)
    return percentiles(durations)


def check(got: str, want: str) -> None:
    if got != want:
        raise SystemExit(f"a reply is {got!r}, want {want!r}")


def greet(request: Any, context: Any) -> Any:
    """What the plain servers do: what `echo` does. GreetRequest and GreetReply are StringValues."""
    return StringValue(value=request.value)


async def agreet(request: Any, context: Any) -> Any:
    return greet(request, context)


class PlainGreeter(grpc.GenericRpcHandler):
    """A Greeter of grpcio's, as its generated code makes them."""

    def __init__(self, call: Any) -> None:
        self.handler = grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=StringValue.FromString,
            response_serializer=StringValue.SerializeToString,
        )

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self.handler


def stub(channel: Any) -> Any:
    """Greet, as a generated stub has it."""
    return channel.unary_unary(
        GREET,
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )


class Table:
    """The rounds of rows, whose first one the others are compared with."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._rounds: dict[str, list[Latencies]] = {}

    def add(self, row: str, latencies: Latencies) -> None:
        self._rounds.setdefault(row, []).append(latencies)

    def print(self) -> None:
        print(f"{self._title:<34} {'p50 us':>8} {'p99 us':>8} {'p50 of':>8} {'p99 of':>8}")
        first: Latencies | None = None
        for row, rounds in self._rounds.items():
            p50, p99 = (statistics.median(figures) for figures in zip(*rounds))
            first = first or (p50, p99)
            print(f"  {row:<32} {p50:8.0f} {p99:8.0f} {p50 / first[0]:8.2f} {p99 / first[1]:8.2f}")


def report(title: str, rows: list[Row], calls: int) -> None:
    table = Table(title)
    for _ in range(ROUNDS):
        for name, run in rows:
            table.add(name, run(calls))
    table.print()


async def areport(title: str, rows: list[AioRow], calls: int) -> None:
    table = Table(title)
    for _ in range(ROUNDS):
        for name, run in rows:
            table.add(name, await run(calls))
    table.print()


def python_to_go(host: str, plain: str, calls: int) -> None:
    with (
        grpc.insecure_channel(plain) as channel,
        carp_grpc.Client(host) as client,
        carp_grpc.Link(host, "bench") as link,
    ):
        call = stub(channel)
        link.wait_ready(30)

        def greeted(calls: int) -> Latencies:
            return measure(lambda: call(StringValue(value="Ann")).value, "Hello, Ann!", calls)

        def typed(calls: int) -> Latencies:
            function = client[GREETER].Greet.with_options(codec="proto")
            return measure(lambda: function("Ann").text, "Hello, Ann!", calls)

        def dynamic(owner: carp_grpc.Client | carp_grpc.Link, codec: str) -> Row:
            function = owner.echo.with_options(codec=codec)
            name = f"{type(owner).__name__} {codec}"
            return name, lambda calls: measure(lambda: function("Ann"), "Ann", calls)

        rows: list[Row] = [
            ("grpcio to grpc-go", greeted),
            ("Client proto, generated service", typed),
            *(dynamic(client, codec) for codec in ("msgpack", "json", "carp")),
            *(dynamic(link, codec) for codec in ("msgpack", "json", "carp")),
        ]
        report("Python to Go", rows, calls)


async def python_to_go_aio(host: str, plain: str, calls: int) -> None:
    async with (
        grpc.aio.insecure_channel(plain) as channel,
        carp_grpc.AioClient(host) as client,
        carp_grpc.AioLink(host, "bench") as link,
    ):
        call = stub(channel)
        await link.wait_ready()

        async def greeted() -> str:
            return str((await call(StringValue(value="Ann"))).value)

        rows: list[AioRow] = [
            ("grpcio to grpc-go", lambda calls: ameasure(greeted, "Hello, Ann!", calls)),
            ("AioClient msgpack", lambda calls: ameasure(lambda: client.echo("Ann"), "Ann", calls)),
            ("AioLink msgpack", lambda calls: ameasure(lambda: link.echo("Ann"), "Ann", calls)),
        ]
        await areport("Python to Go, asyncio", rows, calls)


def in_microseconds(latencies: dict[str, int]) -> Latencies:
    return latencies["P50"] / 1000, latencies["P99"] / 1000


def go_to_python(host: str, address: str, calls: int) -> None:
    with ThreadPoolExecutor(4) as pool, carp_grpc.Link(host, "bench") as link:
        server = grpc.server(pool, handlers=[PlainGreeter(greet)])
        server.add_insecure_port(address)
        server.start()
        link.export(lambda text: text, "echo_py")
        rows: list[Row] = [
            (
                "grpc-go to grpcio",
                lambda calls: in_microseconds(link.Python.MeasurePlain(address, calls)),
            ),
            ("Link msgpack", lambda calls: in_microseconds(link.Python.Measure("echo_py", calls))),
        ]
        try:
            report("Go to Python", rows, calls)
        finally:
            server.stop(None).wait()


async def go_to_python_aio(host: str, address: str, calls: int) -> None:
    async def echo(text: str) -> str:
        return text

    async with carp_grpc.AioLink(host, "bench") as link:
        server = grpc.aio.server(handlers=[PlainGreeter(agreet)])
        server.add_insecure_port(address)
        await server.start()
        link.export(echo, "echo_aio")

        async def plain(calls: int) -> Latencies:
            return in_microseconds(await link.Python.MeasurePlain(address, calls))

        async def linked(calls: int) -> Latencies:
            return in_microseconds(await link.Python.Measure("echo_aio", calls))

        rows: list[AioRow] = [("grpc-go to grpcio", plain), ("AioLink msgpack", linked)]
        try:
            await areport("Go to Python, asyncio", rows, calls)
        finally:
            await server.stop(None)


def beside_large(host: str) -> None:
    """Small calls alone, and at least as many while a large one goes on."""
    data = bytes(LARGE)
    table = Table("Small calls on a Link")
    with carp_grpc.Link(host, "bench", limits=Limits(max_payload=LARGE + 1024)) as link:
        link.wait_ready(30)

        def small(going_on: Callable[[], bool]) -> Latencies:
            durations: list[int] = []
            while len(durations) < 200 or going_on():
                start = time.perf_counter_ns()
                got = link.echo("Ann")
                durations.append(time.perf_counter_ns() - start)
                check(got, "Ann")
            return percentiles(durations)

        for _ in range(3):
            table.add("alone", small(lambda: False))
            large = threading.Thread(target=link.length, args=(data,))
            large.start()
            table.add("beside one with 64 MiB", small(large.is_alive))
            large.join()
    table.print()


@contextlib.contextmanager
def running(folder: str) -> Iterator[tuple[str, str]]:
    """A Go host and a plain gRPC server in one process, and their targets."""
    program = f"{folder}/testhost"
    subprocess.run(
        ("go", "build", "-o", program, "./interop/python/testhost"), cwd=ROOT, check=True
    )
    host, plain = f"unix://{folder}/h", f"unix://{folder}/p"
    process = subprocess.Popen(
        (program, "-unix", host, "-plain", plain),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdout.readline()
    try:
        yield host, plain
    finally:
        process.stdin.close()
        process.wait()


def main(calls: int) -> None:
    with tempfile.TemporaryDirectory(prefix="carp") as folder, running(folder) as (host, plain):
        print(f"grpcio {grpc.__version__}, {calls} calls, {ROUNDS} rounds")
        python_to_go(host, plain, calls)
        go_to_python(host, f"unix://{folder}/g", calls)
        asyncio.run(python_to_go_aio(host, plain, calls))
        asyncio.run(go_to_python_aio(host, f"unix://{folder}/a", calls))
        beside_large(host)


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    ROUNDS = int(arguments.get(2, ROUNDS))
    main(int(arguments.get(1, 1000)))
