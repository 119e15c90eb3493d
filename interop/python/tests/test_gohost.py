"""The clients against a real Go host: what the contract says, on every transport and codec."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import PYTHON, GoHost, Hosts, pass_deadline
from google.protobuf import wrappers_pb2
from test_values import EXACT, same

from carp_grpc import (
    AioClient,
    CivilDateTime,
    Client,
    EncodeError,
    RemoteExecutionError,
    Timestamp,
    UnavailableError,
    codecs,
    errors,
    protos,
    register_error,
)

Code = grpc.StatusCode
UTC = dt.timezone.utc
DYNAMIC = ("msgpack", "json", "carp")
TRANSPORTS = ("unix", "tcp", "abstract")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=DYNAMIC)
def codec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(gohost: GoHost, transport: str, codec: str) -> Iterator[Client]:
    with Client(gohost.target(transport), codec=codec, timeout=30.0) as client:
        yield client


@pytest.fixture
def unix(gohost: GoHost, codec: str) -> Iterator[Client]:
    with Client(gohost.unix, codec=codec, timeout=30.0) as client:
        yield client


def test_descriptor(testhost: Path) -> None:
    """What the package ships is what Go hosts speak."""
    wanted = subprocess.run((testhost, "-descriptor"), check=True, stdout=subprocess.PIPE).stdout
    shipped = (PYTHON / "carp_grpc" / "carp_v1.binpb").read_bytes()
    assert shipped == wanted, (
        "renew it: go run ./interop/python/testhost -descriptor >carp_v1.binpb"
    )


def test_call(client: Client) -> None:
    assert client.Calculator.Add(1, 2) == 3
    assert client.Calculator.Add(1, b=2) == 3
    assert client.Calculator.Add(b=2, a=1) == 3
    assert client.Calculator.Add(2**53, 1) == 2**53 + 1
    assert client.Calculator.DivMod(7, 2) == [3, 1]
    assert client.Calculator.Sum() == 0
    assert client.Calculator.Sum(1, 2, 3) == 6
    assert client.nothing() is None
    assert client.Calculator.Add.future(1, 2).result() == 3


async def test_aio(gohost: GoHost, transport: str, codec: str) -> None:
    async with AioClient(gohost.target(transport), codec=codec, timeout=30.0) as client:
        assert await client.Calculator.Add(1, b=2) == 3
        sums = await asyncio.gather(*(client.Calculator.Add(i, i) for i in range(50)))
        assert sums == [2 * i for i in range(50)]
        with pytest.raises(RemoteExecutionError, match="division by zero"):
            await client.Calculator.Div(1, 0)


@pytest.mark.parametrize("name", EXACT)
def test_any_value(unix: Client, name: str) -> None:
    want = EXACT[name]
    got = unix.echo(want)
    assert same(got, want), f"{got!r} from {want!r}"
    assert same(unix.echo(value=[want]), [want])


@dataclasses.dataclass
class Point:
    x: int
    y: int
    label: str
    tags: list[str]


POINT = {"x": -1, "y": 2, "label": "p", "tags": ["a", "b"]}

TYPED: list[tuple[str, Any, Any]] = [
    ("Bool", True, True),
    ("Int8", -128, -128),
    ("Int8", 127, 127),
    ("Int64", -(2**63), -(2**63)),
    ("Uint64", 2**64 - 1, 2**64 - 1),
    ("Float32", 0.5, 0.5),
    ("Float64", 0.1, 0.1),
    ("Float64", 1, 1.0),
    ("Text", "é", "é"),
    ("Bytes", b"\x00\xff", b"\x00\xff"),
    ("Bytes", b"", b""),
    ("Time", Timestamp(1, 999_999_999), Timestamp(1, 999_999_999)),
    ("Time", dt.datetime(2024, 1, 1, tzinfo=UTC), dt.datetime(2024, 1, 1, tzinfo=UTC)),
    ("Date", dt.date(2024, 2, 29), dt.date(2024, 2, 29)),
    ("Civil", dt.datetime(2024, 2, 29, 1, 2, 3, 4), dt.datetime(2024, 2, 29, 1, 2, 3, 4)),
    ("Civil", CivilDateTime(dt.datetime(1, 1, 1), 7), CivilDateTime(dt.datetime(1, 1, 1), 7)),
    ("Point", POINT, POINT),
    ("Point", Point(**POINT), POINT),
    ("Points", [POINT, POINT], [POINT, POINT]),
    ("Optional", None, None),
    ("Optional", 7, 7),
    ("ByName", {"a": 1}, {"a": 1}),
    ("ByNumber", {1: "a", -2: "b"}, {1: "a", -2: "b"}),
]


@pytest.mark.parametrize("method, value, want", TYPED)
def test_typed_value(unix: Client, method: str, value: Any, want: Any) -> None:
    got = unix.Typed[method](value)
    assert same(got, want), f"{got!r} from {value!r}"


REFUSED = [
    ("Bool", 1),
    ("Int8", 128),
    ("Int8", -129),
    ("Int8", 1.5),
    ("Int8", "1"),
    ("Int8", None),
    ("Int64", 2**63),
    ("Uint64", -1),
    ("Float32", 0.1),
    ("Float64", 2**53 + 1),
    ("Text", b"x"),
    ("Text", 1),
    ("Bytes", "x"),
    ("Time", dt.datetime(2024, 1, 1)),
    ("Date", dt.datetime(2024, 1, 1)),
    ("Civil", dt.datetime(2024, 1, 1, tzinfo=UTC)),
    ("Point", {"x": 1, "z": 2}),
    ("Point", [1, 2]),
    ("ByName", {1: 1}),
]


@pytest.mark.parametrize("method, value", REFUSED)
def test_refused_value(unix: Client, method: str, value: Any) -> None:
    with pytest.raises(RemoteExecutionError) as caught:
        unix.Typed[method](value)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.name == "carp.BindError"


BADLY_BOUND: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "a"),
    ((1,), {}, "b"),
    ((1, 2, 3), {}, "too many"),
    ((1,), {"a": 1, "b": 2}, "a"),
    ((1, 2), {"c": 3}, "c"),
    ((1,), {"B": 2}, "B"),
]


@pytest.mark.parametrize("args, kwargs, text", BADLY_BOUND)
def test_binding(unix: Client, args: tuple[Any, ...], kwargs: dict[str, Any], text: str) -> None:
    with pytest.raises(RemoteExecutionError, match=f"Calculator.Add.*{text}") as caught:
        unix.Calculator.Add(*args, **kwargs)
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_no_such_name(unix: Client) -> None:
    for name in ("nope", "Calculator.Nope", "Calculator.add", "Nope.Add"):
        with pytest.raises(RemoteExecutionError) as caught:
            unix[name](1, 2)
        assert caught.value.code is Code.UNIMPLEMENTED, name


class NotFound(Exception):
    pass


def test_errors(unix: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RemoteExecutionError) as caught:
        unix.Calculator.Div(1, 0)
    error = caught.value
    assert (error.code, error.message) == (Code.UNKNOWN, "division by zero")
    assert error.name == "errors.errorString" and error.remote

    with pytest.raises(RemoteExecutionError) as caught:
        unix.Failing.Status()
    error = caught.value
    assert (error.code, error.message) == (Code.FAILED_PRECONDITION, "not now")
    assert error.details == (wrappers_pb2.StringValue(value="busy"),)

    with pytest.raises(RemoteExecutionError) as caught:
        unix.Failing.Panic()
    assert (caught.value.code, caught.value.name) == (Code.INTERNAL, "panic")

    with pytest.raises(RemoteExecutionError) as caught:
        unix.Failing.Path()
    assert caught.value.name == "fs.PathError"
    monkeypatch.setattr(errors, "_registered", {})
    register_error("fs.PathError", NotFound)
    with pytest.raises(NotFound, match="open /none"):
        unix.Failing.Path()


@pytest.mark.parametrize("size", (1000, 5000, 7000, 9000, 100_000))
def test_long_error(unix: Client, size: int) -> None:
    """grpcio refuses large trailers, and would hide the error: the host cuts it."""
    with pytest.raises(RemoteExecutionError) as caught:
        unix.Failing.Long(size)
    error = caught.value
    assert error.code is Code.UNKNOWN
    assert error.message[:100] == "0" * 100
    assert (len(error.message) == size) == (dict(error.trailers).get("carp-error-cut") is None)


def test_metadata(unix: Client) -> None:
    pairs = [("k", "v"), ("k", "w"), ("b-bin", b"\xff\x00")]
    seen = unix.headers.with_options(metadata=pairs)()
    assert seen["k"] == ["v", "w"]
    assert seen["b-bin"] == [b"\xff\x00"]


def test_deadline(unix: Client) -> None:
    pass_deadline(unix.waiting)
    unix.waiting.Ended()


def test_cancel(unix: Client) -> None:
    pending = unix.waiting.Wait.future()
    unix.waiting.Begun()
    pending.cancel()
    unix.waiting.Ended()
    with pytest.raises(RemoteExecutionError) as caught:
        pending.result(10)
    assert caught.value.code is Code.CANCELLED


async def test_aio_cancel(gohost: GoHost) -> None:
    async with AioClient(gohost.unix, timeout=30.0) as client:
        task = asyncio.ensure_future(client.waiting.Wait())
        await client.waiting.Begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.waiting.Ended()


def test_large(client: Client, gohost: GoHost) -> None:
    if client._options.codec != "msgpack":
        return
    size = 5 << 20
    assert client.length(bytes(size)) == size
    with pytest.raises(RemoteExecutionError) as caught:
        client.blob(size)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    options = [("grpc.max_receive_message_length", 64 << 20)]
    with Client(gohost.unix, channel_options=options) as large:
        assert large.blob(size) == bytes(size)


def test_compressed(gohost: GoHost) -> None:
    options = [("grpc.default_compression_algorithm", int(grpc.Compression.Gzip))]
    with Client(gohost.unix, channel_options=options) as client:
        assert client.echo("x" * 10_000) == "x" * 10_000


def test_unknown_codec(gohost: GoHost) -> None:
    """The host says which codecs it speaks."""
    with grpc.insecure_channel(gohost.unix) as channel:
        call = channel.unary_unary("/Calculator/Add")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", metadata=(("carp-codec", "xml"),))
    error: Any = caught.value
    assert error.code() is Code.UNIMPLEMENTED
    accepted = dict(error.trailing_metadata())["carp-accept-codec"].split(",")
    assert {*DYNAMIC, "proto"} <= set(accepted)


@pytest.mark.parametrize("body", (b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x91" * 4_000_000, b"\x01"))
def test_malformed_body(gohost: GoHost, body: bytes) -> None:
    """No body brings the host down."""
    with grpc.insecure_channel(gohost.unix) as channel:
        for path in ("/Calculator/Add", "/echo/call"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(path)(body, metadata=(("carp-codec", "msgpack"),))
            error: Any = caught.value
            assert error.code() is Code.INVALID_ARGUMENT
        body = codecs.lookup("msgpack").encode_arguments([1], {})
        reply = channel.unary_unary("/echo/call")(body, metadata=(("carp-codec", "msgpack"),))
        assert reply == b"\x01"


def test_many_threads(client: Client) -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        for i in range(20):
            if (got := client.Calculator.Add(number, i)) != number + i:
                wrong.append(got)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_host_dies_and_comes_back(hosts: Hosts) -> None:
    host = hosts.start()
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
    with Client(host.unix, channel_options=options, timeout=30.0) as client:
        assert client.Calculator.Add(1, 2) == 3
        pending = client.waiting.Wait.future()
        client.waiting.Begun()
        host.kill()
        with pytest.raises(UnavailableError):
            pending.result(30)
        with pytest.raises(UnavailableError):
            client.Calculator.Add(1, 2)
        hosts.start()
        assert client.Calculator.Add.with_options(wait_for_ready=True)(1, 2) == 3


GREETER = "carp.examples.greeter.v1.Greeter"


def test_generated_service(gohost: GoHost, transport: str) -> None:
    """Typed protobuf, with the messages that the host's reflection describes."""
    with Client(gohost.target(transport), codec="proto", timeout=30.0) as client:
        greeter = client[GREETER]
        assert greeter.Greet(name="Ann").text == "Hello, Ann!"
        reply = greeter.Greet("Bob")
        assert reply.text == "Hello, Bob!"
        request = type(reply).DESCRIPTOR.file.pool.FindMessageTypeByName(
            "carp.examples.greeter.v1.GreetRequest"
        )
        assert greeter.Greet(protos.class_of(request)(name="Cy")).text == "Hello, Cy!"
        with pytest.raises(RemoteExecutionError, match="the name is empty") as caught:
            greeter.Greet()
        assert caught.value.code is Code.INVALID_ARGUMENT
        with pytest.raises(TypeError, match="no parameter 'nme'"):
            greeter.Greet(nme="Ann")
        with pytest.raises(TypeError, match="2 given"):
            greeter.Greet("Ann", "Bob")
        with pytest.raises(EncodeError, match="name: want a str, got 1"):
            greeter.Greet(1)
        with pytest.raises(RemoteExecutionError, match="no method Nope") as caught:
            greeter.Nope()
        assert caught.value.code is Code.UNIMPLEMENTED
        with pytest.raises(RemoteExecutionError, match="does not describe no.Such") as caught:
            client["no.Such"].Greet()
        assert caught.value.code is Code.UNIMPLEMENTED


async def test_generated_service_aio(gohost: GoHost) -> None:
    async with AioClient(gohost.unix, codec="proto", timeout=30.0) as client:
        greeter = client[GREETER]
        assert (await greeter.Greet(name="Ann")).text == "Hello, Ann!"
        assert (await greeter.Greet("Bob")).text == "Hello, Bob!"
        with pytest.raises(RemoteExecutionError, match="does not describe no.Such"):
            await client["no.Such"].Greet()


@pytest.mark.parametrize("codec", ("msgpack", "json"))
def test_generated_service_dynamically(gohost: GoHost, codec: str) -> None:
    """Without reflection a message is a dict."""
    with Client(gohost.unix, codec=codec, timeout=30.0) as client:
        assert client[GREETER].Greet(name="Ann") == {"text": "Hello, Ann!"}
