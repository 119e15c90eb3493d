"""The protocol of a link, between two state machines whose frames are moved by hand."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2

from carp_grpc.link import frames
from carp_grpc.link.flow import INLINE, ProtocolError
from carp_grpc.link.messages import (
    Answered,
    Called,
    Cancelled,
    Left,
    Limits,
    Opened,
    Refused,
    Request,
    Response,
)
from carp_grpc.link.wire import Wire

DEFAULT = Limits()


class Pair:
    """Two ends, and what they saw. Frames are serialized on their way."""

    def __init__(self, limits: Limits = DEFAULT, seed: int | None = None) -> None:
        self.a = Wire("a", b"1" * 16, "A", "test", limits)
        self.b = Wire("b", b"2" * 16, "B", "test", limits, opened=False)
        self.events: dict[Wire, list[Any]] = {self.a: [], self.b: []}
        self.wires: dict[Wire, deque[bytes]] = {self.a: deque(), self.b: deque()}
        self.sent: dict[Wire, list[Any]] = {self.a: [], self.b: []}
        self.random = random.Random(seed)

    def step(self) -> bool:
        """Let one end send or take a frame; False if nothing can happen."""
        moves = []
        for end, other in ((self.a, self.b), (self.b, self.a)):
            moves.append(lambda end=end: self._send(end))
            if self.wires[end]:
                moves.append(lambda end=end, other=other: self._take(end, other))
        self.random.shuffle(moves)
        return any(move() for move in moves)

    def _send(self, end: Wire) -> bool:
        frame = end.take()
        if frame is None:
            return False
        self.sent[end].append(frame)
        self.wires[end].append(frame.SerializeToString())
        return True

    def _take(self, end: Wire, other: Wire) -> bool:
        self.events[other] += other.receive(frames.Frame.FromString(self.wires[end].popleft()))
        return True

    def run(self) -> None:
        while self.step():
            pass

    def got(self, end: Wire, kind: type) -> list[Any]:
        found = [event for event in self.events[end] if isinstance(event, kind)]
        self.events[end] = [event for event in self.events[end] if not isinstance(event, kind)]
        return found


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    pair.run()
    assert len(pair.got(pair.a, Opened)) == len(pair.got(pair.b, Opened)) == 1
    return pair


def test_nothing_before_hello() -> None:
    pair = Pair()
    pair.a.announce(frames.Exports(generation=1, full=True))
    assert pair._send(pair.a)
    assert not pair._send(pair.a)
    pair.run()
    assert [f.WhichOneof("kind") for f in pair.sent[pair.a]] == ["hello", "exports"]


def test_call(pair: Pair) -> None:
    request = Request("/a/B", "msgpack", b"x", (("k", "v"), ("k-bin", b"\xff")), 1.5, "id", True)
    call = pair.a.call(request, "owner")
    assert not call.started
    pair.run()
    assert call.started
    (called,) = pair.got(pair.b, Called)
    assert called.call.request == request
    detail = wrappers_pb2.StringValue(value="d")
    response = Response(grpc.StatusCode.NOT_FOUND, "m", "E", (detail,), b"", (("t", "u"),))
    pair.b.reply(called.call, response)
    pair.b.reply(called.call, Response())
    pair.run()
    (answered,) = pair.got(pair.a, Answered)
    assert answered.call is call and answered.call.owner == "owner"
    assert answered.response == response
    assert not pair.a.calls and not pair.b.serving


@pytest.mark.parametrize("size", (INLINE, INLINE + 1, 5 * INLINE, 5 * INLINE + 1, 3 << 20))
def test_large(pair: Pair, size: int) -> None:
    data = random.Random(size).randbytes(size)
    pair.a.call(Request("/a/B", "json", data), None)
    pair.run()
    (called,) = pair.got(pair.b, Called)
    assert called.call.request.payload == data
    pair.b.free(called.call)
    pair.b.reply(called.call, Response(payload=data))
    pair.run()
    (answered,) = pair.got(pair.a, Answered)
    assert answered.response.payload == data
    assert len(pair.sent[pair.a]) < 10 + size / INLINE + size / (1 << 19) + 5


def test_small_calls_pass_large_ones(pair: Pair) -> None:
    pair.a.call(Request("/large", "json", bytes(3 << 20)), None)
    for _ in range(10):
        pair.step()
    pair.a.call(Request("/small", "json", b""), None)
    pair.run()
    assert [e.call.request.method for e in pair.got(pair.b, Called)] == ["/small", "/large"]


@pytest.mark.parametrize("seed", range(20))
def test_many_large_under_a_small_pool(seed: int) -> None:
    """Payloads together larger than the pool, begun in any order, all arrive."""
    pair = Pair(Limits(pool=4 << 20), seed)
    pair.run()
    sizes = [pair.random.choice((0, 1, INLINE + 1, 1 << 20, 4 << 20)) for _ in range(12)]
    for n, size in enumerate(sizes):
        end = pair.a if n % 2 else pair.b
        end.call(Request(f"/{n}", "json", bytes([n]) * size), n)
    finished: dict[int, int] = {}
    progress = True
    while progress:
        progress = pair.step()
        for end in (pair.a, pair.b):
            for event in pair.got(end, Called):
                pair_call = event.call
                payload = pair_call.request.payload
                end.free(pair_call)
                end.reply(pair_call, Response(payload=payload))
                progress = True
            for event in pair.got(end, Answered):
                assert event.response.code is grpc.StatusCode.OK, event.response.message
                finished[event.call.owner] = len(event.response.payload)
    assert finished == dict(enumerate(sizes))
    for end in (pair.a, pair.b):
        assert end._inbox._free == 4 << 20
        assert not end.calls and not end.serving


def test_cancel(pair: Pair) -> None:
    call = pair.a.call(Request("/a", "json", b"1"), None)
    pair.run()
    (called,) = pair.got(pair.b, Called)
    pair.a.cancel(call)
    pair.run()
    (cancelled,) = pair.got(pair.b, Cancelled)
    assert cancelled.call is called.call
    pair.b.reply(called.call, Response(grpc.StatusCode.CANCELLED))
    pair.run()
    assert len(pair.got(pair.a, Answered)) == 1


@pytest.mark.parametrize("steps", (1, 3, 10, 40, 80))
def test_cancel_within_a_large_request(pair: Pair, steps: int) -> None:
    call = pair.a.call(Request("/a", "json", bytes(4 << 20)), None)
    for _ in range(steps):
        pair.step()
    pair.sent[pair.a].clear()
    pair.a.cancel(call)
    pair.run()
    assert not any(frame.HasField("chunk") for frame in pair.sent[pair.a])
    for called in pair.got(pair.b, Called):
        pair.b.free(called.call)
        pair.b.reply(called.call, Response())
    pair.run()
    assert len(pair.got(pair.a, Answered)) == 1
    assert pair.b._inbox._free == pair.a._inbox._free == Limits().pool
    assert pair.b._inbox._window <= Limits().link_window


@pytest.mark.parametrize("steps", (1, 3, 10, 40, 80))
def test_cancel_within_a_large_reply(pair: Pair, steps: int) -> None:
    call = pair.a.call(Request("/a", "json", b""), None)
    pair.run()
    (called,) = pair.got(pair.b, Called)
    pair.b.reply(called.call, Response(payload=bytes(4 << 20)))
    for _ in range(steps):
        pair.step()
    begun = call.flow.arriving is not None
    pair.a.cancel(call)
    pair.run()
    (answered,) = pair.got(pair.a, Answered)
    assert not (begun and answered.response.payload), "what nobody wants is kept"
    assert not pair.b.serving
    assert pair.a._inbox._free == Limits().pool


def test_limits() -> None:
    pair = Pair(Limits(max_calls=2, max_payload=1 << 20, max_metadata=100))
    pair.run()
    with pytest.raises(Refused, match="at most 1048576"):
        pair.a.call(Request("/a", "json", bytes((1 << 20) + 1)), None)
    with pytest.raises(Refused, match="metadata"):
        pair.a.call(Request("/a", "json", b"", (("k", "v" * 68),)), None)
    for _ in range(2):
        assert not pair.a.full()
        pair.a.call(Request("/a", "json", b""), None)
    assert pair.a.full()
    pair.a.call(Request("/a", "json", b""), None)
    pair.run()
    (refused,) = pair.got(pair.a, Answered)
    assert refused.response.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    first, second = pair.got(pair.b, Called)
    pair.b.reply(first.call, Response(payload=bytes((1 << 20) + 1)))
    pair.b.reply(second.call, Response(metadata=(("k", "v" * 68),)))
    pair.run()
    texts = [e.response.message for e in pair.got(pair.a, Answered)]
    assert "at most 1048576" in texts[0] and "metadata" in texts[1]


def test_goaway(pair: Pair) -> None:
    pair.a.call(Request("/taken", "json", b""), "taken")
    pair.run()
    pair.b.leave("tired")
    pair.a.call(Request("/late", "json", bytes(1 << 20)), "late")
    pair.run()
    (left,) = pair.got(pair.a, Left)
    assert left.reason == "tired" and [c.owner for c in left.untaken] == ["late"]
    with pytest.raises(Refused, match="tired"):
        pair.a.call(Request("/a", "json", b""), None)
    (called,) = pair.got(pair.b, Called)
    pair.b.reply(called.call, Response())
    pair.run()
    assert len(pair.got(pair.a, Answered)) == 1


def violation(kind: str, id: int = 0, **fields: Any) -> Any:
    return frames.frame(kind, getattr(frames, kind.capitalize())(**fields), id)


@pytest.mark.parametrize(
    "frame",
    (
        violation("hello", min_version=1, max_version=1),
        violation("call", id=1),
        violation("call", id=0),
        violation("call", id=2, payload=bytes(INLINE + 1)),
        violation("call", id=2, payload=b"1", payload_size=70000),
        violation("chunk", id=2, data=b""),
        violation("chunk", id=1, data=b"1"),
        violation("credit", id=0, bytes=2**31),
        violation("reply", id=1, payload_size=2**31),
    ),
    ids=str,
)
def test_violations(pair: Pair, frame: Any) -> None:
    pair.a.call(Request("/a", "json", b""), None)
    pair.run()
    with pytest.raises(ProtocolError):
        pair.a.receive(frame)


def test_more_than_the_window(pair: Pair) -> None:
    frame = violation("call", id=2, payload_size=200_000)
    pair.a.receive(frame)
    chunk = violation("chunk", id=2, data=bytes(INLINE))
    with pytest.raises(ProtocolError, match="the window of call 2"):
        for _ in range(4):
            pair.a.receive(chunk)
    pair.a.receive(violation("call", id=4, payload_size=70_000))
    pair.a.receive(violation("chunk", id=4, data=bytes(INLINE)))
    with pytest.raises(ProtocolError, match="more bytes for call 4"):
        pair.a.receive(violation("chunk", id=4, data=bytes(70_001 - INLINE)))
    other = Pair()
    other.run()
    with pytest.raises(ProtocolError, match="the link's window"):
        for _ in range(17):
            other.a.receive(violation("chunk", id=8, data=bytes(INLINE)))
            other.a._inbox._returned = 0  # so that no credit goes out


@pytest.mark.parametrize("low, high", ((2, 3), (0, 0)))
def test_versions(low: int, high: int) -> None:
    pair = Pair()
    with pytest.raises(ProtocolError, match=f"{low} to {high}.*this end 1"):
        pair.a.receive(violation("hello", min_version=low, max_version=high))


def test_required_feature() -> None:
    pair = Pair()
    hello = violation("hello", min_version=1, max_version=1, required_features=["warp"])
    with pytest.raises(ProtocolError, match="warp"):
        pair.a.receive(hello)


def test_first_frame() -> None:
    with pytest.raises(ProtocolError, match="not a hello"):
        Pair().a.receive(violation("call", id=2))


def test_unknown_kinds_are_ignored(pair: Pair) -> None:
    assert pair.a.receive(frames.Frame.FromString(b"\xfa\x07\x00")) == []
    assert pair.a.receive(violation("credit", id=77, bytes=1)) == []
    assert pair.a.receive(violation("reply", id=77)) == []
    assert pair.a.receive(violation("cancel", id=78)) == []


def test_ping(pair: Pair) -> None:
    ping = frames.Frame()
    ping.ping.token = 7
    pair.a.receive(ping)
    assert pair.a.take().pong.token == 7


def opened() -> tuple[Pair, Any, Any]:
    """Two ends, and both sides of a call that streams both ways."""
    pair = Pair()
    pair.run()
    call = pair.a.call(Request("/f/call", "msgpack", streaming=True, takes_items=True), None)
    pair.run()
    incoming = next(e.call for e in pair.events[pair.b] if isinstance(e, Called))
    return pair, call, incoming


@pytest.mark.parametrize("size", (0, 1, INLINE, INLINE + 1, 1 << 20))
def test_items(size: int) -> None:
    pair, call, incoming = opened()
    for i in range(20):
        sent: list[bool] = []
        data = bytes([i]) * size
        pair.a.send_item(call, data, lambda: sent.append(True))
        pair.run()
        got = pair.b.next_item(incoming)
        if got is None:  # a large one has waited for this
            pair.run()
            got = pair.b.next_item(incoming)
        assert (got, sent) == (data, [True])
        pair.run()
    pair.a.end_items(call)
    pair.run()
    assert incoming.flow.ended
    pair.b.reply(incoming, Response())
    pair.run()
    assert not pair.a.calls
    assert not pair.b.serving
    assert pair.a._outbox.window > DEFAULT.link_window // 2
    assert pair.b._inbox._free == DEFAULT.pool


def test_items_that_are_not_taken_stop_the_sender() -> None:
    pair, call, incoming = opened()
    count = 0
    while call.flow.sending is None:
        pair.a.send_item(call, bytes(1000), lambda: None)
        pair.run()
        count += 1
    assert 1000 * (count - 1) < DEFAULT.call_window + 2000
    while pair.b.next_item(incoming) is not None:
        count -= 1
        pair.run()
    assert count == 0
    assert call.flow.sending is None


def test_items_that_nobody_wants_cost_nothing() -> None:
    pair, call, incoming = opened()
    pair.a.send_item(call, bytes(1 << 20), lambda: None)
    pair.run()
    assert pair.b.next_item(incoming) is None
    pair.b.reply(incoming, Response())
    pair.run()
    assert pair.b._inbox._free == DEFAULT.pool
    assert not pair.b._inbox._waiting
    assert call.flow.sending is None


def test_item_too_large() -> None:
    pair, call, _ = opened()
    with pytest.raises(Refused, match="takes at most"):
        pair.a.send_item(call, bytes(DEFAULT.max_payload + 1), lambda: None)
    item = frames.Item(payload_size=DEFAULT.max_payload + 1)
    pair.b.receive(frames.frame("item", item, call.flow.id))
    pair.run()
    answer = next(e.response for e in pair.events[pair.a] if isinstance(e, Answered))
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "break_it",
    (
        lambda end, id: [
            end.receive(frames.frame("item", frames.Item(payload=bytes(INLINE)), id))
            for _ in range(3)
        ],
        lambda end, id: end.receive(
            frames.frame("item", frames.Item(payload=bytes(INLINE + 1)), id)
        ),
        lambda end, id: end.receive(
            frames.frame("item", frames.Item(payload=b"x", payload_size=3), id)
        ),
        lambda end, id: [
            end.receive(frames.frame("item", frames.Item(payload_size=100_000), id)),
            end.receive(frames.frame("item", frames.Item(payload=b"x"), id)),
        ],
        lambda end, id: [end.receive(frames.frame("end", frames.End(), id)) for _ in range(2)],
        lambda end, id: [
            end.receive(frames.frame("end", frames.End(), id)),
            end.receive(frames.frame("item", frames.Item(payload=b"x"), id)),
        ],
    ),
    ids=("window", "inline", "both", "inside", "two-ends", "after-end"),
)
def test_items_against_the_rules(break_it: Any) -> None:
    pair, call, _ = opened()
    with pytest.raises(ProtocolError):
        break_it(pair.b, call.flow.id)


def test_items_for_a_call_that_takes_none() -> None:
    pair = Pair()
    pair.run()
    call = pair.a.call(Request("/f/call", "msgpack"), None)
    pair.run()
    for end in (pair.a, pair.b):
        with pytest.raises(ProtocolError, match="takes none"):
            end.receive(frames.frame("item", frames.Item(payload=b"x"), call.flow.id))


def test_cancel_within_an_item() -> None:
    pair, call, incoming = opened()
    pair.a.send_item(call, bytes(1 << 20), lambda: None)
    pair.run()
    pair.a.cancel(call)
    pair.run()
    assert any(isinstance(e, Cancelled) for e in pair.events[pair.b])
    assert incoming.flow.arriving is None
    assert pair.b._inbox._free == DEFAULT.pool
