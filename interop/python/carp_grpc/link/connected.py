"""What keeps a `Link` connected, reads what the host says, and serves its calls."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable
from typing import Any

import grpc

from .. import errors
from ..options import Options
from . import frames
from .core import Core, is_final
from .flow import ProtocolError
from .messages import (
    Answered,
    Called,
    Cancelled,
    Event,
    Incoming,
    Left,
    Limits,
    Opened,
    Released,
    Response,
    parsed,
)
from .objects import Returner
from .serving import Bound, no_message
from .sessions import Changed, ThreadSession, tell_gone
from .streams import ThreadMessages, run_for
from .workers import Workers

_log = logging.getLogger("carp_grpc")
_Code = grpc.StatusCode
_NO_THREADS = "the system has no more threads"


class Connected:
    """The half of a `Link` that looks to the host.

    One thread, the keeper, connects and waits for the connection to end. What the host sends is
    read by one of the workers, which runs no code of the user's: before it serves a call it hands
    the reading to another. So a call is served by the thread that has read it, and not one thread
    later.
    """

    _anonymous = False  # it is no host

    def __init__(
        self,
        target: str,
        label: str,
        credentials: grpc.ChannelCredentials | None,
        channel_options: Iterable[tuple[str, Any]],
        workers: int,
        limits: Limits | None,
        options: Options,
    ) -> None:
        self._returner = Returner(self._release)
        self._core = Core(
            target,
            label,
            channel_options,
            limits,
            options,
            self._invoke,
            self._returner.put,
            anonymous=self._anonymous,
        )
        self._credentials = credentials
        # Guards all that follows, the core and the sessions' wires; never held while waiting for
        # anything but itself, nor while foreign code runs.
        self._changed = Changed()
        self._session: ThreadSession | None = None
        self._connecting = True
        self._closed = False
        self._failure: BaseException | None = None  # of the latest attempt to connect
        self._workers = Workers(workers, f"carp-link-{self._core.label}")
        self._returner.start()
        self._keeper = threading.Thread(target=self._keep, name="carp-link", daemon=True)
        self._keeper.start()

    def _invoke(
        self, path: str, options: Options, args: Any, kwargs: Any, instance: str = ""
    ) -> Any:
        """Call the host, for objects and callbacks of it."""
        raise NotImplementedError

    def _release(self, id: str) -> None:
        """Give back a reference to an object of the host."""
        with self._changed:
            if self._session is not None and self._ready():
                self._session.wire.release((id,))
                self._changed.notify_all()

    def _ready(self) -> bool:
        return self._session is not None and self._session.wire.peer is not None

    def _check_open(self) -> None:
        if self._closed:
            if self._failure is not None and is_final(self._failure):
                raise self._failure
            raise ValueError(f"{self!r} is closed")

    # The connection.

    def _keep(self) -> None:
        """Keep the link connected until it is closed. Runs on a thread of its own."""
        if self._credentials is None:
            channel = grpc.insecure_channel(self._core.address, self._core.arguments)
        else:
            channel = grpc.secure_channel(
                self._core.address, self._credentials, self._core.arguments
            )
        with contextlib.closing(self._returner), contextlib.closing(channel):
            while True:
                failure = self._connect(channel)
                with self._changed:
                    if is_final(failure):
                        self._closed = True
                    self._failure = failure
                    self._connecting = False
                    self._changed.notify_state()
                    if self._changed.state.wait_for(lambda: self._closed, self._core.pause()):
                        return

    def _connect(self, channel: grpc.Channel) -> BaseException:
        """One connection, from beginning to end. Returns why it ended."""
        with self._changed:
            if self._closed:
                return ValueError("closed")
            session = ThreadSession(self._core.new_wire(), self._changed)
            session.channel = channel
            start: Any = channel.stream_stream(frames.PATH)
            session.stream = start(session.outgoing())
            self._session = session
        if self._workers.run(lambda: self._read(session)):
            session.over.wait()
        else:
            session.why = self._core.failure(_Code.UNAVAILABLE, _NO_THREADS, frames.PATH)
        session.stream.cancel()
        self._end(session, session.why)
        return session.why

    def _read(self, session: ThreadSession) -> None:
        """Take what the host sends, up to a call of it; then serve that, while another goes on."""
        while (call := self._next_call(session)) is not None:
            if self._workers.run(lambda: self._read(session)):
                try:
                    self._serve(session, call)
                finally:
                    self._workers.done()
                return
            self._workers.done()
            self._refuse(session, call, _NO_THREADS)

    def _next_call(self, session: ThreadSession) -> Incoming | None:
        """Take frames until one of them is a call to serve; None when the connection has ended."""
        why: BaseException = self._core.failure(
            _Code.UNAVAILABLE, "the host ended the link", frames.PATH
        )
        try:
            for data in session.stream:
                call = self._receive(session, parsed(data))
                if call is not None:
                    return call
        except grpc.RpcError as error:
            why = errors.from_rpc(error, self._core.target, frames.PATH)
        except Exception as error:  # noqa: BLE001  # whatever it is, the keeper waits to be told
            why = self._core.failure(_Code.INTERNAL, f"the host broke off: {error}", frames.PATH)
            if not isinstance(error, ProtocolError):
                _log.exception("%r: cannot read what the host sent", self)
        session.why = why
        session.over.set()
        return None

    def _end(self, session: ThreadSession, why: BaseException) -> None:
        """Forget a session: its calls fail, and those it serves are told."""
        with self._changed:
            session.ended = True
            self._session = None
            for call in session.wire.calls.values():
                call.owner.fail(self._core.lost(call, why))
            for incoming in session.wire.serving.values():
                tell_gone(incoming)
            self._returner.put(self._core.passing.holdings.clear().clear)
            self._changed.notify_state()

    def _receive(self, session: ThreadSession, frame: Any) -> Incoming | None:
        """Take a frame. Returns the call that is to be served, with a place for it, if it is one."""
        call: Incoming | None = None
        with self._changed:
            for event in session.wire.receive(frame):
                if isinstance(event, Called):  # no frame completes more than one
                    call = event.call
                else:
                    self._handle(session, event)
            if session.wire.backlog() > session.wire.most_backlog():
                raise ProtocolError("it sends, but does not read what it is sent")
            if call is not None and not self._workers.claim():
                self._refuse(session, call, "all threads that serve calls are busy")
                call = None
            self._changed.notify_all()
        return call

    def _handle(self, session: ThreadSession, event: Event) -> None:
        if isinstance(event, Answered):
            event.call.owner.answer(event.response)
        elif isinstance(event, Cancelled):
            tell_gone(event.call)
        elif isinstance(event, Released):
            # Not here, with the lock held, by the thread that reads: it may be what a `__del__` of
            # the user's waits for.
            self._returner.put(self._core.released(event).clear)
        elif isinstance(event, Opened):
            self._core.opened(event.hello)
            self._failure = None
            self._connecting = False
            self._changed.notify_state()
            _log.info("%r: connected to host %s", self, event.hello.label or event.hello.host_id)
        elif isinstance(event, Left):
            for call in event.untaken:
                why = f"the host takes no more calls: {event.reason}"
                failure = self._core.failure(_Code.UNAVAILABLE, why, call.owner.request.method)
                call.owner.fail(failure)

    # Calls of the host.

    def _refuse(self, session: ThreadSession, call: Incoming, why: str) -> None:
        with self._changed:
            session.wire.free(call)
            text = f"{why} in the Python process {self._core.label}"
            session.wire.reply(call, Response(_Code.RESOURCE_EXHAUSTED, text))
            self._changed.notify_all()

    def _serve(self, session: ThreadSession, call: Incoming) -> None:
        """Run one call of the host, on the thread that has read it."""
        messages = ThreadMessages(session, self._changed, call)
        if self._core.one_of_stream(call):
            try:
                call.request.payload = messages.first()
            except (errors.RemoteExecutionError, EOFError) as error:
                self._reply(session, call, no_message(error))
                return
        bound = self._core.bind(call, session.wire, messages)
        with self._changed:
            call.owner = bound
            if isinstance(bound, Bound):
                messages.bound = bound
            if call.cancelled:
                tell_gone(call)
            if call.held:
                session.wire.free(call)
                self._changed.notify_all()
        if isinstance(bound, Response):
            self._reply(session, call, bound)
            return
        if call.request.one_way:
            self._reply(session, call, Response())
        response = run_for(bound, messages)
        if not call.request.one_way:
            self._reply(session, call, response)

    def _reply(self, session: ThreadSession, call: Incoming, response: Response) -> None:
        with self._changed:
            session.wire.reply(call, response)
            self._changed.notify_all()
