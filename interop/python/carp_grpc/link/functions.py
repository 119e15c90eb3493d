"""The names that a host exports, as the links see them, and the streams that they give."""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from .. import codecs
from ..names import Name, path
from . import requests
from .messages import Outgoing
from .sessions import time_left

if TYPE_CHECKING:
    from typing_extensions import Self

    from .sessions import TaskSession, ThreadSession

__all__ = ["AioLinkFunction", "AioLinkStream", "LinkFunction", "LinkStream"]


class LinkFunction(Name[Any]):
    """A name exported by the host at the other end: call it, or go on to a name below it."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it over the link and wait for the result.

        If the last argument is an iterator, its values are a stream of the function's: a thread
        sends them one by one, as fast as they are taken. When the call ends before they do, the
        iterator is closed, if it has a `close`. What it raises, the call raises.

        Raises:
            RemoteExecutionError: the call did not end with a result, for whatever reason.
            EncodeError: an argument cannot travel.
            DecodeError: the result is malformed.
            RuntimeError: an event loop runs in this thread, which waiting would block.
        """
        if requests.given(args):
            return requests.call(self._owner, path(self._name), self._options, args, kwargs)
        return self._owner._invoke(path(self._name), self._options, args, kwargs)

    def stream(self, /, *args: Any, **kwargs: Any) -> LinkStream:
        """Call a function that gives a stream: an iterator over its values, as they come.

        It raises as calling does, when the call is made or while the values come.
        """
        owner, options = self._owner, self._options
        stream: LinkStream
        if not requests.given(args):
            request = owner._core.request(path(self._name), options, args, kwargs)
            request.takes_items = True
            stream = owner._open_stream(request, options)
            return stream
        requests.check_values(args)
        request, first = requests.prepare(owner, path(self._name), options, args, kwargs)
        request.takes_items = True
        stream = owner._open_stream(request, options)
        requests.feed(owner, stream._session, stream._call, first, args[-1])
        return stream


class AioLinkFunction(Name[Any]):
    """A name exported by the host at the other end: call it and await the call."""

    __slots__ = ()

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it over the link; awaiting gives the result.

        As `LinkFunction` does, it streams an iterator; here, it may be an asynchronous one.

        Raises:
            RemoteExecutionError: the call did not end with a result, for whatever reason.
            EncodeError: an argument cannot travel.
            DecodeError: the result is malformed.
        """
        if requests.given(args):
            return await requests.acall(self._owner, path(self._name), self._options, args, kwargs)
        return await self._owner._invoke(path(self._name), self._options, args, kwargs)

    async def stream(self, /, *args: Any, **kwargs: Any) -> AioLinkStream:
        """Call a function that gives a stream; awaiting gives an asynchronous iterator."""
        owner, options = self._owner, self._options
        stream: AioLinkStream
        if not requests.given(args):
            request = owner._core.request(path(self._name), options, args, kwargs)
            request.takes_items = True
            stream = await owner._open_stream(request, options)
            return stream
        request, first = requests.prepare(owner, path(self._name), options, args, kwargs)
        request.takes_items = True
        stream = await owner._open_stream(request, options)
        stream._feeding = requests.afeed(owner, stream._session, stream._call, first, args[-1])
        return stream


class _Stream:
    """What both kinds of stream do, under the owner's lock or in its loop."""

    def __init__(self, link: Any, session: ThreadSession | TaskSession, call: Outgoing) -> None:
        self._link = link
        self._wire = session.wire
        self._call = call
        self._request = call.owner.request
        self._over = False

    def _take(self) -> bytes | None:
        return self._wire.next_item(self._call)

    def _decoded(self, data: bytes) -> Any:
        decode = codecs.lookup(self._request.codec).decode_item
        return self._link._core.passing.decode(decode, data)

    def _ended(self) -> None:
        self._over = True
        self._link._core.passing.end(self._request.lent, ())
        self._request.lent = ()

    def _late(self) -> BaseException:
        failure: BaseException = self._link._core.failure(
            grpc.StatusCode.DEADLINE_EXCEEDED, "the stream has not ended", self._request.method
        )
        return failure


class LinkStream(_Stream):
    """The values that a function of the host gives: an iterator. For one thread.

    Leaving its `with` block, or dropping it, ends the call.
    """

    def __init__(
        self, link: Any, session: ThreadSession, call: Outgoing, deadline: float | None
    ) -> None:
        super().__init__(link, session, call)
        self._session: ThreadSession = session
        self._deadline = deadline
        cancel = functools.partial(link._cancel, session, call)
        self._dropped = weakref.finalize(self, link._returner.put, cancel)
        self._dropped.atexit = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            data = self._next()
            if data is not None:
                return self._decoded(data)
            self._finish()
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def _next(self) -> bytes | None:
        """The next value; None after the last one."""
        changed = self._link._changed
        with changed:
            while (data := self._take()) is None:
                if self._call.owner.event.is_set():
                    return None
                self._session.send_new()
                left = time_left(self._deadline)
                if left == 0:
                    raise self._late()
                changed.wait(left)
            self._session.send_new()
            return data

    def _finish(self) -> None:
        pending = self._call.owner
        if pending.error is not None:
            raise pending.error
        self._link._core.outcome(self._request, pending.response)

    def close(self) -> None:
        """End the call; the host learns of it. Does nothing when it is over."""
        if not self._over:
            self._ended()
            self._dropped.detach()
            self._link._cancel(self._session, self._call)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AioLinkStream(_Stream):
    """The values that a function of the host gives: an asynchronous iterator. For one task.

    Leaving its `async with` block, or dropping it, ends the call.
    """

    def __init__(
        self, link: Any, session: TaskSession, call: Outgoing, deadline: float | None
    ) -> None:
        super().__init__(link, session, call)
        self._session = session
        self._deadline = deadline
        self._stirred = asyncio.Event()
        call.stir = self._stirred.set
        call.owner.response.add_done_callback(functools.partial(_stir, call.stir))
        cancel = functools.partial(link._cancel, session, call)
        self._dropped = weakref.finalize(self, _call_soon, link._loop, cancel)
        self._dropped.atexit = False
        self._feeding: asyncio.Task[None] | None = None  # what sends the caller's values

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._over:
            raise StopAsyncIteration
        try:
            data = await self._next()
            if data is not None:
                return self._decoded(data)
            self._link._core.outcome(self._request, self._call.owner.response.result())
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopAsyncIteration

    async def _next(self) -> bytes | None:
        """The next value; None after the last one."""
        while (data := self._take()) is None:
            if self._call.owner.response.done():
                return None
            self._stirred.clear()
            self._link._send(self._session)  # taking may have made room for a large one
            left = None if self._deadline is None else self._deadline - self._link._loop.time()
            try:
                await asyncio.wait_for(self._stirred.wait(), left)
            except asyncio.TimeoutError:
                raise self._late() from None
        self._link._send(self._session)  # there may be credit to give
        return data

    def close(self) -> None:
        """End the call; the host learns of it. Does nothing when it is over."""
        if not self._over:
            self._ended()
            self._dropped.detach()
            if self._feeding is not None:
                self._feeding.cancel()
            self._link._cancel(self._session, self._call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def _stir(stir: Callable[[], None], response: asyncio.Future[Any]) -> None:
    if not response.cancelled():
        response.exception()  # asyncio complains of those at which nobody looks
    stir()


def _call_soon(loop: asyncio.AbstractEventLoop, act: Any) -> None:
    """For a finalizer, which runs wherever Python collects."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(act)
