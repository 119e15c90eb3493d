"""What a Link bounds: threads, payloads, calls in flight, and what waits to be sent."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from fakepeer import FakePeer, echo

from carp_grpc import DeadlineExceededError, Link
from carp_grpc.link import Limits
from carp_grpc.link.messages import Request, Response

Code = grpc.StatusCode


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with FakePeer(echo) as peer:
        yield peer


def test_threads_are_limited(peer: FakePeer) -> None:
    """Calls beyond the limit are refused; they would hang if they waited for each other."""
    started = threading.Semaphore(0)
    go = threading.Event()

    def block() -> None:
        started.release()
        assert go.wait(30)

    with Link(peer.target, workers=3) as link:
        link.export(block)
        peer.wait_for(lambda: peer.exports)
        keys = [peer.start_call("/block/call") for _ in range(3)]
        for _ in keys:
            assert started.acquire(timeout=30)
        assert peer.call("/block/call").code is Code.RESOURCE_EXHAUSTED
        go.set()
        for key in keys:
            assert peer.answer(key).code is Code.OK
        assert peer.call("/block/call") is None


def test_large(peer: FakePeer) -> None:
    big = Limits(max_payload=64 << 20, pool=64 << 20)
    peer.limits = big
    data = os.urandom(9 << 20)
    with Link(peer.target, limits=big) as link:
        link.export(lambda x: x, "same")
        link.wait_ready(30)
        assert link.f(data) == [[data], {}]
        peer.wait_for(lambda: peer.exports)
        assert peer.call("/same/call", data) == data


def test_waits_for_room(peer: FakePeer) -> None:
    peer.limits = Limits(max_calls=2)
    peer.handler = lambda call: None
    with Link(peer.target) as link:
        link.wait_ready(30)
        threads = [threading.Thread(target=link.f) for _ in range(2)]
        for thread in threads:
            thread.start()
        peer.wait_for(lambda: peer.wire and len(peer.wire.serving) == 2)
        with pytest.raises(DeadlineExceededError, match="not sent"):
            link.f.with_options(timeout=0.05)()
        peer.handler = echo
        calls = list(peer.wire.serving.values()) if peer.wire else []
        for call in calls:
            peer.tell(lambda wire, call=call: wire.reply(call, Response()))
        for thread in threads:
            thread.join(30)
        assert link.f() == [[], {}]


def test_host_that_does_not_read(peer: FakePeer) -> None:
    """Answers that it does not read pile up to a bound; then it is cut off."""
    with Link(peer.target, limits=Limits(max_calls=8)) as link:
        link.export(lambda: bytes(60_000), "blob")
        peer.wait_for(lambda: peer.exports)
        peer.reads.clear()
        calls = 20_000
        request = Request("/blob/call", "msgpack")
        peer.tell(lambda wire: [wire.call(request, None) for _ in range(calls)])
        session = link._session
        assert session is not None
        peer.wait_for(lambda: peer.links == 2)
        assert session.wire.backlog() <= 1024 + 4 * (8 + 1024) + 1
        peer.reads.set()
        assert link.f.with_options(wait_for_ready=True)() == [[], {}]


def slow_door(path: str, target: str, delay: float) -> socket.socket:
    """A listener whose connections lead to `target`, but say nothing at first."""
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen()

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                outside, _ = door.accept()
            except OSError:
                return
            threading.Event().wait(delay)
            inside = socket.socket(socket.AF_UNIX)
            inside.connect(target.removeprefix("unix://"))
            for ends in ((outside, inside), (inside, outside)):
                threading.Thread(target=carry, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return door


def test_host_that_is_slow_to_answer(peer: FakePeer, tmp_path_factory: Any) -> None:
    """An attempt to connect was once given up after 50 ms, and so was every other."""
    path = str(tmp_path_factory.mktemp("d") / "s")
    door = slow_door(path, peer.target, 0.3)
    try:
        with Link(f"unix://{path}") as link:
            assert link.f(1) == [[1], {}]
    finally:
        door.close()
