"""A call of the host is answered, whatever the function does: nobody waits in vain."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from fakepeer import FakePeer, echo

from carp_grpc import (
    AioLink,
    DeadlineExceededError,
    ForkedError,
    Link,
    RemoteExecutionError,
    current,
    forks,
)
from carp_grpc.link import frames

Code = grpc.StatusCode
WAIT = 60  # seconds, for what happens at once


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with FakePeer(echo) as peer:
        yield peer


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def mute() -> None:
    raise MuteError


async def async_mute() -> None:
    raise MuteError


def leave() -> None:
    raise SystemExit(3)


async def async_leave() -> None:
    raise KeyboardInterrupt


def trailer() -> None:
    current().add_trailer("x", 5)  # type: ignore[arg-type]


def fails_with(**fields: Any) -> Callable[[], None]:
    def fails() -> None:
        raise RemoteExecutionError("x", **{"code": Code.ABORTED, **fields})

    return fails


ODD = [
    (mute, Code.UNKNOWN, "no text"),
    (async_mute, Code.UNKNOWN, "no text"),
    (leave, Code.UNKNOWN, "3"),
    (async_leave, Code.UNKNOWN, ""),
    (trailer, Code.UNKNOWN, "text or bytes"),
    (fails_with(name=5), Code.INTERNAL, "cannot be sent"),
    (fails_with(code=5), Code.INTERNAL, "cannot be sent"),
    (fails_with(details=(5,)), Code.INTERNAL, "cannot be sent"),
]


def test_odd_ends(peer: FakePeer) -> None:
    with Link(peer.target, workers=1) as link:
        for n, (function, code, text) in enumerate(ODD):
            link.export(function, f"f{n}")
            peer.wait_for(lambda n=n: f"f{n}" in peer.exports)  # type: ignore[misc]
            response = peer.call(f"/f{n}/call")
            assert response.code is code and text in response.message, response
            peer.wait_for(lambda: link._workers._serving == 0)  # its place is given back


async def test_odd_ends_aio(peer: FakePeer) -> None:
    async with AioLink(peer.target, workers=1) as link:
        for n, (function, code, text) in enumerate(ODD):
            link.export(function, f"f{n}")
            exported = functools.partial(lambda n: f"f{n}" in peer.exports, n)
            await asyncio.to_thread(peer.wait_for, exported)
            response = await asyncio.to_thread(peer.call, f"/f{n}/call")
            assert response.code is code and text in response.message, response
            await asyncio.to_thread(peer.wait_for, lambda: link._workers._serving == 0)


class Changing:
    def method(self) -> int:
        return 1


def test_a_method_that_is_gone(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    with Link(peer.target) as link:
        link.export(Changing)
        peer.wait_for(lambda: peer.exports)
        id = link._core.passing.holdings.give(Changing(), "Changing").id
        assert peer.call("/Changing/method", _instance=id) == 1
        monkeypatch.delattr(Changing, "method")
        response = peer.call("/Changing/method", _instance=id)
        assert response.code is Code.UNKNOWN and "no attribute" in response.message


def test_an_object_that_calls_when_it_goes(peer: FakePeer) -> None:
    """Neither the lock nor the reading is held while an object's `__del__` runs."""
    answers: list[Any] = []
    gone = threading.Semaphore(0)

    class Last:
        def method(self) -> None: ...

        def __del__(self) -> None:
            caller = threading.Thread(target=lambda: answers.append(link.f(1)), daemon=True)
            caller.start()
            caller.join(WAIT)
            gone.release()

    with Link(peer.target, timeout=WAIT, wait_for_ready=True) as link:
        link.export(Last)
        peer.wait_for(lambda: peer.exports)
        id = link._core.passing.holdings.give(Last(), "Last").id
        release = frames.Release()
        release.objects.add(id=id, count=1)
        peer.tell(lambda wire: wire._outbox.put(frames.frame("release", release)))
        assert gone.acquire(timeout=WAIT)
        link._core.passing.holdings.give(Last(), "Last")
        peer.abort()  # all are let go of
        assert gone.acquire(timeout=WAIT)
    assert answers == [[[1], {}]] * 2


def test_close_from_a_served_function(peer: FakePeer) -> None:
    link = Link(peer.target)
    closed = threading.Event()

    def close() -> None:
        link.close(0.1)  # it waits for itself
        closed.set()

    link.export(close)
    peer.wait_for(lambda: peer.exports)
    peer.start_call("/close/call")
    assert closed.wait(WAIT)
    link._keeper.join(WAIT)
    assert not link._keeper.is_alive()


async def test_host_that_does_not_read_aio(peer: FakePeer) -> None:
    async with AioLink(peer.target) as link:
        await asyncio.wait_for(link.wait_ready(), WAIT)
        peer.reads.clear()
        with pytest.raises(DeadlineExceededError):
            await link.f.with_options(timeout=0.1)(bytes(1 << 20))
        await asyncio.wait_for(link.close(0.1), WAIT)
        peer.reads.set()


async def test_after_a_fork_aio(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a child sees it: a real one may crash inside grpcio before it gets that far."""
    async with AioLink(peer.target) as link:
        await asyncio.wait_for(link.wait_ready(), WAIT)
        with monkeypatch.context() as child:
            child.setattr(forks, "_generation", forks.generation() + 1)
            for use in (link.f, link.f.stream, link.wait, link.wait_ready):
                with pytest.raises(ForkedError):
                    await use()
            await link.close()
        assert await link.f() == [[], {}]


FORGETFUL = """
import asyncio, sys, threading, carp_grpc
async def main():
    link = carp_grpc.AioLink(sys.argv[1])
    started = threading.Event()
    def stuck():
        started.set()
        threading.Event().wait()
    link.export(stuck)
    await link.wait_ready()
    assert await asyncio.to_thread(started.wait, 30)
asyncio.run(main())
"""


def test_forgetting_to_close_aio(peer: FakePeer) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = subprocess.Popen([sys.executable, "-c", FORGETFUL, peer.target], env=env)
    try:
        peer.wait_for(lambda: peer.exports)
        peer.start_call("/stuck/call")
        assert program.wait(WAIT) == 0
    finally:
        program.kill()
        program.wait()
    peer.wait_for(lambda: peer.wire is None)
