"""Who reads what a host sends: one thread at a time, which runs no code of the user's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from fakepeer import FakePeer, echo

from carp_grpc import AioLink, Link
from carp_grpc.link import Limits
from carp_grpc.link.connected import Connected
from carp_grpc.link.workers import Workers

Code = grpc.StatusCode
WAIT = 60  # seconds, for what happens at once


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with FakePeer(echo) as peer:
        yield peer


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads that are reading."""
    readers: set[int] = set()
    next_call = Connected._next_call

    def watched(self: Connected, session: Any) -> Any:
        readers.add(threading.get_ident())
        try:
            return next_call(self, session)
        finally:
            readers.discard(threading.get_ident())

    monkeypatch.setattr(Connected, "_next_call", watched)
    return readers


def test_the_reader_runs_no_code_of_the_user(peer: FakePeer, readers: set[int]) -> None:
    """Functions that wait for the host get what they wait for, all threads but one taken."""
    workers = 4
    inside = threading.Barrier(workers)
    wrong: list[set[int]] = []

    def back(n: int) -> Any:
        inside.wait(WAIT)  # all of them are here
        answer = link.f(n)  # which is read by whoever is not
        if threading.get_ident() in readers or len(readers) > 1:
            wrong.append(set(readers))
        return answer

    with Link(peer.target, workers=workers) as link:
        link.export(back)
        peer.wait_for(lambda: peer.exports)
        for _ in range(3):
            keys = [peer.start_call("/back/call", n) for n in range(workers)]
            for key in keys:
                assert peer.answer(key).code is Code.OK
    assert wrong == []


def test_no_more_threads(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that gives no thread costs calls of the host, and not the link."""
    start = threading.Thread.start

    def refused(self: threading.Thread) -> None:
        if self.name.startswith("carp-link-few"):
            raise RuntimeError("can't start new thread")
        start(self)

    with Link(peer.target, "few") as link:
        link.export(lambda: 1, "one")
        peer.wait_for(lambda: peer.exports)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refused)
            for _ in range(3):
                assert peer.call("/one/call").code is Code.RESOURCE_EXHAUSTED
        assert peer.call("/one/call") == 1


def test_workers() -> None:
    workers = Workers(1, "w")
    assert workers.claim() and not workers.claim()
    workers.done()
    assert workers.claim()
    done: set[int] = set()
    for n in range(3):
        ended = threading.Event()
        assert workers.run(lambda n=n, ended=ended: (done.add(n), ended.set()))  # type: ignore[misc]
        assert ended.wait(WAIT)
    assert done == {0, 1, 2}
    workers.close()
    workers.done()
    assert not workers.claim() and not workers.run(lambda: None)


class Garbage:
    """What the wire takes for a frame and the other end cannot."""

    id = 0

    def WhichOneof(self, _: str) -> str:
        return "ping"

    def SerializeToString(self) -> bytes:
        return b"\xff"


def test_garbage(peer: FakePeer) -> None:
    """A host that sends none of protobuf's bytes costs a connection, and not the link."""
    with Link(peer.target, timeout=WAIT, wait_for_ready=True) as link:
        link.wait_ready(WAIT)
        peer.tell(lambda wire: wire._outbox.put(Garbage()))
        peer.wait_for(lambda: peer.links == 2)
        assert link.f(1) == [[1], {}]


async def test_garbage_aio(peer: FakePeer) -> None:
    async with AioLink(peer.target, timeout=WAIT, wait_for_ready=True) as link:
        await link.wait_ready()
        peer.tell(lambda wire: wire._outbox.put(Garbage()))
        await asyncio.to_thread(peer.wait_for, lambda: peer.links == 2)
        assert await link.f(1) == [[1], {}]


LARGE = Limits(max_payload=16 << 20, pool=16 << 20, link_window=256 << 10)
SMALL = 100


def shut(peer: FakePeer, session: Any) -> bool:
    """Whether the peer does not read, and all has been sent that it has room for."""
    return not peer.reads.is_set() and session.wire._outbox.window == 0


def check_order(peer: FakePeer) -> None:
    """The small calls went between the chunks of the large one, each of which took its turn."""
    kinds = peer.kinds
    calls = [i for i, kind in enumerate(kinds) if kind == "call"]
    chunks = [i for i, kind in enumerate(kinds) if kind == "chunk"]
    assert len(calls) == 1 + SMALL and len(chunks) > (8 << 20) // (64 << 10)
    sent = sum(i < calls[1] for i in chunks)
    assert sent * (64 << 10) <= LARGE.link_window, "more chunks than the window has room for"
    assert calls[-1] < chunks[sent], "a chunk was sent before a small call that waited"


def test_small_calls_go_between_the_chunks_of_a_large_one(peer: FakePeer) -> None:
    peer.limits = LARGE
    peer.stop_at = "chunk"
    data = bytes(8 << 20)
    answers: list[Any] = []
    with Link(peer.target, limits=LARGE, timeout=WAIT) as link:
        link.wait_ready(WAIT)
        threads = [threading.Thread(target=lambda: answers.append(len(link.f(data)[0][0])))]
        threads[0].start()
        session = link._session
        assert session is not None
        peer.wait_for(lambda: shut(peer, session))
        threads += [
            threading.Thread(target=lambda i=i: answers.append(link.f(i)[0][0]))
            for i in range(SMALL)
        ]
        for thread in threads[1:]:
            thread.start()
        peer.wait_for(lambda: len(session.wire.calls) == 1 + SMALL)
        peer.reads.set()
        for thread in threads:
            thread.join(WAIT)
    assert sorted(answers) == [*range(SMALL), len(data)]
    check_order(peer)


async def test_small_calls_go_between_the_chunks_of_a_large_one_aio(peer: FakePeer) -> None:
    peer.limits = LARGE
    peer.stop_at = "chunk"
    data = bytes(8 << 20)
    async with AioLink(peer.target, limits=LARGE, timeout=WAIT) as link:
        await link.wait_ready()
        large = asyncio.ensure_future(link.f(data))
        session = link._session
        assert session is not None
        await asyncio.to_thread(peer.wait_for, lambda: shut(peer, session))
        small = [asyncio.ensure_future(link.f(i)) for i in range(SMALL)]
        await asyncio.to_thread(peer.wait_for, lambda: len(session.wire.calls) == 1 + SMALL)
        peer.reads.set()
        assert [answer[0][0] for answer in await asyncio.gather(*small)] == list(range(SMALL))
        assert len((await large)[0][0]) == len(data)
    check_order(peer)
