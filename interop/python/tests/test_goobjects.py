"""Objects, callbacks and streams of plain functions between Python and a real Go host."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from conftest import GoHost, Hosts
from test_objects import Account, AioAccount, balance_of

import carp_grpc
from carp_grpc import AioLink, Link, RemoteExecutionError, RemoteObject

Code = grpc.StatusCode
CODECS = ("msgpack", "json", "carp")


@pytest.fixture
def link(gohost: GoHost) -> Iterator[Link]:
    with Link(gohost.unix, "py", timeout=60.0) as link:
        link.wait_ready(60)
        yield link


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def coded(gohost: GoHost, codec: str) -> Iterator[Link]:
    """A link whose own calls use a codec."""
    with Link(gohost.unix, "py", codec=codec, timeout=60.0) as link:
        link.wait_ready(60)
        yield link


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waiting until {what}"
        time.sleep(0.005)


# Python holds objects of Go.


def test_object_of_go(coded: Link) -> None:
    counter = coded.Counter(start=5)
    assert isinstance(counter, RemoteObject)
    assert counter.Add(2) == 7
    again = counter.Self()
    assert again.Add(1) == 8
    assert counter.Same(again) is True
    assert counter.Same(coded.Counter(8)) is False
    assert coded.Counters.Closed() == 8  # the other one, which Python has collected
    assert coded.Counters.Total(counter, again) == 16
    carp_grpc.release(again)
    assert counter.Add(1) == 9  # one reference is left
    del counter
    gc.collect()
    assert coded.Counters.Closed() == 9


def test_object_of_go_ends_with_the_link(gohost: GoHost, link: Link) -> None:
    with Link(gohost.unix, timeout=60.0) as other:
        counter = other.Counter(77)
        assert counter.Add(0) == 77
    assert link.Counters.Closed() == 77
    with pytest.raises(ValueError, match="closed"):
        counter.Add(1)


def test_constructor_fails(coded: Link) -> None:
    with pytest.raises(RemoteExecutionError, match="below zero"):
        coded.Counter(-1)


def test_released_object(coded: Link) -> None:
    counter = coded.Counter(1)
    carp_grpc.release(counter)
    assert coded.Counters.Closed() == 1
    with pytest.raises(ValueError, match="released"):
        counter.Add(1)


async def test_object_of_go_aio(gohost: GoHost) -> None:
    async with AioLink(gohost.unix, "py", timeout=60.0) as link:
        counter = await link.Counter(5)
        again = await counter.Self()
        assert await again.Add(1) == 6
        assert await counter.Same(again) is True
        del counter, again
        gc.collect()
        assert await link.Counters.Closed() == 6


# Go calls functions that Python passes.


def test_callback(coded: Link) -> None:
    assert coded.Callbacks.Map(lambda n: n * n, [1, 2, 3]) == [1, 4, 9]
    assert len(coded._core.passing.holdings) == 0

    def fail(n: int) -> int:
        raise PermissionError(f"not {n}")

    with pytest.raises(RemoteExecutionError, match="not 1") as caught:
        coded.Callbacks.Map(fail, [1])
    assert caught.value.code is Code.PERMISSION_DENIED
    assert caught.value.name == "PermissionError"


def test_callback_that_calls_back(coded: Link) -> None:
    """Python to Go to Python to Go, in one call."""
    assert coded.Callbacks.Map(lambda n: coded.Calculator.Add(n, 1), [1, 2]) == [2, 3]


def test_callback_that_is_kept(coded: Link) -> None:
    coded.Callbacks.Keep(lambda text: text.upper())
    assert coded.Callbacks.Kept("abc") == "ABC"
    coded.Callbacks.Drop()
    until(lambda: len(coded._core.passing.holdings) == 0, "Go has given the callback back")
    with pytest.raises(RemoteExecutionError):
        coded.Callbacks.Kept("abc")


def test_callback_that_is_not_kept(coded: Link) -> None:
    coded.Callbacks.Lose(lambda text: text.upper())
    with pytest.raises(RemoteExecutionError) as caught:
        coded.Callbacks.Kept("abc")
    assert caught.value.code is Code.FAILED_PRECONDITION or caught.value.code is Code.NOT_FOUND


async def test_callback_aio(gohost: GoHost) -> None:
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    async with AioLink(gohost.unix, "py", timeout=60.0) as link:
        assert await link.Callbacks.Map(double, [1, 2]) == [2, 4]
        assert await link.Callbacks.Map(lambda n: n + 1, [1, 2]) == [2, 3]
        await link.Callbacks.Keep(double)
        assert await link.Callbacks.Kept("abc") == "abcabc"
        await link.Callbacks.Drop()


# Python takes Go's streams.


def test_stream_of_go(coded: Link) -> None:
    assert list(coded.Numbers.Count.stream(5)) == [0, 1, 2, 3, 4]
    got = []
    with pytest.raises(RemoteExecutionError, match="below zero"):
        for n in coded.Numbers.Count.stream(-3):
            got.append(n)
    assert got == [0, 1, 2]
    with coded.Numbers.Endless.stream() as numbers:
        assert [next(numbers) for _ in range(3)] == [0, 1, 2]
    coded.Numbers.Stopped()
    numbers = coded.Numbers.Endless.stream()
    assert next(numbers) == 0
    del numbers
    gc.collect()
    coded.Numbers.Stopped()
    assert list(coded.Numbers.Count.stream(3_000)) == list(range(3_000))


async def test_stream_of_go_aio(gohost: GoHost) -> None:
    async with AioLink(gohost.unix, "py", timeout=60.0) as link:
        assert [n async for n in await link.Numbers.Count.stream(4)] == [0, 1, 2, 3]
        async with await link.Numbers.Endless.stream() as numbers:
            assert await anext(numbers) == 0
        await link.Numbers.Stopped()


# Go holds objects of Python, passes it functions and takes its streams.


@pytest.mark.parametrize("release", (True, False), ids=("released", "collected"))
def test_class_of_python(link: Link, codec: str, release: bool) -> None:
    link.export(Account)
    link.export(balance_of)
    assert link.Reverse.Account("Account", "balance_of", codec, release) == [7, 10, 10]

    def gone() -> bool:
        link.Reverse.Collect()
        return len(link._core.passing.holdings) == 0

    until(gone, "Go has given the object back")


async def test_class_of_python_aio(gohost: GoHost) -> None:
    async with AioLink(gohost.unix, "py", timeout=60.0) as link:
        link.export(AioAccount, "Account")
        link.export(balance_of)
        assert await link.Reverse.Account("Account", "balance_of", "msgpack", True) == [7, 10, 10]
        await asyncio.to_thread(
            until, lambda: len(link._core.passing.holdings) == 0, "Go has given it back"
        )


def test_generator_of_python(link: Link, codec: str) -> None:
    closed = threading.Event()

    def count(n: int) -> Iterator[int]:
        try:
            yield from range(abs(n))
            if n < 0:
                raise ValueError("below zero")
        finally:
            closed.set()

    link.export(count)
    assert link.Reverse.Take("count", codec, 4, -1) == [[0, 1, 2, 3], ""]
    got, text = link.Reverse.Take("count", codec, -2, -1)
    assert got == [0, 1] and "below zero" in text
    closed.clear()
    assert link.Reverse.Take("count", codec, 1 << 40, 3) == [[0, 1, 2], ""]
    assert closed.wait(60), "waiting for the generator to be closed"


async def test_generator_of_python_aio(gohost: GoHost) -> None:
    closed = asyncio.Event()

    async def count(n: int) -> AsyncIterator[int]:
        try:
            for i in range(n):
                yield i
        finally:
            closed.set()

    async with AioLink(gohost.unix, "py", timeout=60.0) as link:
        link.export(count, "acount")
        assert await link.Reverse.Take("acount", "msgpack", 4, -1) == [[0, 1, 2, 3], ""]
        closed.clear()
        assert await link.Reverse.Take("acount", "msgpack", 1 << 40, 3) == [[0, 1, 2], ""]
        await asyncio.wait_for(closed.wait(), 60)


def test_function_of_go(link: Link, codec: str) -> None:
    kept: list[Any] = []

    def use(f: Any) -> Any:
        kept.append(f)
        with pytest.raises(RemoteExecutionError, match="below zero: -1"):
            f(-1)
        return [f(1), f(2)]

    link.export(use)
    assert link.Reverse.Lend("use", codec) == [2, 4]
    with pytest.raises(RemoteExecutionError) as caught:
        kept[0](1)
    assert caught.value.code is Code.NOT_FOUND
    link.unexport("use")


async def test_function_of_go_aio(gohost: GoHost) -> None:
    async def use(f: Any) -> Any:
        return [await f(1), await f(2)]

    async with AioLink(gohost.unix, "py", timeout=60.0) as link:
        link.export(use, "ause")
        assert await link.Reverse.Lend("ause", "msgpack") == [2, 4]


def test_function_of_go_goes_back(link: Link, codec: str) -> None:
    """It is the original there, and an error where it can't be."""

    def through(f: Any) -> Any:
        return link.Reverse.Took.with_options(codec=codec)(f)

    link.export(through)
    assert link.Reverse.LendBack("through", codec) == [42, True]

    def misfit(f: Any) -> Any:
        return link.Reverse.Other(f)

    link.export(misfit)
    with pytest.raises(RemoteExecutionError, match="the function is this host's own") as caught:
        link.Reverse.Lend("misfit", codec)
    assert caught.value.code is Code.INVALID_ARGUMENT

    def returned(f: Any) -> Any:
        return f

    link.export(returned)
    with pytest.raises(RemoteExecutionError, match="RemoteFunction") as caught:
        link.Reverse.Lend("returned", codec)
    assert caught.value.code is Code.INTERNAL


def test_function_of_go_after_its_call(link: Link) -> None:
    kept: list[Any] = []
    link.export(lambda f: kept.append(f), "keep")
    link.Reverse.Lend("keep", "msgpack")
    with pytest.raises(RemoteExecutionError, match="no object of this id") as caught:
        link.Reverse.Took(kept[0])
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_function_of_go_for_another_host(link: Link, hosts: Hosts) -> None:
    with Link(hosts.start().unix, "py", timeout=60.0) as other:

        def across(f: Any) -> Any:
            return other.Reverse.Took(f)

        link.export(across)
        with pytest.raises(RemoteExecutionError, match="third host"):
            link.Reverse.Lend("across", "msgpack")
        counter = link.Counter(1)
        with pytest.raises(RemoteExecutionError, match="another host"):
            other.Counters.Total(counter, counter)


def test_function_of_python_through_go(link: Link) -> None:
    """Python to Go to Python: it is called by way of Go, which does not know its origin."""
    link.export(lambda f: [f(1), f(2)], "apply")
    assert link.Reverse.Forward("apply", lambda n: n * 10) == [10, 20]


def test_object_of_python_goes_back(link: Link, codec: str) -> None:
    made: list[Any] = []
    seen: list[Any] = []

    class Recorded(Account):
        def __init__(self, balance: int) -> None:
            super().__init__(balance)
            made.append(self)

    def look(account: Any) -> int:
        seen.append(account)
        return balance_of(account)

    link.export(Recorded)
    link.export(look)
    assert link.Reverse.Account("Recorded", "look", codec, True) == [7, 10, 10]
    assert len(made) == 1 and seen == made and seen[0] is made[0]
