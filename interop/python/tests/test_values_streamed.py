"""Streams of plain values from a caller: from Python to functions of Go, and the other way."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from conftest import GoHost

from carp_grpc import AioClient, AioLink, Client, EncodeError, Link, RemoteExecutionError

Code = grpc.StatusCode
PATIENCE = 60.0
CODECS = ("msgpack", "json", "carp")


@pytest.fixture(params=("Link", "Client"))
def caller(request: pytest.FixtureRequest, gohost: GoHost) -> Iterator[Any]:
    if request.param == "Link":
        with Link(gohost.unix, "py", timeout=PATIENCE) as link:
            yield link
    else:
        with Client(gohost.tcp, timeout=PATIENCE) as client:
            yield client


@pytest.fixture(params=("AioLink", "AioClient"))
async def aio(request: pytest.FixtureRequest, gohost: GoHost) -> AsyncIterator[Any]:
    make: Any = AioLink if request.param == "AioLink" else AioClient
    async with make(gohost.unix, timeout=PATIENCE) as caller:
        yield caller


@pytest.fixture
def link(gohost: GoHost) -> Iterator[Link]:
    with Link(gohost.unix, "py", timeout=PATIENCE) as link:
        yield link


class Values:
    """Numbers without end, of which is known how many were asked for, and that it was closed."""

    def __init__(self, size: int = 0) -> None:
        self.drawn = 0
        self.closed = threading.Event()
        self._size = size

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.drawn += 1
        return bytes(self._size) if self._size else self.drawn

    def close(self) -> None:
        self.closed.set()


# To Go.


@pytest.mark.parametrize("codec", CODECS)
def test_sum(caller: Any, codec: str) -> None:
    add = caller.Numbers.Sum.with_options(codec=codec)
    assert add(2, iter([1, 2, 3])) == 12
    assert add(2, iter(())) == 0
    assert add(1, (n for n in range(500))) == sum(range(500))
    text = caller.Numbers.First.with_options(codec=codec)
    assert text(iter([{"a": [1, None, "é"]}])) == {"a": [1, None, "é"]}


def test_early_end(caller: Any) -> None:
    values = Values()
    assert caller.Numbers.First(values) == 1
    assert values.closed.wait(PATIENCE)


def test_flow_control(caller: Any) -> None:
    """A function that does not read holds the iterator up."""
    most = 100  # of 64 KiB: far beyond all windows and buffers
    values = Values(size=1 << 16)
    result: list[Any] = []
    bounded = itertools.islice(values, most)
    call = threading.Thread(target=lambda: result.append(caller.Numbers.Sizes(bounded)))
    call.start()
    held = threading.Event()
    before = -1
    while not values.drawn or before != values.drawn:  # until no more is asked for
        before = values.drawn
        held.wait(0.5)
    assert 0 < values.drawn < most
    caller.Numbers.Go()
    call.join(PATIENCE)
    assert result == [most << 16]


def test_large_values(caller: Any) -> None:
    caller.Numbers.Go()
    assert caller.Numbers.Sizes(iter([bytes(3 << 20), b"", bytes(100)])) == (3 << 20) + 100


def test_iterator_that_fails(caller: Any) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        caller.Numbers.Sum(1, failing())
    with pytest.raises(KeyError, match="mine"):
        list(caller.Numbers.Double.stream(failing()))
    with pytest.raises(EncodeError):
        caller.Numbers.Sum(1, iter([object()]))


def test_both_ways(caller: Any) -> None:
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        for n in range(1, 2000):
            asked.append(n)
            yield n

    with caller.Numbers.Double.stream(numbers()) as doubles:
        assert list(itertools.islice(doubles, 1500)) == [2 * n for n in range(1, 1501)]
    values = Values()
    with caller.Numbers.Double.stream(values) as doubles:
        assert next(doubles) == 2
    assert values.closed.wait(PATIENCE)
    assert list(caller.Numbers.Double.stream(iter([3, 0, 5]))) == [6, 0]


def test_misfits(caller: Any) -> None:
    with pytest.raises(RemoteExecutionError, match="stream") as caught:
        caller.Calculator.Add(1, 2, iter([3]))  # which takes none
    assert caught.value.code is Code.INVALID_ARGUMENT
    with pytest.raises(RemoteExecutionError, match="a value of the stream") as caught:
        caller.Numbers.Sum(1, iter(["text"]))
    assert (caught.value.code, caught.value.name) == (Code.INVALID_ARGUMENT, "carp.BindError")
    with pytest.raises(RemoteExecutionError, match="is missing"):
        caller.Numbers.Sum(iter([1]))
    with pytest.raises(EncodeError, match="one-way"):
        caller.Numbers.Sum.with_options(one_way=True)(1, iter([1]))

    async def awaited() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="AioLink"):
        caller.Numbers.Sum(1, awaited())


def test_deadline(caller: Any) -> None:
    hold = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        hold.wait(PATIENCE)

    with pytest.raises(TimeoutError):
        caller.Numbers.Sum.with_options(timeout=0.2)(1, slow())
    hold.set()
    assert caller.Numbers.Sum(1, iter([1])) == 1


async def awaited(values: Any) -> AsyncIterator[Any]:
    for value in values:
        await asyncio.sleep(0)
        yield value


@pytest.mark.parametrize("codec", CODECS)
async def test_sum_aio(aio: Any, codec: str) -> None:
    add = aio.Numbers.Sum.with_options(codec=codec)
    assert await add(2, awaited([1, 2, 3])) == 12
    assert await add(2, iter([1, 2, 3])) == 12
    assert await add(1, awaited(range(500))) == sum(range(500))


async def test_early_end_aio(aio: Any) -> None:
    values, closed = Values(), asyncio.Event()
    assert await aio.Numbers.First(values) == 1
    assert await asyncio.to_thread(values.closed.wait, PATIENCE)

    async def endless() -> AsyncIterator[int]:
        try:
            for n in itertools.count(1):
                yield n
        finally:
            closed.set()

    assert await aio.Numbers.First(endless()) == 1
    await asyncio.wait_for(closed.wait(), PATIENCE)


async def test_both_ways_aio(aio: Any) -> None:
    answers: asyncio.Queue[int] = asyncio.Queue()

    async def numbers() -> AsyncIterator[int]:
        yield 1
        while (n := await answers.get()) < 100:
            yield n

    got = []
    async for n in await aio.Numbers.Double.stream(numbers()):
        got.append(n)
        answers.put_nowait(n)
    assert got == [2, 4, 8, 16, 32, 64, 128]
    async with await aio.Numbers.Double.stream(Values()) as doubles:
        assert await anext(doubles) == 2


async def test_iterator_that_fails_aio(aio: Any) -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise asyncio.TimeoutError("mine")

    with pytest.raises(asyncio.TimeoutError, match="mine"):
        await aio.Numbers.Sum(1, failing())
    with pytest.raises(asyncio.TimeoutError, match="mine"):
        [n async for n in await aio.Numbers.Double.stream(failing())]
    call = asyncio.ensure_future(aio.Numbers.Sum(1, Values()))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(RemoteExecutionError, match="takes no stream"):
        await aio.Calculator.Add(1, 2, iter([3]))


# To Python.


def total(factor: int, numbers: Iterator[int]) -> int:
    return factor * sum(numbers)


async def aio_total(factor: int, numbers: AsyncIterator[int]) -> int:
    result = 0
    async for n in numbers:
        result += factor * n
    return result


def some(count: int, numbers: Iterator[int]) -> list[int]:
    return list(itertools.islice(numbers, count))


async def aio_some(count: int, numbers: AsyncIterator[int]) -> list[int]:
    got = []
    async for n in numbers:
        if len(got) == count:
            break
        got.append(n)
    return got


def doubled(numbers: Iterator[int]) -> Iterator[int]:
    for n in numbers:
        yield 2 * n


async def aio_doubled(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    async for n in numbers:
        yield 2 * n


def plain(factor: int) -> int:
    return factor


async def aio_plain(factor: int) -> int:
    return factor


FUNCTIONS = (total, aio_total, some, aio_some, doubled, aio_doubled, plain, aio_plain)


@pytest.mark.parametrize("prefix", ("", "aio_"))
@pytest.mark.parametrize("codec", CODECS)
def test_served(link: Link, codec: str, prefix: str) -> None:
    for function in FUNCTIONS:
        link.export(function)
    give, exchange = link.Reverse.Give, link.Reverse.Exchange
    numbers = list(range(1000))
    assert give(f"{prefix}total", codec, 2, numbers) == [2 * sum(numbers), 1000]
    got, drawn = give(f"{prefix}some", codec, 3, [])  # which never end
    assert got == [0, 0, 0] and drawn >= 3
    assert exchange(f"{prefix}doubled", codec, [1, 5, 7]) == [2, 10, 14]
    with pytest.raises(RemoteExecutionError, match="takes no stream") as caught:
        give(f"{prefix}plain", codec, 2, [1])
    assert caught.value.code is Code.INVALID_ARGUMENT
    # Without any: a call that is not streamed.
    assert link.Python.Call(f"{prefix}total", codec, [3], {}) == 0
    assert link.Python.Call(f"{prefix}plain", codec, [3], {}) == 3
    with pytest.raises(RemoteExecutionError, match="numbers"):
        link.Python.Call(f"{prefix}total", codec, [3], {"numbers": [1]})


@pytest.mark.parametrize("prefix", ("", "aio_"))
async def test_served_aio(gohost: GoHost, prefix: str) -> None:
    async with AioLink(gohost.unix, "py", timeout=PATIENCE) as link:
        for function in FUNCTIONS:
            link.export(function)
        give = link.Reverse.Give
        numbers = list(range(1000))
        assert await give(f"{prefix}total", "msgpack", 2, numbers) == [2 * sum(numbers), 1000]
        got, drawn = await give(f"{prefix}some", "msgpack", 3, [])
        assert got == [0, 0, 0] and drawn >= 3
        assert await link.Reverse.Exchange(f"{prefix}doubled", "msgpack", [1, 5]) == [2, 10]
        with pytest.raises(RemoteExecutionError, match="takes no stream"):
            await give(f"{prefix}plain", "msgpack", 2, [1])
