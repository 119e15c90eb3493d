"""The protocol of carp.v1.Peer/Link as a state machine, without threads, loops or sockets.

Frames of the peer go into `Wire.receive`, which returns what they mean; frames to send come out
of `Wire.take`. The owner calls all methods under one lock, or on one event loop, and never while
it waits. carpgo/v1/carp.proto is the protocol's reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from . import frames
from .flow import INLINE, MAX_WINDOW, Flow, Inbox, Outbox, ProtocolError
from .messages import (
    Announced,
    Answered,
    Called,
    Cancelled,
    Event,
    Incoming,
    Left,
    Limits,
    Opened,
    Outgoing,
    Refused,
    Released,
    Request,
    Response,
    read_limits,
    read_response,
    write_limits,
    write_response,
)

VERSION = 1
STREAMS = "streams"  # this end serves calls with items
_KNOWN_FEATURES: frozenset[str] = frozenset()


class Wire:
    """One end of a link.

    Args:
        host_id, nonce, label, agent: what this end says of itself; see Hello in carp.proto.
        limits: what this end takes.
        opened: this end opened the stream.
    """

    def __init__(
        self,
        host_id: str,
        nonce: bytes,
        label: str,
        agent: str,
        limits: Limits,
        *,
        opened: bool = True,
    ) -> None:
        self.limits = limits
        self.peer: Any = None  # its Hello
        self.peer_limits = Limits()
        self.calls: dict[int, Outgoing] = {}
        self.serving: dict[int, Incoming] = {}
        self.left: str | None = None  # why the peer takes no more calls
        self.leaving = False
        self.added = False  # taking a message has added credit to send
        self.asked = 0  # pings that followed announcements
        self.heard = 0  # the last of them that was answered
        self._next_id = 1 if opened else 2
        self._last_id = 0  # of the peer's latest call
        self._outbox = Outbox()
        self._inbox = Inbox(self._outbox, limits.link_window, limits.pool)
        self._events: list[Event] = []
        self._takers: dict[str | None, Callable[[int, Any], None]] = {
            "hello": self._take_hello,
            "exports": self._take_exports,
            "call": self._take_call,
            "reply": self._take_reply,
            "chunk": self._take_chunk,
            "credit": self._take_credit,
            "item": self._take_item,
            "end": self._take_end,
            "cancel": self._take_cancel,
            "release": self._take_release,
            "ping": self._take_ping,
            "pong": self._take_pong,
            "goaway": self._take_goaway,
        }
        hello = frames.Hello(
            min_version=VERSION,
            max_version=VERSION,
            host_id=host_id,
            nonce=nonce,
            label=label,
            agent=agent,
            limits=write_limits(limits),
            features=[STREAMS],
        )
        self._hello: Any = frames.frame("hello", hello)

    # What there is to send.

    def take(self) -> Any | None:
        """The next frame to send, or None while there is none."""
        if self._hello is not None:
            hello, self._hello = self._hello, None
            return hello
        if self.peer is None:  # nothing but a Hello goes out before the peer's is here
            return None
        frame: Any = self._outbox.get()
        kind = None if frame is None else frame.WhichOneof("kind")
        if kind == "call":
            call = self.calls.get(frame.id)
            if call is not None:
                call.started = True
        elif kind == "reply" and not frame.reply.payload_size:
            # Only now, so that what waits for a peer that does not read is bounded by its calls.
            self.serving.pop(frame.id, None)
        return frame

    def busy(self) -> bool:
        """Whether it is worth a try to take a frame."""
        return self._hello is not None or (self.peer is not None and self._outbox.busy())

    def backlog(self) -> int:
        """How many small frames wait to be sent."""
        return len(self._outbox.small)

    def most_backlog(self) -> int:
        """How many may wait at most if the peer reads what it is sent."""
        return 1024 + 4 * (self.limits.max_calls + self.peer_limits.max_calls)

    # What this end wants.

    def full(self) -> bool:
        """Whether the peer would refuse one more call now."""
        return len(self.calls) >= self.peer_limits.max_calls

    def call(self, request: Request, owner: Any) -> Outgoing:
        """Make a call. Raises Refused."""
        if self.left is not None:
            raise Refused(grpc.StatusCode.UNAVAILABLE, f"the host takes no more calls: {self.left}")
        call = frames.Call(
            method=request.method,
            codec=request.codec,
            instance=request.instance,
            one_way=request.one_way,
            streaming=request.streaming,
            takes_items=request.takes_items,
        )
        if (request.streaming or request.takes_items) and STREAMS not in self.peer.features:
            text = "the host is an older one and serves no streams on links"
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, text)
        if request.timeout is not None:
            call.timeout_ns = max(1, int(request.timeout * 1e9))
        exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
        if frames.add_metadata(call.metadata, request.metadata) > self.peer_limits.max_metadata:
            most = self.peer_limits.max_metadata
            raise Refused(exhausted, f"the metadata is larger than the {most} bytes the host takes")
        if len(request.payload) > self.peer_limits.max_payload:
            size, most = len(request.payload), self.peer_limits.max_payload
            raise Refused(exhausted, f"the request has {size} bytes, the host takes at most {most}")
        outgoing = Outgoing(self._flow(self._next_id), owner, request.takes_items)
        self._next_id += 2
        self.calls[outgoing.flow.id] = outgoing
        self._put(call, "call", outgoing.flow, request.payload, lambda: None)
        return outgoing

    def cancel(self, call: Outgoing) -> None:
        """Give up a call to the peer. It is in flight until the peer has answered all the same."""
        self._inbox.drop(call.flow)
        call.cancelled = True
        if self.calls.get(call.flow.id) is not call:
            return
        self._outbox.drop_payload(call.flow)
        self._outbox.put(frames.frame("cancel", frames.Cancel(), call.flow.id))

    def reply(self, call: Incoming, response: Response) -> None:
        """Answer a call of the peer. Only the first answer to a call has an effect."""
        if call.answered:
            return
        call.answered = True
        self._inbox.drop(call.flow)
        self._outbox.drop_payload(call.flow)  # an item that the caller no longer wants
        try:
            reply, size = write_response(response)
        except Exception as error:  # noqa: BLE001  # what the function gave is not what it must be
            text = f"what the function answered with cannot be sent: {error}"
            response = Response(grpc.StatusCode.INTERNAL, text)
            reply, size = write_response(response)
        payload, text = response.payload, ""
        if len(payload) > (most := self.peer_limits.max_payload):
            text = f"the reply has {len(payload)} bytes, the caller takes at most {most}"
        elif size > (most := self.peer_limits.max_metadata):
            text = f"the reply's metadata counts {size} bytes, the caller takes at most {most}"
        if text:
            reply = frames.Reply(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message=text)
            payload = b""

        self._put(
            reply, "reply", call.flow, payload, lambda: self.serving.pop(call.flow.id, None)
        )

    def end_items(self, call: Outgoing) -> None:
        """Tell the peer that the last request message of a call is out."""
        self._outbox.put(frames.frame("end", frames.End(), call.flow.id))

    def send_item(self, call: Incoming | Outgoing, data: bytes, sent: Callable[[], None]) -> None:
        """Send a message of a call that has many; `sent` is called when it is out.

        Before that, none may follow, nor the end or reply, unless the item is no longer wanted.
        Raises Refused.
        """
        if len(data) > (most := self.peer_limits.max_payload):
            text = f"the message has {len(data)} bytes, the peer takes at most {most}"
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._outbox.put_item(call.flow, data, sent)

    def next_item(self, call: Incoming | Outgoing) -> bytes | None:
        """The peer's next message of a call that has many, or None if it is not there yet."""
        waiting = self.backlog()
        data = self._inbox.take(call.flow)
        self.added = self.added or self.backlog() > waiting
        return data

    def free(self, call: Incoming) -> None:
        """The payload of a call of the peer is no longer used."""
        if call.held:
            held, call.held = call.held, 0
            self._inbox.free(held)

    def announce(self, exports: Any) -> None:
        """Tell the peer what this end exports."""
        self._outbox.put(frames.frame("exports", exports))
        if self.peer is not None and self.peer.session:
            self._ask()

    def _ask(self) -> None:
        """Have the peer say when it has heard what was sent so far."""
        self.asked += 1
        self._outbox.put(frames.frame("ping", frames.Ping(token=self.asked)))

    def release(self, ids: Iterable[str]) -> None:
        """Give back references to the peer's objects, one for each id."""
        release = frames.Release()
        for id in ids:
            release.objects.add(id=id, count=1)
        self._outbox.put(frames.frame("release", release))

    def leave(self, reason: str) -> None:
        """Tell the peer that this end takes no more calls."""
        if not self.leaving:
            self.leaving = True
            goaway = frames.Goaway(last_id=self._last_id, reason=reason)
            self._outbox.put(frames.frame("goaway", goaway))

    def _flow(self, id: int) -> Flow:
        return Flow(id, self.peer_limits.call_window, self.limits.call_window)

    def _put(self, head: Any, kind: str, flow: Flow, payload: bytes, sent: Any) -> None:
        """Queue the frame of a call or reply, and its payload with or behind it.

        `sent` is called when a payload behind the frame is out.
        """
        if len(payload) <= INLINE:
            head.payload = payload
            self._outbox.put(frames.frame(kind, head, flow.id))
        else:
            head.payload_size = len(payload)
            self._outbox.put(frames.frame(kind, head, flow.id))
            self._outbox.put_payload(flow, payload, sent)

    # What the peer says.

    def receive(self, frame: Any) -> list[Event]:
        """Take a frame of the peer and tell what it means. Raises ProtocolError."""
        self._events = []
        kind = frame.WhichOneof("kind")
        if kind != "hello" and self.peer is None:
            raise ProtocolError("its first frame is not a hello")
        take = self._takers.get(kind)
        if take is not None:  # other kinds are of a newer version, or of no concern here
            take(frame.id, getattr(frame, kind))
        return self._events

    def _take_hello(self, id: int, hello: Any) -> None:
        if self.peer is not None:
            raise ProtocolError("a second hello")
        if hello.min_version > VERSION or hello.max_version < VERSION:
            raise ProtocolError(
                f"no common version: the host speaks {hello.min_version} to {hello.max_version}, "
                f"this end {VERSION}"
            )
        unknown = set(hello.required_features) - _KNOWN_FEATURES
        if unknown:
            raise ProtocolError(f"the host requires what this end lacks: {sorted(unknown)}")
        self.peer = hello
        self.peer_limits = read_limits(hello.limits)
        self._outbox.window = self.peer_limits.link_window
        if hello.session:
            self._ask()
        self._events.append(Opened(hello))

    def _take_exports(self, id: int, exports: Any) -> None:
        self._events.append(Announced(exports))

    def _take_release(self, id: int, release: Any) -> None:
        self._events.append(Released(tuple((o.id, o.count) for o in release.objects)))

    def _take_release_call(self, id: int, payload: bytes) -> None:
        """A release that wants to be answered."""
        try:
            self._take_release(id, frames.ReleaseRequest.FromString(payload))
        except DecodeError as error:
            raise ProtocolError(f"a release that is malformed: {error}") from None
        self._outbox.put(frames.frame("reply", frames.Reply(), id))

    def _take_ping(self, id: int, ping: Any) -> None:
        self._outbox.put(frames.frame("pong", frames.Pong(token=ping.token)))

    def _take_pong(self, id: int, pong: Any) -> None:
        self.heard = max(self.heard, min(pong.token, self.asked))

    def _take_call(self, id: int, call: Any) -> None:
        if call.streaming and (call.payload or call.payload_size):
            raise ProtocolError(f"a payload with call {id}, whose messages are items")
        if id <= self._last_id or id % 2 == self._next_id % 2:
            raise ProtocolError(f"a call with the id {id} after {self._last_id}")
        if len(call.payload) > INLINE or (call.payload and call.payload_size):
            raise ProtocolError(f"a payload of {len(call.payload)} bytes in one frame")
        self._last_id = id
        if call.method == frames.RELEASE and not call.payload_size:
            self._take_release_call(id, call.payload)
            return
        refusal = self._refusal(call)
        if refusal is not None:
            reply = frames.Reply(code=refusal.code.value[0], message=refusal.message)
            self._outbox.put(frames.frame("reply", reply, id))
            return
        request = Request(
            method=call.method,
            codec=call.codec or "proto",
            payload=call.payload,
            metadata=frames.read_metadata(call.metadata),
            timeout=call.timeout_ns / 1e9 if call.timeout_ns else None,
            instance=call.instance,
            one_way=call.one_way,
            streaming=call.streaming,
            takes_items=call.takes_items,
        )
        incoming = self.serving[id] = Incoming(self._flow(id), request)
        if not call.payload_size:
            self._events.append(Called(incoming))
            return

        def complete(data: bytes | None) -> None:
            if data is not None:
                request.payload, incoming.held = data, len(data)
                self._events.append(Called(incoming))

        self._inbox.expect(incoming.flow, call.payload_size, complete)

    def _refusal(self, call: Any) -> Response | None:
        """Why a call of the peer is not taken."""
        limits, exhausted = self.limits, grpc.StatusCode.RESOURCE_EXHAUSTED
        if self.leaving:
            return Response(grpc.StatusCode.UNAVAILABLE, "this end is leaving and takes no calls")
        if len(self.serving) >= limits.max_calls:
            return Response(exhausted, f"{limits.max_calls} calls are in flight on this link")
        if frames.metadata_size(call.metadata) > limits.max_metadata:
            return Response(exhausted, f"the metadata is larger than {limits.max_metadata} bytes")
        if call.payload_size > limits.max_payload:
            size, most = call.payload_size, limits.max_payload
            return Response(exhausted, f"the request has {size} bytes, at most {most} are taken")
        return None

    def _take_item(self, id: int, item: Any) -> None:
        if len(item.payload) > INLINE or item.payload_size > MAX_WINDOW:
            raise ProtocolError(f"an item of {item.payload_size or len(item.payload)} bytes")
        if item.payload and item.payload_size:
            raise ProtocolError("an item with a payload before its payload")
        outgoing = self.calls.get(id)
        if outgoing is not None:
            self._take_reply_item(outgoing, item)
            return
        call = self.serving.get(id)
        if call is not None and not call.request.streaming:
            raise ProtocolError(f"an item for call {id}, which takes none")
        if call is None or item.payload_size <= self.limits.max_payload:
            flow = call.flow if call is not None else None
            self._inbox.item(flow, item.payload, item.payload_size)
            return
        size, most = item.payload_size, self.limits.max_payload
        text = f"a message of {size} bytes, at most {most} are taken"
        self._inbox.item(call.flow, b"", size)
        self.reply(call, Response(grpc.StatusCode.RESOURCE_EXHAUSTED, text))
        call.cancelled = True
        self._events.append(Cancelled(call))

    def _take_reply_item(self, call: Outgoing, item: Any) -> None:
        if not call.takes_items:
            raise ProtocolError(f"an item for call {call.flow.id}, which takes none")
        self._inbox.item(call.flow, item.payload, item.payload_size)
        if item.payload_size > (most := self.limits.max_payload):
            text = f"a message of {item.payload_size} bytes, this end takes at most {most}"
            call.failure = Response(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            self.cancel(call)

    def _take_end(self, id: int, end: Any) -> None:
        call = self.serving.get(id)
        if call is None:
            return
        if not call.request.streaming or call.flow.ended or call.flow.arriving is not None:
            raise ProtocolError(f"an end of call {id} that is none")
        call.flow.ended = True

    def _take_cancel(self, id: int, cancel: Any) -> None:
        call = self.serving.get(id)
        if call is None or call.answered:
            return
        call.cancelled = True
        if call.request.streaming:  # the rest of an item does not come
            self._inbox.drop(call.flow)
            call.flow.arriving = None
            call.flow.ended = True
        if call.flow.arriving is not None:  # nobody serves it yet, so nobody else will answer
            self.reply(call, Response(grpc.StatusCode.CANCELLED, "the caller cancelled the call"))
        else:
            self._events.append(Cancelled(call))

    def _take_reply(self, id: int, reply: Any) -> None:
        call = self.calls.get(id)
        if call is None:  # the peer's goaway has ended it
            return
        if call.takes_items:
            if reply.payload or reply.payload_size:
                raise ProtocolError(f"a payload in the reply to call {id}, which takes items")
            self._inbox.give_up(call.flow)  # of an item whose rest does not come
            call.flow.arriving = None
            call.flow.ended = True
        if call.flow.arriving is not None:
            raise ProtocolError(f"two replies to call {id}")
        if len(reply.payload) > INLINE or reply.payload_size > MAX_WINDOW:
            raise ProtocolError(f"a reply of {reply.payload_size or len(reply.payload)} bytes")
        self._outbox.drop_payload(call.flow)  # the rest of a request that was answered
        response = call.failure or read_response(reply, self.limits.max_metadata)
        size, most = reply.payload_size, self.limits.max_payload
        if not size:
            self._finish(call, response)
            return
        if size > most:
            text = f"the reply has {size} bytes, this end takes at most {most}"
            response = Response(grpc.StatusCode.RESOURCE_EXHAUSTED, text)

        def complete(data: bytes | None) -> None:
            if data is not None:
                self._inbox.free(len(data))
                response.payload = data
            self._finish(call, response)

        self._inbox.expect(call.flow, size, complete)
        if size > most:
            self._inbox.give_up(call.flow)

    def _finish(self, call: Outgoing, response: Response) -> None:
        del self.calls[call.flow.id]
        self._events.append(Answered(call, response))

    def _take_chunk(self, id: int, chunk: Any) -> None:
        call = self.calls.get(id) or self.serving.get(id)
        self._inbox.chunk(call.flow if call is not None else None, chunk.data)

    def _take_credit(self, id: int, credit: Any) -> None:
        if id == 0:
            self._outbox.window = _grown(self._outbox.window, credit.bytes)
            return
        call = self.calls.get(id) or self.serving.get(id)
        if call is not None:
            call.flow.send_window = _grown(call.flow.send_window, credit.bytes)

    def _take_goaway(self, id: int, goaway: Any) -> None:
        self.left = goaway.reason or "no reason given"
        untaken = tuple(c for c in self.calls.values() if c.flow.id > goaway.last_id)
        for call in untaken:
            del self.calls[call.flow.id]
            self._outbox.drop_payload(call.flow)
            self._inbox.give_up(call.flow)
        self._events.append(Left(self.left, untaken))


def _grown(window: int, more: int) -> int:
    if window + more > MAX_WINDOW:
        raise ProtocolError(f"credit beyond {MAX_WINDOW} bytes")
    return window + more
