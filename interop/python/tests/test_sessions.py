"""Objects, callbacks and streams of clients that are no hosts, against a real Go host."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import grpc
import pytest
from conftest import GoHost, Hosts

import carp_grpc
from carp_grpc import AioClient, Client, EncodeError, Link, RemoteExecutionError, RemoteObject

Code = grpc.StatusCode


@pytest.mark.parametrize("codec", ("msgpack", "json", "carp"))
@pytest.mark.parametrize("transport", ("unix", "tcp"))
def test_objects(gohost: GoHost, transport: str, codec: str) -> None:
    with Client(gohost.target(transport), codec=codec, timeout=60.0) as client:
        assert client.Calculator.Add(1, 2) == 3
        assert client._session is None  # nothing has needed it
        counter = client.Counter(5)
        assert isinstance(counter, RemoteObject)
        again = counter.Self()
        assert again.Add(2) == 7
        assert counter.Same(again) is True
        assert client.Counters.Total(counter, again) == 14
        del again
        carp_grpc.release(counter)
        gc.collect()
        assert client.Counters.Closed() == 7
        left = client.Counter(9)
        assert left.Add(1) == 10
    with Client(gohost.unix, timeout=60.0) as other:
        assert other.Counters.Closed() == 10  # let go with the session


@pytest.mark.parametrize("codec", ("msgpack", "json", "carp"))
def test_callbacks(gohost: GoHost, codec: str) -> None:
    with Client(gohost.unix, codec=codec, timeout=60.0) as client:
        assert client.Callbacks.Map(lambda n: n * n, [1, 2, 3]) == [1, 4, 9]
        assert client.Callbacks.Map(lambda n: client.Calculator.Add(n, 1), [1]) == [2]
        client.Callbacks.Keep(str.upper)
        assert client.Callbacks.Kept("abc") == "ABC"
    with Client(gohost.unix, timeout=60.0) as client, pytest.raises(RemoteExecutionError):
        client.Callbacks.Kept("abc")  # it has gone with its session


def test_streams(gohost: GoHost) -> None:
    with Client(gohost.unix, timeout=60.0) as client:
        assert list(client.Numbers.Count.stream(4)) == [0, 1, 2, 3]
        with client.Numbers.Endless.stream() as numbers:
            assert next(numbers) == 0
        client.Numbers.Stopped()


def test_where_there_is_no_session(gohost: GoHost) -> None:
    with Client(gohost.unix, codec="proto", timeout=60.0) as client:
        with pytest.raises(EncodeError, match="travel with the codecs msgpack, json and carp"):
            client.Callbacks.Map(lambda n: n, [1])
        with pytest.raises(RemoteExecutionError, match="carp-session") as caught:
            client.Counter(5)
        assert caught.value.code is Code.FAILED_PRECONDITION
        assert client._session is None
        counter = client.Counter.with_options(codec="json")(5)
        with pytest.raises(EncodeError, match="not with proto"):
            client.Counters.Total(counter, counter)
        with pytest.raises(ValueError, match="'proto'"):
            counter.Add.with_options(codec="proto")(1)
        total = client.Counters.Total.with_options(codec="json")
        assert total(counter, counter) == 10
        carp_grpc.release(counter)
        assert client.Counters.Closed() == 5
    with pytest.raises(ValueError, match="'proto'"):
        Link(gohost.unix, codec="proto")
    with Client(gohost.unix, timeout=60.0) as client:
        with pytest.raises(EncodeError):
            client.echo(object())
        assert client._session is None


def test_lost(hosts: Hosts) -> None:
    host = hosts.start()
    with Client(host.unix, timeout=60.0) as client:
        counter = client.Counter(1)
        host.kill()
        with pytest.raises(RemoteExecutionError):
            counter.Add(1)


async def test_aio(gohost: GoHost) -> None:
    async def double(n: int) -> Any:
        await asyncio.sleep(0)
        return 2 * n

    async with AioClient(gohost.unix, codec="proto", timeout=60.0) as client:
        with pytest.raises(EncodeError, match="travel with the codecs"):
            await client.Callbacks.Map(double, [1, 2])
    async with AioClient(gohost.unix, timeout=60.0) as client:
        counter = await client.Counter(5)
        assert await counter.Add(1) == 6
        assert await client.Callbacks.Map(double, [1, 2]) == [2, 4]
        assert [n async for n in await client.Numbers.Count.stream(3)] == [0, 1, 2]
    async with AioClient(gohost.unix, timeout=60.0) as client:
        assert await client.Counters.Closed() == 6
