"""Large payloads on a link: cut into chunks, under windows, in turn, in bounded memory.

A payload of more than `INLINE` bytes follows its frame in chunks. Each direction of a call has a
window of bytes, and so has the link; a chunk needs room in both. The receiver gives the windows
back as credit: the link's as chunks arrive, the call's once, for all of the payload, when the
pool has room for all of it. So payloads that are half there cannot block each other.

The messages of a stream, its items, are sent under the same windows. An item needs both windows
open and may take them below zero; the call's window is given back as the items are taken, and a
large item is made room for when it is waited for.

Nothing here locks or waits: the owner of the link's state does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from . import frames

INLINE = 64 << 10  # the largest payload within its frame, and the largest chunk
MIN_COST = 64  # what a chunk costs at least
MAX_WINDOW = 2**31 - 1


Complete = Callable[["bytes | None"], None]


class ProtocolError(Exception):
    """The peer broke the protocol of the link, which therefore ends."""


class Flow:
    """The windows, large payloads and arriving items of one call."""

    __slots__ = (
        "arriving",
        "ended",
        "held",
        "id",
        "items",
        "receive_limit",
        "receive_window",
        "send_window",
        "sending",
    )

    def __init__(self, id: int, send_window: int, receive_window: int) -> None:
        self.id = id
        self.send_window = send_window
        self.receive_limit = self.receive_window = receive_window
        # Items that have arrived and were not taken, and how much of the pool each holds.
        self.items: deque[tuple[bytes, int]] = deque()
        self.held = 0  # what they cost
        self.ended = False  # there will be no more of them
        self.arriving: Arrival | None = None
        self.sending: Sending | None = None


class Sending:
    """A large payload on its way out."""

    __slots__ = ("begun", "flow", "rest", "sent")

    def __init__(self, flow: Flow, data: bytes, sent: Callable[[], None], begun: bool) -> None:
        self.flow = flow
        self.begun = begun  # the frame that announces it is out
        self.rest = memoryview(data)
        self.sent = sent


class Arrival:
    """A large payload on its way in."""

    __slots__ = ("admitted", "complete", "data", "discarded", "flow", "got", "queued", "size")

    def __init__(self, flow: Flow, size: int, complete: Complete) -> None:
        self.flow = flow
        self.size = size
        self.got = 0
        self.data = bytearray()
        self.queued = False  # it waits for room
        self.admitted = False  # the pool has room for all of it
        self.discarded = False  # nobody wants it any more; it is counted and dropped
        self.complete = complete


class Outbox:
    """What waits to be sent: small frames in order, and behind them chunks of payloads in turn."""

    def __init__(self) -> None:
        self.window = 0  # what may be sent in chunks over all calls
        self.small: deque[Any] = deque()
        self._large: deque[Sending] = deque()

    def put(self, frame: Any) -> None:
        """Add a small frame."""
        self.small.append(frame)

    def put_payload(self, flow: Flow, data: bytes, sent: Callable[[], None]) -> None:
        """Add a large payload, whose frame is already there. `sent` is called when it is out."""
        flow.sending = Sending(flow, data, sent, begun=True)
        self._large.append(flow.sending)

    def put_item(self, flow: Flow, data: bytes, sent: Callable[[], None]) -> None:
        """Add an item, when the one before is out. `sent` is called when this one is."""
        flow.sending = Sending(flow, data, sent, begun=False)
        self._large.append(flow.sending)

    def drop_payload(self, flow: Flow) -> None:
        """Forget what is left of a call's payload."""
        if flow.sending is not None:
            self._large.remove(flow.sending)
            flow.sending = None

    def busy(self) -> bool:
        """Whether there is anything to send, even if there is no room for it now."""
        return bool(self.small or self._large)

    def get(self) -> Any | None:
        """The next frame to send, or None if there is none for now."""
        return self.small.popleft() if self.small else self._chunk()

    def _chunk(self) -> Any | None:
        for sending in self._large:
            window = min(sending.flow.send_window, self.window)
            if not sending.begun and window > 0:
                return self._begin(sending)
            if sending.begun and window >= MIN_COST:
                return self._cut(sending, window)
        return None

    def _begin(self, sending: Sending) -> Any:
        """An item, or the announcement of a large one."""
        sending.begun = True
        size = len(sending.rest)
        if size > INLINE:
            self._spend(sending.flow, MIN_COST)
            return frames.frame("item", frames.Item(payload_size=size), sending.flow.id)
        item = frames.Item(payload=bytes(sending.rest))
        self._spend(sending.flow, max(size, MIN_COST))
        self._large.remove(sending)
        self._over(sending)
        return frames.frame("item", item, sending.flow.id)

    def _spend(self, flow: Flow, cost: int) -> None:
        flow.send_window -= cost
        self.window -= cost

    def _over(self, sending: Sending) -> None:
        sending.flow.sending = None
        sending.sent()

    def _cut(self, sending: Sending, window: int) -> Any:
        """A chunk of a payload, which then goes behind the others."""
        size = min(len(sending.rest), INLINE, window)
        self._spend(sending.flow, max(size, MIN_COST))
        chunk = frames.Chunk(data=bytes(sending.rest[:size]))
        sending.rest = sending.rest[size:]
        self._large.remove(sending)
        if sending.rest:
            self._large.append(sending)
        else:
            self._over(sending)
        return frames.frame("chunk", chunk, sending.flow.id)


class Inbox:
    """What large payloads arrive in."""

    def __init__(self, outbox: Outbox, link_window: int, pool: int) -> None:
        self._outbox = outbox
        self._link_window = link_window
        self._window = link_window  # what the peer may still send in chunks
        self._returned = 0  # received since the last credit for the link
        self._free = pool
        self._waiting: deque[Arrival] = deque()

    def expect(self, flow: Flow, size: int, complete: Complete) -> None:
        """Receive a large payload; `complete` is called with it. Its room is held until freed.

        If it is given up meanwhile, `complete` is called with None, and no room is held.
        """
        flow.arriving = Arrival(flow, size, complete)
        self._queue(flow.arriving)

    def item(self, flow: Flow | None, data: bytes, size: int) -> None:
        """Take an item, of no flow if its call is over; `size` announces a large one instead.

        Raises ProtocolError.
        """
        cost = max(len(data), MIN_COST)
        if self._window <= 0:
            raise ProtocolError("it sent more than the link's window")
        self._window -= cost
        self._return(cost)
        if flow is None:
            return
        if flow.arriving is not None or flow.ended:
            raise ProtocolError(f"an item for call {flow.id}, which awaits none")
        if flow.receive_window <= 0:
            raise ProtocolError(f"it sent more than the window of call {flow.id}")
        flow.receive_window -= cost
        if size:
            self._expect_item(flow, size)
        else:
            self._arrived(flow, data, 0)

    def _expect_item(self, flow: Flow, size: int) -> None:
        def complete(data: bytes | None) -> None:
            if data is not None:
                self._arrived(flow, data, size if arrival.queued else 0)

        arrival = flow.arriving = Arrival(flow, size, complete)

    def _arrived(self, flow: Flow, data: bytes, pooled: int) -> None:
        flow.items.append((data, pooled))
        flow.held += 0 if pooled else max(len(data), MIN_COST)

    def take(self, flow: Flow) -> bytes | None:
        """The next item; None if there is none yet, and then a large one is made room for."""
        if not flow.items:
            if flow.arriving is not None:
                self._queue(flow.arriving)
            return None
        data, pooled = flow.items.popleft()
        flow.held -= 0 if pooled else max(len(data), MIN_COST)
        if pooled:
            self.free(pooled)
        owed = flow.receive_limit - flow.held - flow.receive_window
        if flow.arriving is None and not flow.ended and owed >= flow.receive_limit // 2:
            flow.receive_window += owed
            self._outbox.put(frames.credit(owed, flow.id))
        return data

    def drop(self, flow: Flow) -> None:
        """Forget the items that nobody will take, and whatever comes of the one on its way."""
        for _, pooled in flow.items:
            self.free(pooled)
        flow.items.clear()
        self.give_up(flow)

    def _queue(self, arrival: Arrival) -> None:
        if not arrival.queued:
            arrival.queued = True
            self._waiting.append(arrival)
            self._admit()

    def free(self, size: int) -> None:
        """Give back the room of a payload that was received."""
        self._free += size
        self._admit()

    def give_up(self, flow: Flow) -> None:
        """Drop what arrives for a call. It gets credit all the same: the peer has no way to stop."""
        arrival = flow.arriving
        if arrival is None or arrival.discarded:
            return
        arrival.discarded = True
        arrival.data = bytearray()
        if arrival.admitted:
            self.free(arrival.size)
            return
        if arrival.queued:
            self._waiting.remove(arrival)
        arrival.queued = True
        self._credit_rest(arrival)

    def chunk(self, flow: Flow | None, data: bytes) -> None:
        """Take one chunk; of no flow if its call is over. Raises ProtocolError."""
        if not 0 < len(data) <= INLINE:
            raise ProtocolError(f"a chunk of {len(data)} bytes")
        cost = max(len(data), MIN_COST)
        self._window -= cost
        if self._window < 0:
            raise ProtocolError("it sent more than the link's window")
        self._return(cost)
        if flow is not None:
            self._take(flow, data, cost)

    def _take(self, flow: Flow, data: bytes, cost: int) -> None:
        arrival = flow.arriving
        if arrival is None:
            raise ProtocolError(f"a chunk for call {flow.id}, which awaits none")
        flow.receive_window -= cost
        if flow.receive_window < 0:
            raise ProtocolError(f"it sent more than the window of call {flow.id}")
        arrival.got += len(data)
        if arrival.got > arrival.size:
            raise ProtocolError(f"more bytes for call {flow.id} than it announced")
        if not arrival.discarded:
            arrival.data += data
        if arrival.got == arrival.size:
            flow.arriving = None
            arrival.complete(None if arrival.discarded else bytes(arrival.data))

    def _admit(self) -> None:
        """Give room to those who wait for it, first come first served."""
        while self._waiting and self._waiting[0].size <= self._free:
            arrival = self._waiting.popleft()
            self._free -= arrival.size
            arrival.admitted = True
            self._credit_rest(arrival)

    def _credit_rest(self, arrival: Arrival) -> None:
        # One MIN_COST more, because the last chunk may cost more than its bytes.
        missing = arrival.size - arrival.got + MIN_COST - arrival.flow.receive_window
        if missing > 0:
            arrival.flow.receive_window += missing
            self._outbox.put(frames.credit(missing, arrival.flow.id))

    def _return(self, cost: int) -> None:
        self._returned += cost
        if self._returned >= self._link_window // 2:
            self._window += self._returned
            self._outbox.put(frames.credit(self._returned))
            self._returned = 0
