"""One connection of a link, and one call over it, for threads and for tasks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc

from .messages import Incoming, Request, Response
from .serving import Bound
from .wire import Wire


class ThreadPending:
    """A call to the peer, and what became of it."""

    __slots__ = ("error", "event", "request", "response")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.event = threading.Event()
        self.response: Response | None = None
        self.error: BaseException | None = None

    def answer(self, response: Response) -> None:
        self.response = response
        self.event.set()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.event.set()


class Changed(threading.Condition):
    """The lock of a link, and news of everything that it guards.

    Who waits all the time hears only of what concerns it, because waking a thread in vain holds up
    those that have something to do: the thread that sends is woken when there is something to
    send, and whoever waits for `state` when a connection has come, or gone, or the link is closed.
    """

    def __init__(self) -> None:
        lock = threading.RLock()
        super().__init__(lock)
        self.state = threading.Condition(lock)
        self.session: ThreadSession | None = None  # the latest

    def notify_all(self) -> None:
        """Wake who waits for anything but the state. With the lock held."""
        super().notify_all()
        if self.session is not None:
            self.session.wake_sender()

    def notify_state(self) -> None:
        """Wake all who wait. With the lock held."""
        self.state.notify_all()
        self.notify_all()


class ThreadSession:
    """One connection of a link: its protocol state and its stream."""

    def __init__(self, wire: Wire, changed: Changed) -> None:
        self.wire = wire
        self.ended = False
        self.finishing = False  # there will be no more to send than there is
        self.stream: Any = None
        self.channel: Any = None
        self.over = threading.Event()  # nothing more will be read
        self.why: BaseException = EOFError()  # then
        self._callables: dict[str, Any] = {}
        self._changed = changed
        # The sender sleeps by acquiring what is held, which costs less than a condition.
        self._asleep = False
        self._sleep = threading.Lock()
        self._sleep.acquire()
        changed.session = self

    def callable(self, path: str) -> Any:
        """What grpcio calls a path with: made once, as making it costs as much as using it."""
        found = self._callables.get(path)
        if found is None:
            found = self._callables[path] = self.channel.unary_unary(path)
        return found

    def send_new(self) -> None:
        """Send what was added since the last time. With the lock held.

        Threads that wait for messages notify each other with this only when there is something:
        otherwise they would never sleep.
        """
        if self.wire.added:
            self.wire.added = False
            self._changed.notify_all()

    def wake_sender(self) -> None:
        """Wake the thread that sends if there is something to do. With the lock held."""
        if self._asleep and (self.ended or self.finishing or self.wire.busy()):
            self._asleep = False
            self._sleep.release()

    def outgoing(self) -> Iterator[bytes]:
        """The frames to send, for as long as the session lasts. Runs on a thread of grpcio's."""
        while True:
            with self._changed:
                frame = self.wire.take()
                if frame is None:
                    if self.ended or self.finishing:
                        return
                    self._asleep = True
                elif self.wire.leaving:
                    self._changed.notify_all()  # who closes the link waits for it to be idle
            if frame is None:
                self._sleep.acquire()
            else:
                yield frame.SerializeToString()


class TaskPending:
    """A call to the peer, and what becomes of it."""

    __slots__ = ("request", "response")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def answer(self, response: Response) -> None:
        if not self.response.done():
            self.response.set_result(response)

    def fail(self, error: BaseException) -> None:
        if not self.response.done():
            self.response.set_exception(error)


class TaskSession:
    """One connection of a link: its protocol state and its stream."""

    def __init__(self, wire: Wire, stream: Any, idle: Callable[[], Awaitable[None]]) -> None:
        self.wire = wire
        self.stream = stream
        self._idle = idle  # told, when the link is being closed, that less is to be sent
        self.more = asyncio.Event()  # there may be something to send
        self.finishing = False  # there will be no more than there is

    async def write(self) -> None:
        """Send frames until cancelled, or until the stream has ended, which the reader is told."""
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            while True:
                while (frame := self.wire.take()) is not None:
                    await self.stream.write(frame.SerializeToString())
                if self.wire.leaving:
                    await self._idle()
                if self.finishing:
                    await self.stream.done_writing()
                    return
                self.more.clear()
                await self.more.wait()


def time_left(deadline: float | None) -> float | None:
    """Seconds until a deadline."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def check_no_loop() -> None:
    """Raise RuntimeError inside a running event loop."""
    if asyncio._get_running_loop() is not None:  # which is for libraries, and does not raise
        raise RuntimeError("a Link blocks, and would block the event loop here: use AioLink")


def tell_gone(call: Incoming) -> None:
    """Tell a running function, or one about to run, that nobody waits for it any more."""
    call.cancelled = True
    if isinstance(call.owner, Bound):
        call.owner.context._cancel()
