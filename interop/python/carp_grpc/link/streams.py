"""The messages of one call that is served, beyond one request and one reply.

A function may take an iterator of request messages, and may be a generator of reply messages. It
waits here for the next request, and until its latest reply is on its way: what is not read at the
other end stops it, in bounded memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from .. import context, errors
from .messages import Incoming, Refused, Response
from .serving import BIND_ERROR, Bound
from .wire import Wire

if TYPE_CHECKING:
    from typing_extensions import Self

    from .sessions import TaskSession, ThreadSession

_T = TypeVar("_T")


class _Messages:
    """What both kinds of link do with the messages of a call. All under the owner's lock."""

    bound: Bound  # set before the function runs

    def __init__(self, wire: Wire, call: Incoming) -> None:
        self._wire = wire
        self._call = call
        self._only = not call.request.streaming  # the payload is the one message

    def _next(self) -> bytes | None:
        """The next message; None if it is not there yet. Raises EOFError after the last one."""
        if self._only:
            self._only = False
            self._call.flow.ended = True
            if not self.bound.function.values:
                return self._call.request.payload
        self._check()
        data = self._wire.next_item(self._call)
        if data is None and self._call.flow.ended:
            raise EOFError
        return data

    def _ready(self) -> bool:
        """Whether the latest message is on its way. Raises if nobody waits for it."""
        if self._call.flow.sending is None:
            return True
        self._check()
        return False

    def _send(self, data: bytes, sent: Any) -> None:
        try:
            self._wire.send_item(self._call, data, sent)
        except Refused as error:
            raise self._failure(error.code, str(error)) from None

    def _check(self) -> None:
        if self._call.cancelled:
            raise self._failure(grpc.StatusCode.CANCELLED, "the caller is gone")

    def _failure(self, code: grpc.StatusCode, text: str) -> BaseException:
        return errors.of_code(code)(text, code=code, method=self._call.request.method)

    def _decoded(self, data: bytes) -> Any:
        if not self.bound.function.values:
            return self.bound.codec.decode_arguments(data)[0][0]
        try:
            return self.bound.passing.decode(self.bound.codec.decode_item, data)
        except errors.DecodeError as error:
            path, name = self._call.request.method, self.bound.function.values
            raise _misfit(f"{path}: argument {name!r}: a value of the stream: {error}") from error

    def one_message(self) -> bool:
        """Whether the function takes one message of a caller that may send more."""
        function = self.bound.function
        return self._call.request.streaming and not (function.takes_stream or function.values)

    def _surplus(self) -> BaseException:
        path = self._call.request.method
        return _misfit(f"{path} takes no stream of values, and the caller sends one")


def _misfit(text: str) -> BaseException:
    code = grpc.StatusCode.INVALID_ARGUMENT
    return errors.of_code(code)(text, code=code, name=BIND_ERROR)


class ThreadMessages(_Messages):
    """The messages of a call that a thread serves: an iterator of the requests."""

    def __init__(self, session: ThreadSession, changed: threading.Condition, call: Incoming):
        super().__init__(session.wire, call)
        self._session = session
        self._changed = changed

    def first(self) -> bytes:
        """The only message of a call, as it came."""
        with self._changed:
            while (data := self._next()) is None:
                self._session.send_new()
                self._wait()
            self._session.send_new()
            return data

    def check_end(self) -> None:
        """Refuse a stream for a function that takes none."""
        if self.one_message():
            with contextlib.suppress(EOFError):
                self.first()
                raise self._surplus()

    async def acheck_end(self) -> None:
        """`check_end`, for a coroutine with a loop of its own."""
        self.check_end()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return self._decoded(self.first())
        except EOFError:
            raise StopIteration from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return self._decoded(self.first())
        except EOFError:
            raise StopAsyncIteration from None

    def send(self, value: Any) -> None:
        """Send a reply, when the one before is on its way."""
        data = self.bound.encode_item(value)
        self.flush()
        with self._changed:
            self._send(data, self._changed.notify_all)
            self._changed.notify_all()

    async def asend(self, value: Any) -> None:
        """`send`, for a coroutine with a loop of its own."""
        self.send(value)

    def flush(self) -> None:
        """Wait until the latest reply is on its way."""
        with self._changed:
            while not self._ready():
                self._wait()

    def _wait(self) -> None:
        left = self.bound.context.time_remaining() if hasattr(self, "bound") else None
        if left == 0:
            raise self._failure(grpc.StatusCode.DEADLINE_EXCEEDED, "the caller's deadline passed")
        self._changed.wait(left)


class TaskMessages(_Messages):
    """The messages of a call of an AioLink: an asynchronous iterator of the requests."""

    def __init__(self, session: TaskSession, call: Incoming) -> None:
        super().__init__(session.wire, call)
        self._session = session
        self._stirred = asyncio.Event()
        call.stir = self._stirred.set

    async def first(self) -> bytes:
        """The only message of a call, as it came."""
        while (data := self._next()) is None:
            await self._wait()
        self._session.more.set()  # there may be credit to give
        return data

    async def acheck_end(self) -> None:
        """Refuse a stream for a function that takes none."""
        if self.one_message():
            with contextlib.suppress(EOFError):
                await self.first()
                raise self._surplus()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return self._decoded(await self.first())
        except EOFError:
            raise StopAsyncIteration from None

    async def asend(self, value: Any) -> None:
        """Send a reply, when the one before is on its way."""
        data = self.bound.encode_item(value)
        await self.aflush()
        self._send(data, self._stirred.set)
        self._session.more.set()

    async def aflush(self) -> None:
        """Wait until the latest reply is on its way."""
        while not self._ready():
            await self._wait()

    async def _wait(self) -> None:
        self._stirred.clear()
        self._session.more.set()
        await self._stirred.wait()


class BridgedMessages:
    """TaskMessages for a function that runs on a thread beside the loop."""

    def __init__(self, messages: TaskMessages) -> None:
        self._messages = messages
        self._loop = asyncio.get_running_loop()

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def check_end(self) -> None:
        """As ThreadMessages.check_end."""
        if self._messages.one_message():
            self._run(self._messages.acheck_end())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return self._run(_unless_over(self._messages))
        except EOFError:
            raise StopIteration from None

    def send(self, value: Any) -> None:
        """As ThreadMessages.send."""
        self._run(self._messages.asend(value))

    def flush(self) -> None:
        """As ThreadMessages.flush."""
        self._run(self._messages.aflush())


async def _unless_over(messages: TaskMessages) -> Any:
    return messages._decoded(await messages.first())


def run(bound: Bound, messages: ThreadMessages | BridgedMessages) -> Response:
    """Run a function on this thread and send what it gives. Its reply is for the caller."""
    try:
        response = _outcome(bound, messages)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the caller waits for an answer
        response = bound.failed(error)
    try:
        messages.flush()  # what was sent goes before the end
    except Exception as error:  # noqa: BLE001  # the caller is gone, or the loop beside the thread
        return bound.failed(error)
    return response


def _outcome(bound: Bound, messages: ThreadMessages | BridgedMessages) -> Response:
    messages.check_end()
    result = bound.function.call(*bound.args, **bound.kwargs)
    if bound.function.gives_stream:
        try:
            for value in result:
                messages.send(value)
        finally:
            if hasattr(result, "close"):
                result.close()
        return bound.ended()
    if not bound.takes_items:
        return bound.answer(result)
    messages.send(result)
    return bound.ended()


async def arun(bound: Bound, messages: ThreadMessages | TaskMessages) -> Response:
    """`run`, for functions that are coroutines or asynchronous generators."""
    try:
        response = await _aoutcome(bound, messages)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the caller waits
        response = bound.failed(error)
    try:
        if isinstance(messages, TaskMessages):
            await messages.aflush()
        else:
            messages.flush()
    except (errors.RemoteExecutionError, asyncio.CancelledError) as error:
        return bound.failed(error)
    return response


async def _aoutcome(bound: Bound, messages: ThreadMessages | TaskMessages) -> Response:
    await messages.acheck_end()
    result = bound.function.call(*bound.args, **bound.kwargs)
    if bound.function.gives_stream:
        try:
            async for value in result:
                await messages.asend(value)
        finally:
            if hasattr(result, "aclose"):
                await result.aclose()
        return bound.ended()
    if not bound.takes_items:
        return bound.answer(await result)
    await messages.asend(await result)
    return bound.ended()


def run_for(bound: Bound, messages: ThreadMessages) -> Response:
    """Run a function of any kind for a Link, on this thread."""
    token = context._current.set(bound.context)
    try:
        if bound.function.is_async:
            return asyncio.run(arun(bound, messages))
        return run(bound, messages)
    finally:
        context._current.reset(token)
