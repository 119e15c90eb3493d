"""Calls whose last argument is an iterator: its values are sent one by one, while the call is on.

The first message of such a call has the other arguments, each that follows has one value; see the
protocol's "Streams of plain functions". The next value is asked for when the one before is on its way,
so a host that does not read holds the iterator up. The call may end before the iterator does: then it
is closed, if it can be, as soon as it gives its next value.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc

from .. import codecs, errors
from .messages import Outgoing, Refused, Request, Response
from .sessions import TaskPending, TaskSession, ThreadPending, ThreadSession, check_no_loop, time_left

if TYPE_CHECKING:
    from ..options import Options
    from .tasks import AioLink
    from .threads import Link

_END: Any = object()


def given(args: tuple[Any, ...]) -> bool:
    """Whether a call's last argument is a stream of values."""
    return bool(args) and isinstance(args[-1], (Iterator, AsyncIterator))


def prepare(link: Any, path: str, options: Options, args: Any, kwargs: Any) -> tuple[Request, bytes]:
    """The call without its stream, and the first of its messages. Raises EncodeError."""
    if options.one_way:
        raise errors.EncodeError(f"{path}: a one-way call has no time for a stream of values")
    request: Request = link._core.request(path, options, args[:-1], kwargs)
    first, request.payload = request.payload, b""
    request.streaming = True
    return request, first


def check_values(args: tuple[Any, ...]) -> None:
    """Raise TypeError if nobody would await the values."""
    if not isinstance(args[-1], Iterator):
        raise TypeError("values that are awaited are for an AioLink or AioClient")


def _encoder(link: Any, request: Request) -> Callable[[Any], bytes]:
    encode = codecs.lookup(request.codec).encode_item
    return lambda value: link._core.passing.encode_result(encode, value)


class Feeder:
    """Sends the values of an iterator, from a thread of its own: the iterator may take its time."""

    def __init__(
        self, link: Link, session: ThreadSession, call: Outgoing, first: bytes, values: Any
    ) -> None:
        self._link = link
        self._session = session
        self._call = call
        self._first = first
        self._values = values
        self._encode = _encoder(link, call.owner.request)

    def start(self) -> None:
        """Begin. What the iterator raises, the call ends with."""
        scope = contextvars.copy_context()
        run = threading.Thread(
            target=scope.run, args=(self._run,), name="carp-link-values", daemon=True
        )
        run.start()

    def _run(self) -> None:
        changed, wire = self._link._changed, self._session.wire
        try:
            more = self._send(self._first)
            while more:
                value = next(self._values, _END)
                if value is _END:
                    break
                more = self._send(self._encode(value))
            with changed:
                if more and self._wait():
                    wire.end_items(self._call)
                    changed.notify_all()
        except BaseException as error:  # noqa: BLE001  # whoever waits for the call gets it
            self._fail(error)
        finally:
            with contextlib.suppress(Exception):
                getattr(self._values, "close", _nothing)()

    def _send(self, data: bytes) -> bool:
        """Send a message when the one before is on its way; False if the call is over."""
        changed = self._link._changed
        with changed:
            if not self._wait():
                return False
            try:
                self._session.wire.send_item(self._call, data, changed.notify_all)
            except Refused as error:
                path = self._call.owner.request.method
                raise self._link._core.failure(error.code, str(error), path) from None
            changed.notify_all()
        return True

    def _wait(self) -> bool:
        while self._open() and self._call.flow.sending is not None:
            self._link._changed.wait()
        return self._open()

    def _open(self) -> bool:
        call, session = self._call, self._session
        known = session.wire.calls.get(call.flow.id) is call
        return known and not call.cancelled and not session.ended

    def _fail(self, error: BaseException) -> None:
        with self._link._changed:
            if self._open():
                self._call.owner.fail(error)
                self._link._cancel(self._session, self._call)


def call(link: Link, path: str, options: Options, args: Any, kwargs: Any) -> Any:
    """Make a call with a stream of values, and return its result or raise its error."""
    link._core.check()
    check_no_loop()
    check_values(args)
    request, first = prepare(link, path, options, args, kwargs)
    deadline = None if options.timeout is None else time.monotonic() + options.timeout
    pending = ThreadPending(request)
    try:
        session, outgoing = link._begin(request, pending, options, deadline)
        feed(link, session, outgoing, first, args[-1])
        try:
            answered = pending.event.wait(time_left(deadline))
        except BaseException:  # an interrupt from the keyboard, for example
            link._cancel(session, outgoing)
            raise
        if not answered:
            link._cancel(session, outgoing)
            late = grpc.StatusCode.DEADLINE_EXCEEDED
            raise link._core.failure(late, f"no answer within {options.timeout} s", path)
        if pending.error is not None:
            raise pending.error
        assert pending.response is not None
        return link._core.outcome(request, pending.response)
    finally:
        link._core.passing.end(request.lent, ())


def feed(
    link: Link, session: ThreadSession, outgoing: Outgoing, first: bytes, values: Any
) -> None:
    """Send a call's messages from now on."""
    Feeder(link, session, outgoing, first, values).start()


async def acall(link: AioLink, path: str, options: Options, args: Any, kwargs: Any) -> Any:
    """`call`, for an AioLink."""
    link._core.check()
    request, first = prepare(link, path, options, args, kwargs)
    work = _answer(link, request, options, first, args[-1])
    try:
        outcome = await asyncio.wait_for(work, options.timeout)
    except asyncio.TimeoutError:
        text = f"no answer within {options.timeout} s"
        raise link._core.failure(grpc.StatusCode.DEADLINE_EXCEEDED, text, path) from None
    finally:
        link._core.passing.end(request.lent, ())
    if isinstance(outcome, BaseException):
        raise outcome
    return link._core.outcome(request, outcome)


async def _answer(
    link: AioLink, request: Request, options: Options, first: bytes, values: Any
) -> Response | BaseException:
    session = await link._room(options, request.method)
    pending = TaskPending(request)
    try:
        outgoing = session.wire.call(request, pending)
    except Refused as error:
        raise link._core.failure(error.code, str(error), request.method) from None
    link._send(session)
    feeding = afeed(link, session, outgoing, first, values)
    try:
        return await pending.response
    except asyncio.CancelledError:
        link._cancel(session, outgoing)
        raise
    except BaseException as error:  # noqa: BLE001  # a TimeoutError of its own is no timeout here
        return error
    finally:
        feeding.cancel()


def afeed(
    link: AioLink, session: TaskSession, outgoing: Outgoing, first: bytes, values: Any
) -> asyncio.Task[None]:
    """`feed`, by a task, which ends with the call, and is to be cancelled with it."""
    task = asyncio.ensure_future(_afeed(link, session, outgoing, first, values))
    outgoing.owner.response.add_done_callback(lambda _: task.cancel())
    return task


async def _afeed(
    link: AioLink, session: TaskSession, outgoing: Outgoing, first: bytes, values: Any
) -> None:
    free = asyncio.Event()
    encode = _encoder(link, outgoing.owner.request)

    async def send(data: bytes) -> None:
        if outgoing.cancelled:
            raise asyncio.CancelledError
        free.clear()
        try:
            session.wire.send_item(outgoing, data, free.set)
        except Refused as error:
            path = outgoing.owner.request.method
            raise link._core.failure(error.code, str(error), path) from None
        link._send(session)
        await free.wait()

    iterator = values if isinstance(values, AsyncIterator) else _bridged(values)
    try:
        await send(first)
        async for value in iterator:
            await send(encode(value))
        session.wire.end_items(outgoing)
        link._send(session)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001  # whoever waits for the call gets it
        outgoing.owner.fail(error)
        link._cancel(session, outgoing)
    finally:
        with contextlib.suppress(Exception):
            await getattr(iterator, "aclose", _anothing)()


async def _bridged(values: Iterator[Any]) -> AsyncIterator[Any]:
    """The values of an iterator that may block, from a thread beside the loop.

    Not one of the loop's own, for whose end a program waits.
    """
    loop, scope = asyncio.get_running_loop(), contextvars.copy_context()
    wanted: queue.SimpleQueue[asyncio.Future[Any] | None] = queue.SimpleQueue()
    arguments = (_draw, loop, wanted, values)
    threading.Thread(
        target=scope.run, args=arguments, name="carp-link-values", daemon=True
    ).start()
    try:
        while True:
            drawn: asyncio.Future[Any] = loop.create_future()
            wanted.put(drawn)
            if (value := await drawn) is _END:
                return
            yield value
    finally:
        wanted.put(None)


def _draw(
    loop: asyncio.AbstractEventLoop,
    wanted: queue.SimpleQueue[asyncio.Future[Any] | None],
    values: Any,
) -> None:
    while (drawn := wanted.get()) is not None:
        try:
            settle = functools.partial(_settle, drawn, next(values, _END), None)
        except BaseException as error:  # noqa: BLE001  # whoever waits for the call gets it
            settle = functools.partial(_settle, drawn, None, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle)
    with contextlib.suppress(Exception):
        getattr(values, "close", _nothing)()


def _settle(drawn: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if drawn.done():
        return
    if error is None:
        drawn.set_result(value)
    else:
        drawn.set_exception(error)


def _nothing() -> None:
    pass


async def _anothing() -> None:
    pass
