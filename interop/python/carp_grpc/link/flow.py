"""Large payloads on a link: cut into chunks, under windows, in turn, in bounded memory.

A payload of more than `INLINE` bytes follows its frame in chunks. Each direction of a call has a
window of bytes, and so has the link; a chunk needs room in both. The receiver gives the windows
back as credit: the link's as chunks arrive, the call's once, for all of the payload, when the
`Pool` has room for all of it. So payloads that are half there cannot block each other.

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
    """The windows and large payloads of one call."""

    __slots__ = ("arriving", "id", "receive_window", "send_window", "sending")

    def __init__(self, id: int, send_window: int, receive_window: int) -> None:
        self.id = id
        self.send_window = send_window
        self.receive_window = receive_window
        self.arriving: Arrival | None = None
        self.sending: Sending | None = None


class Sending:
    """A large payload on its way out."""

    __slots__ = ("flow", "rest", "sent")

    def __init__(self, flow: Flow, data: bytes, sent: Callable[[], None]) -> None:
        self.flow = flow
        self.rest = memoryview(data)
        self.sent = sent


class Arrival:
    """A large payload on its way in."""

    __slots__ = ("admitted", "complete", "data", "discarded", "flow", "got", "size")

    def __init__(self, flow: Flow, size: int, complete: Complete) -> None:
        self.flow = flow
        self.size = size
        self.got = 0
        self.data = bytearray()
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
        flow.sending = Sending(flow, data, sent)
        self._large.append(flow.sending)

    def drop_payload(self, flow: Flow) -> None:
        """Forget what is left of a call's payload."""
        if flow.sending is not None:
            self._large.remove(flow.sending)
            flow.sending = None

    def get(self) -> Any | None:
        """The next frame to send, or None if there is none for now."""
        return self.small.popleft() if self.small else self._chunk()

    def _chunk(self) -> Any | None:
        for sending in self._large:
            window = min(sending.flow.send_window, self.window)
            if window >= MIN_COST:
                return self._cut(sending, window)
        return None

    def _cut(self, sending: Sending, window: int) -> Any:
        """A chunk of a payload, which then goes behind the others."""
        size = min(len(sending.rest), INLINE, window)
        cost = max(size, MIN_COST)
        sending.flow.send_window -= cost
        self.window -= cost
        chunk = frames.Chunk(data=bytes(sending.rest[:size]))
        sending.rest = sending.rest[size:]
        self._large.remove(sending)
        if sending.rest:
            self._large.append(sending)
        else:
            sending.flow.sending = None
            sending.sent()
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
        self._waiting.append(flow.arriving)
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
        self._waiting.remove(arrival)
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
