"""Calls with the protobuf messages that a Go host makes of its functions and describes."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import queue
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from conftest import GoHost
from test_gohost import REFUSED, TYPED
from test_values import EXACT, same

from carp_grpc import AioClient, Client, EncodeError, Named, Ref, RemoteExecutionError

Code = grpc.StatusCode


@pytest.fixture
def client(gohost: GoHost) -> Iterator[Client]:
    with Client(gohost.unix, codec="proto", timeout=30.0) as client:
        yield client


def test_call(client: Client) -> None:
    assert client.Calculator.Add(1, 2) == 3
    assert client.Calculator.Add(1, b=2) == 3
    assert client.Calculator.Add(2**53, 1) == 2**53 + 1
    assert client.Calculator.DivMod(7, 2) == [3, 1]
    assert client.nothing() is None
    with pytest.raises(RemoteExecutionError, match="division by zero") as caught:
        client.Calculator.Div(1, 0)
    assert caught.value.name == "errors.errorString"


def test_variadic(client: Client) -> None:
    assert client.Calculator.Sum() == 0
    assert client.Calculator.Sum(4) == 4
    assert client.Calculator.Sum(1, 2, 3) == 6
    assert client.Calculator.Sum([1, 2]) == 3
    with pytest.raises(EncodeError):
        client.Calculator.Sum("x")


async def test_aio(gohost: GoHost) -> None:
    async with AioClient(gohost.unix, codec="proto", timeout=30.0) as client:
        assert await client.Calculator.Add(1, b=2) == 3
        assert await client.Calculator.Add(1, b=3) == 4


@pytest.mark.parametrize("name", EXACT)
def test_any_value(client: Client, name: str) -> None:
    got = client.echo(EXACT[name])
    assert same(got, EXACT[name]), f"{got!r} from {EXACT[name]!r}"


@pytest.mark.parametrize("method, value, want", TYPED)
def test_typed_value(client: Client, method: str, value: Any, want: Any) -> None:
    got = client.Typed[method](value)
    assert same(got, want), f"{got!r} from {value!r}"


# protobuf itself rounds to a float, and has no missing fields in messages.
ROUNDED = [("Float32", 0.1)]


@pytest.mark.parametrize("method, value", [r for r in REFUSED if r not in ROUNDED])
def test_refused_value(client: Client, method: str, value: Any) -> None:
    with pytest.raises((EncodeError, RemoteExecutionError)) as caught:
        client.Typed[method](value)
    if isinstance(caught.value, RemoteExecutionError):
        assert caught.value.code is Code.INVALID_ARGUMENT


def test_binding(client: Client) -> None:
    with pytest.raises(RemoteExecutionError, match='"b" is missing') as caught:
        client.Calculator.Add(1)
    assert caught.value.code is Code.INVALID_ARGUMENT
    for args, kwargs, text in (
        ((1, 2, 3), {}, "takes 2 arguments, 3 given"),
        ((1,), {"a": 1}, "'a' twice"),
        ((1, 2), {"c": 3}, "no parameter 'c'"),
    ):
        with pytest.raises(TypeError, match=text):
            client.Calculator.Add(*args, **kwargs)


def test_carp_messages(client: Client) -> None:
    """The parts of a carp.v1.Value also stand by themselves."""
    for value in (dt.date(2024, 1, 1), Ref("C", "1", "h"), Named("n", [1])):
        assert same(client.echo(value), value)
    with pytest.raises(EncodeError, match="want what becomes a carp.v1.Date"):
        client.Typed.Date("2024-01-01")


GREETER = "carp.examples.greeter.v1.Greeter"


def test_streams(client: Client) -> None:
    greeter = client[GREETER]
    replies = greeter.GreetAll(["Ann", {"name": "Bob"}])
    assert [reply.text for reply in replies] == ["Hello, Ann!", "Hello, Bob!"]
    assert list(greeter.GreetAll([])) == []
    with pytest.raises(RemoteExecutionError, match="the name is empty") as caught:
        list(greeter.GreetAll(["Ann", ""]))
    assert caught.value.code is Code.INVALID_ARGUMENT
    for call in (lambda: greeter.GreetAll(), lambda: greeter.GreetAll.future([])):
        with pytest.raises(TypeError):
            call()


def test_stream_back_and_forth(client: Client) -> None:
    names: queue.SimpleQueue[str] = queue.SimpleQueue()
    with client[GREETER].GreetAll(iter(names.get, "")) as replies:
        for name in ("Ann", "Bob"):
            names.put(name)
            assert next(replies).text == f"Hello, {name}!"
    client.waiting.Ended()
    names.put("")


async def test_streams_aio(gohost: GoHost) -> None:
    async def names() -> AsyncIterator[str]:
        yield "Ann"
        yield "Bob"

    async with AioClient(gohost.unix, codec="proto", timeout=30.0) as client:
        greeter = client[GREETER]
        for requests in (names(), ["Ann", "Bob"]):
            replies = await greeter.GreetAll(requests)
            assert [reply.text async for reply in replies] == ["Hello, Ann!", "Hello, Bob!"]
        with pytest.raises(RemoteExecutionError, match="the name is empty"):
            async for _ in await greeter.GreetAll([""]):
                raise AssertionError("there is no reply to this")
        asked = asyncio.Event()

        async def endless() -> AsyncIterator[str]:
            yield "Ann"
            await asked.wait()

        async with await greeter.GreetAll(endless()) as replies:
            assert (await anext(replies)).text == "Hello, Ann!"
        await client.waiting.Ended()


def test_streams_of_plain_functions(client: Client) -> None:
    numbers = client.Numbers
    assert numbers.Sum(2, iter([1, 2, 3])) == 12
    assert numbers.Sum(2, []) == 0
    assert list(numbers.Count(3)) == [0, 1, 2]
    with numbers.Double(itertools.count(1)) as doubles:
        assert list(itertools.islice(doubles, 3)) == [2, 4, 6]
    assert numbers.First([{"a": 1}]) == {"a": 1}
    with pytest.raises(TypeError, match="a stream of values"):
        numbers.Sum(2)
    with pytest.raises(EncodeError, match="want an int"):
        numbers.Sum("2", [1])


async def test_streams_of_plain_functions_aio(gohost: GoHost) -> None:
    async def values() -> AsyncIterator[int]:
        yield 1
        yield 2

    async with AioClient(gohost.unix, codec="proto", timeout=30.0) as client:
        assert await client.Numbers.Sum(2, values()) == 6
        assert await client.Numbers.Sum(2, [1]) == 2
        assert [n async for n in await client.Numbers.Double(values())] == [2, 4]


def test_typed_name(gohost: GoHost) -> None:
    """Of a client whose other calls are dynamic."""
    with Client(gohost.unix, timeout=30.0) as client:
        assert client.typed("Calculator").Add(1, b=2) == 3
        assert client.typed("Calculator.Add")(1, 2) == 3
        assert client.echo({"a": [b"1"]}) == {"a": [b"1"]}
        greeter = client.typed("carp.examples.greeter.v1.Greeter")
        assert greeter.Greet(name="Ann").text == "Hello, Ann!"
