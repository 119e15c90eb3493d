"""Latency between Python and Go, beside plain grpcio and grpc-go in the same run.

    python interop/python/benchmarks/latency.py [calls]

Everything goes over one unix socket each, one call at a time, a text of three letters both ways.
The rounds of all rows alternate, and a row's figures are the medians of its rounds, so that what
else the machine does falls on all alike.
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc

import carp_grpc

ROOT = pathlib.Path(__file__).resolve().parents[3]
ROUNDS = 5
GREETER = "carp.examples.greeter.v1.Greeter"
REQUEST, REPLY = b"\x0a\x03Ann", b"\x0a\x03Ann"  # GreetRequest and GreetReply, by hand

Latencies = tuple[float, float]  # p50 and p99 in microseconds
Row = tuple[str, Callable[[int], Latencies]]


def measure(call: Callable[[], object], calls: int) -> Latencies:
    durations = []
    for i in range(-calls // 10, calls):
        start = time.perf_counter_ns()
        call()
        if i >= 0:
            durations.append((time.perf_counter_ns() - start) / 1000)
    durations.sort()
    return durations[calls // 2], durations[calls * 99 // 100]


class PlainGreeter(grpc.GenericRpcHandler):
    """A Greeter of grpcio's, without any generated code in its way."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: REPLY)


def in_microseconds(latencies: dict[str, int]) -> Latencies:
    return latencies["P50"] / 1000, latencies["P99"] / 1000


def report(title: str, rows: list[Row], calls: int) -> dict[str, float]:
    """Measure rows, print them, and return how each compares with the first."""
    results: dict[str, list[Latencies]] = {name: [] for name, _ in rows}
    for _ in range(ROUNDS):
        for name, run in rows:
            results[name].append(run(calls))
    print(f"{title:<34} {'p50 us':>8} {'p99 us':>8} {'of plain':>9}")
    ratios: dict[str, float] = {}
    plain = statistics.median(p50 for p50, _ in results[rows[0][0]])
    for name, rounds in results.items():
        p50 = statistics.median(p50 for p50, _ in rounds)
        p99 = statistics.median(p99 for _, p99 in rounds)
        ratios[name] = p50 / plain
        print(f"  {name:<32} {p50:8.0f} {p99:8.0f} {p50 / plain:9.2f}")
    return ratios


def python_to_go(host: str, plain: str, calls: int) -> dict[str, float]:
    with (
        grpc.insecure_channel(plain) as channel,
        carp_grpc.Client(host) as client,
        carp_grpc.Link(host, "bench") as link,
    ):
        greet = channel.unary_unary(f"/{GREETER}/Greet")
        link.wait_ready(30)

        def typed(calls: int) -> Latencies:
            function = client[GREETER].Greet.with_options(codec="proto")
            return measure(lambda: function("Ann"), calls)

        def dynamic(owner: carp_grpc.Client | carp_grpc.Link, codec: str) -> Row:
            function = owner.echo.with_options(codec=codec)
            name = f"{type(owner).__name__} {codec}"
            return name, lambda calls: measure(lambda: function("Ann"), calls)

        rows: list[Row] = [
            ("grpcio to grpc-go", lambda calls: measure(lambda: greet(REQUEST), calls)),
            *(dynamic(client, codec) for codec in ("msgpack", "json", "carp")),
            ("Client proto, generated service", typed),
            dynamic(link, "msgpack"),
        ]
        return report("Python to Go", rows, calls)


def go_to_python(host: str, address: str, calls: int) -> dict[str, float]:
    with ThreadPoolExecutor(4) as pool, carp_grpc.Link(host, "bench") as link:
        server = grpc.server(pool, handlers=[PlainGreeter()])
        server.add_insecure_port(address)
        server.start()
        link.export(lambda text: text, "echo_py")
        rows: list[Row] = [
            (
                "grpc-go to grpcio",
                lambda calls: in_microseconds(link.Python.MeasurePlain(address, calls)),
            ),
            ("Link", lambda calls: in_microseconds(link.Python.Measure("echo_py", calls))),
        ]
        try:
            return report("Go to Python", rows, calls)
        finally:
            server.stop(None).wait()


def main(calls: int) -> None:
    with tempfile.TemporaryDirectory(prefix="carp") as folder:
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
            print(f"grpcio {grpc.__version__}, {calls} calls, {ROUNDS} rounds")
            python_to_go(host, plain, calls)
            go_to_python(host, f"unix://{folder}/g", calls)
        finally:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
