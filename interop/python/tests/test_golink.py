"""Links between Python and a real Go host: each calls what the other exports."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from conftest import GoHost, Hosts, pass_deadline
from test_values import EXACT, same

from carp_grpc import (
    AioLink,
    Client,
    Link,
    RemoteExecutionError,
    current,
    protos,
    register_error,
)
from carp_grpc.link import Limits

Code = grpc.StatusCode
DYNAMIC = ("msgpack", "json", "carp")

# In nanoseconds. A busy machine may not even send a call before the first of them.
DEADLINES = (50_000_000, 1_000_000_000, 20_000_000_000)


@pytest.fixture(params=("unix", "tcp", "abstract"))
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def link(gohost: GoHost) -> Iterator[Link]:
    with Link(gohost.unix, "py", timeout=30.0) as link:
        link.wait_ready(30)
        yield link


@pytest.fixture
async def aio(gohost: GoHost) -> AsyncIterator[AioLink]:
    async with AioLink(gohost.unix, "py", timeout=30.0) as link:
        await asyncio.wait_for(link.wait_ready(), 30)
        yield link


def go_calls(link: Link, name: str, *args: Any, codec: str = "msgpack", **kwargs: Any) -> Any:
    """Have the host call a function that is exported here."""
    return link.Python.Call(name, codec, list(args), kwargs)


def test_both_directions(gohost: GoHost, transport: str) -> None:
    def add(a: int, b: int = 10) -> int:
        return a + b

    with Link(gohost.target(transport), timeout=30.0) as link:
        link.export(add, f"add_{transport}")
        assert link.Calculator.Add(1, b=2) == 3
        link.Python.Await(f"add_{transport}")
        for codec in DYNAMIC:
            assert go_calls(link, f"add_{transport}", 1, 2, codec=codec) == 3
            assert go_calls(link, f"add_{transport}", 1, codec=codec) == 11
            assert go_calls(link, f"add_{transport}", codec=codec, b=1, a=2) == 3


@pytest.mark.parametrize("codec", DYNAMIC)
@pytest.mark.parametrize("name", EXACT)
def test_values_through_both_ends(link: Link, name: str, codec: str) -> None:
    """Python to Go to Python and all the way back."""
    want = EXACT[name]
    seen: list[Any] = []

    def same_again(value: Any) -> Any:
        seen.append(value)
        return value

    link.export(same_again)
    link.Python.Await("same_again")
    got = link.Python.Call.with_options(codec=codec)("same_again", codec, [want], {})
    assert same(seen[0], want), f"{seen[0]!r} from {want!r}"
    assert same(got, want), f"{got!r} from {want!r}"


def test_object_and_unexport(link: Link) -> None:
    class Store:
        def __init__(self) -> None:
            self.items: dict[str, Any] = {}

        def Put(self, key: str, value: Any) -> None:
            self.items[key] = value

        def Get(self, key: str) -> Any:
            return self.items[key]

    link.export(Store(), "py.Store")
    link.Python.Await("py.Store.Get")
    assert go_calls(link, "py.Store.Put", "k", [1, 2]) is None
    assert go_calls(link, "py.Store.Get", "k") == [1, 2]
    outcome = link.Python.Fail("py.Store.Get", ["missing"], 0)
    assert outcome["Exception"] == "KeyError" and outcome["Code"] == "Unknown"
    link.unexport("py.Store")
    while link.Python.Fail("py.Store.Get", ["k"], 0)["Code"] == "Unknown":
        pass
    outcome = link.Python.Fail("py.Store.Get", ["k"], 0)
    assert (outcome["Code"], outcome["Remote"]) == ("Unavailable", False)


class Late(Exception):
    pass


def test_errors(link: Link) -> None:
    register_error("test.Late", Late)

    def fail(kind: str) -> None:
        raise {"late": Late("é"), "missing": NotImplementedError("t")}[kind]

    link.export(fail)
    link.Python.Await("fail")
    assert link.Python.Fail("fail", ["late"], 0) == {
        "Code": "Unknown",
        "Exception": "test.Late",
        "Message": "é",
        "Remote": True,
    }
    assert link.Python.Fail("fail", ["missing"], 0)["Code"] == "Unimplemented"
    assert link.Python.Fail("fail", [1, 2, 3], 0)["Code"] == "InvalidArgument"
    with pytest.raises(RemoteExecutionError, match="division by zero") as caught:
        link.Calculator.Div(1, 0)
    assert caught.value.name == "errors.errorString"


class Stats:
    """grpc.testing.LoadBalancerStatsService, which the host calls with its generated client."""

    def __init__(self, service: Any) -> None:
        self.reply = protos.class_of(service.methods_by_name["GetClientStats"].output_type)

    def GetClientStats(self, request: Any) -> Any:
        if request.num_rpcs < 0:
            raise PermissionError("less than none")
        if request.num_rpcs == 0:
            return None
        return self.reply(rpcs_by_peer={current().peer: request.num_rpcs})


def stats_service(gohost: GoHost) -> Any:
    """The descriptor, for which others have generated code."""
    with Client(gohost.unix, codec="proto", timeout=30.0) as client:
        client["grpc.testing.TestService"].EmptyCall()
        codec = client._connection.reflection.known("/grpc.testing.TestService/EmptyCall")
        assert codec is not None
        return codec.pool.FindServiceByName("grpc.testing.LoadBalancerStatsService")


def test_generated_service(gohost: GoHost, link: Link) -> None:
    service = stats_service(gohost)
    exported = link.export_service(Stats(service), service)
    assert exported.skipped == {"GetClientAccumulatedStats": "there is no method of this name"}
    assert link.Python.Stats(7) == {"testhost": 7}
    with pytest.raises(RemoteExecutionError, match="less than none") as caught:
        link.Python.Stats(-1)
    assert caught.value.code is Code.PERMISSION_DENIED
    with pytest.raises(RemoteExecutionError, match="want a grpc.testing.LoadBalancer") as caught:
        link.Python.Stats(0)
    assert caught.value.code is Code.INTERNAL
    with pytest.raises(TypeError, match="none of its methods"):
        link.export_service(object(), service)
    with pytest.raises(ValueError, match="taken"):
        link.export_service(Stats(service), service)


async def test_generated_service_aio(gohost: GoHost) -> None:
    service = await asyncio.to_thread(stats_service, gohost)
    reply = Stats(service).reply

    class AioStats:
        async def GetClientStats(self, request: Any) -> Any:
            await asyncio.sleep(0)
            return reply(rpcs_by_peer={"aio": request.num_rpcs})

    async with AioLink(gohost.unix, timeout=30.0) as link:
        link.export_service(AioStats(), service)
        assert await link.Python.Stats(7) == {"aio": 7}


def test_metadata_and_deadline(link: Link) -> None:
    def about() -> list[Any]:
        call = current()
        return [call.peer, call.method, call.time_remaining()]

    link.export(about)
    link.Python.Await("about")
    peer, method, left = go_calls(link, "about")
    assert (peer, method) == ("testhost", "/about/call")
    # grpcio sends what is left in tenths of a second when it is over ten, rounded up.
    assert 0 < left <= 30.1


def test_cancellation_reaches_python(link: Link) -> None:
    told = threading.Event()

    def wait() -> None:
        if current().wait_cancelled(30):
            told.set()

    link.export(wait)
    link.Python.Await("wait")
    for timeout in DEADLINES:
        outcome = link.Python.Fail("wait", [], timeout)
        assert outcome["Code"] == "DeadlineExceeded"
        if told.wait(5):
            return
    raise AssertionError("the function was not told")


async def test_cancellation_reaches_a_task(aio: AioLink) -> None:
    cancelled = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    aio.export(wait, "wait_task")
    await aio.Python.Await("wait_task")
    for timeout in DEADLINES:
        outcome = await aio.Python.Fail("wait_task", [], timeout)
        assert outcome["Code"] == "DeadlineExceeded"
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(cancelled.wait(), 5)
            return
    raise AssertionError("the task was not cancelled")


def test_cancellation_reaches_go(link: Link) -> None:
    pass_deadline(link.waiting)
    link.waiting.Ended()


def test_many_from_go(link: Link) -> None:
    def plus(a: int, b: int) -> int:
        return a + b

    link.export(plus)
    count = 60  # goroutines at once; the link has 64 threads
    assert link.Python.AddAll("plus", count) == sum(range(count)) + count


async def test_aio_both_directions(aio: AioLink) -> None:
    async def plus(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    aio.export(plus, "aplus")
    assert await aio.Calculator.Add(1, b=2) == 3
    assert await aio.Python.AddAll("aplus", 500) == sum(range(500)) + 500
    total, *sums = await asyncio.gather(
        aio.Python.AddAll("aplus", 200), *(aio.Calculator.Add(i, i) for i in range(200))
    )
    assert total == sum(range(200)) + 200
    assert sums == [2 * i for i in range(200)]


def test_deeper_than_the_limit(gohost: GoHost) -> None:
    """Python → Go → Python → Go …: refused when the threads are used up, and no hang."""
    with Link(gohost.unix, workers=5, timeout=60.0) as link:

        def deeper(n: int) -> int:
            return n if n == 0 else int(go_calls(link, "deeper", n - 1)) + 1

        link.export(deeper)
        link.Python.Await("deeper")
        assert go_calls(link, "deeper", 4) == 4
        with pytest.raises(RemoteExecutionError) as caught:
            go_calls(link, "deeper", 5)
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert go_calls(link, "deeper", 4) == 4


def test_large_and_small_at_once(gohost: GoHost) -> None:
    limits = Limits(max_payload=80 << 20, pool=160 << 20)
    data = bytes(64 << 20)
    with Link(gohost.unix, limits=limits, timeout=120.0) as link:
        link.export(lambda value: value, "back")
        link.Python.Await("back")
        answers: list[Any] = []

        def large() -> None:
            answers.append(link.length(data))
            answers.append(go_calls(link, "back", data[: 16 << 20]))

        thread = threading.Thread(target=large)
        thread.start()
        small = 0
        while thread.is_alive() or small < 100:
            assert link.Calculator.Add(small, 1) == small + 1
            small += 1
        thread.join()
        assert answers == [64 << 20, data[: 16 << 20]]


def test_a_thousand_small_beside_a_large_one(gohost: GoHost) -> None:
    data = bytes(64 << 20)
    limits = Limits(max_payload=80 << 20)
    with Link(gohost.unix, limits=limits, timeout=120.0) as link, ThreadPoolExecutor(64) as pool:
        length = pool.submit(link.length, data)
        sums = pool.map(lambda i: link.Calculator.Add(i, 1), range(1000))
        assert list(sums) == [i + 1 for i in range(1000)]
        assert length.result(120) == 64 << 20


async def test_a_thousand_small_beside_a_large_one_aio(gohost: GoHost) -> None:
    data = bytes(64 << 20)
    limits = Limits(max_payload=80 << 20)
    async with AioLink(gohost.unix, limits=limits, timeout=120.0) as link:
        length, *sums = await asyncio.gather(
            link.length(data), *(link.Calculator.Add(i, 1) for i in range(1000))
        )
    assert (length, sums) == (64 << 20, [i + 1 for i in range(1000)])


def test_export_is_known_to_the_next_call(link: Link) -> None:
    """Calls that go beside the link do not overtake what it announces."""
    for i in range(50):
        link.export(lambda i=i: i, f"just_now_{i}")
        assert go_calls(link, f"just_now_{i}") == i
    assert link._session is not None and link.Calculator.Add(1, 2) == 3
    assert link._session.wire.heard == link._session.wire.asked > 0


def test_host_restarts(hosts: Hosts) -> None:
    host = hosts.start()

    def here() -> str:
        return "here"

    with Link(host.unix, timeout=30.0, wait_for_ready=True) as link:
        link.export(here)
        for _ in range(3):
            link.Python.Await("here")
            assert go_calls(link, "here") == "here"
            host.kill()
            with pytest.raises(RemoteExecutionError):
                while True:
                    link.Calculator.Add.with_options(wait_for_ready=False)(1, 2)
            host = hosts.start()


def test_dates_stay_dates(link: Link) -> None:
    """The kinds that look most alike are told apart on the way through Go."""
    assert link.echo(dt.date(2024, 1, 1)) == dt.date(2024, 1, 1)
    assert type(link.echo(dt.date(2024, 1, 1))) is dt.date
