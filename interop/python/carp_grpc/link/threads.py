"""The link for programs with threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from ..options import Changes, Options
from . import beside
from .connected import Connected
from .exports import Exported, examine_service
from .functions import LinkFunction, LinkStream
from .messages import Limits, Outgoing, Refused, Request
from .sessions import ThreadPending, ThreadSession, check_no_loop, time_left

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor
    from typing_extensions import Self, Unpack

__all__ = ["Link"]

_Code = grpc.StatusCode


class Link(Connected):
    """A link to a host: its functions are called as with `Client`, and it calls ours.

        with Link("unix:///run/host.sock", label="worker") as link:
            link.export(resize)                    # a function: the host's "resize"
            link.export(Thumbnails(), "Thumbs")    # an object: "Thumbs.Make" and so on
            link.Catalog.Add("cat.png")            # what the host exports
            link.wait()

    It connects in the background, and again whenever the connection is lost; exports are told
    anew each time. Exported functions run on threads of the link, as many at once as `workers`
    says; calls beyond that are answered with RESOURCE_EXHAUSTED. A function among the arguments of a
    call is a callback: the host may call it until the call has ended. References to objects of the
    host arrive as `RemoteObject`, its callbacks as `RemoteFunction`. Inside of one,
    `carp_grpc.current()` tells about the call. A generator function, asynchronous or not, gives a
    stream; it is held up while its reader is, and closed when the reader is gone, at its next
    yield. A call made while there is no connection fails
    with UnavailableError, unless a first attempt to connect is under way or the call was told to
    wait_for_ready. Calls with little to send go beside the link's stream, on the connection that it
    is on, and no thread but the caller's has to do with them; streams and large arguments
    share the stream with what the host calls.

    Safe for use by several threads at once. In a forked child every use raises ForkedError, and
    inside a running event loop calling raises RuntimeError: there, use AioLink.

    Args:
        target: `unix:///path`, `unix-abstract:name`, `tcp://host:port`, or a gRPC target.
        label: a name for people, in the host's logs and error texts.
        credentials: TLS and its kin, for TCP.
        channel_options: grpcio's.
        workers: how many calls of the host run at the same time, at most.
        limits: what this end is willing to receive.
        options: the defaults of all calls; see `carp_grpc.options.Changes`.
    """

    def __init__(
        self,
        target: str,
        label: str = "",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        channel_options: Iterable[tuple[str, Any]] = (),
        workers: int = 64,
        limits: Limits | None = None,
        **options: Unpack[Changes],
    ) -> None:
        super().__init__(
            target, label, credentials, channel_options, workers, limits, Options().changed(options)
        )

    # Exports.

    def export(
        self,
        thing: object,
        name: str | None = None,
        *,
        version: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Exported:
        """Make a function, a class, or the public methods of an object callable by the host.

        A class is exported with its constructor and methods: the host makes objects, which stay
        here, and holds references to them; when it has given all back, or the link is lost, the
        link lets go of the object. From then on, objects of the class are passed by reference.

        Args:
            thing: a function or bound method, a class, or an object.
            name: the name at the host: identifiers joined by dots. Without it, the function's
                or class's own name, or that of the object's class.
            version: free text, for whoever requires it.
            metadata: whatever else they should know.

        Returns:
            What was exported, and what of an object was skipped and why.

        Raises:
            ValueError: the name is none, or is taken.
            TypeError: there is nothing to call.
        """
        self._core.check()
        with self._changed:
            wire = self._session.wire if self._session else None
            exported = self._core.export(thing, name, version, metadata or {}, wire)
            self._changed.notify_all()
            return exported

    def export_service(
        self,
        servicer: object,
        service: ServiceDescriptor,
        *,
        version: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Exported:
        """Export a service that is described in a .proto file, for generated stubs of the host.

        Each method of `servicer` that the service has is called with the request message and
        returns the reply message; `carp_grpc.current()` tells about the call. Where the service
        says stream, it is called with an iterator of requests (which a coroutine function or
        asynchronous generator reads with `async for`), or returns an iterator of replies.

        Args:
            servicer: any object.
            service: as in `greeter_pb2.DESCRIPTOR.services_by_name["Greeter"]`.
            version: free text, for whoever requires it.
            metadata: whatever else they should know.

        Raises:
            ValueError: the name is taken.
            TypeError: there is nothing to call.
        """
        self._core.check()
        exported = examine_service(servicer, service, version, metadata or {})
        with self._changed:
            self._core.add(exported, self._session.wire if self._session else None)
            self._changed.notify_all()
        return exported

    def unexport(self, name: str) -> None:
        """Take an export back; calls that run go on. Raises ValueError if there is none."""
        self._core.check()
        with self._changed:
            self._core.unexport(name, self._session.wire if self._session else None)
            self._changed.notify_all()

    # Waiting.

    def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the host is connected.

        Raises:
            TimeoutError: it is not within `timeout` seconds; the text says why, if it is known.
            RemoteExecutionError: the host refused the link for good.
            ValueError: the link was closed.
        """
        self._core.check()
        with self._changed:
            if not self._changed.state.wait_for(lambda: self._ready() or self._closed, timeout):
                why = f": {self._failure}" if self._failure else ""
                raise TimeoutError(f"{self!r} is not connected after {timeout} s{why}")
            self._check_open()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the link is closed or refused for good; False after `timeout` seconds."""
        self._core.check()
        with self._changed:
            return self._changed.state.wait_for(lambda: self._closed, timeout)

    def close(self, grace: float = 5.0) -> None:
        """Take no more calls, let those of the host that run end, and close the connection.

        Args:
            grace: seconds to wait for running functions; they are not stopped, but their
                results are lost.

        Our own calls that are under way fail with UnavailableError. Closing twice does nothing
        more, and neither does closing in a forked child.
        """
        if self._core.forked():
            return
        with self._changed:
            session = self._session
            if session is not None and not self._closed:
                self._finish(session, grace)
            self._closed = True
            self._changed.notify_state()
            if session is not None and session.stream is not None:
                session.stream.cancel()
        self._workers.close()
        if threading.current_thread() is not self._keeper:
            self._keeper.join(grace)

    def _finish(self, session: ThreadSession, grace: float) -> None:
        """Let what runs for the host end, then end the stream, and wait until the host has."""
        deadline = time.monotonic() + grace
        session.wire.leave(f"{self._core.label} closes the link")
        self._changed.notify_all()
        self._changed.wait_for(lambda: session.ended or not session.wire.serving, grace)
        self._closed = True  # so that this connection is the last one
        session.finishing = True
        self._changed.notify_state()
        self._changed.wait_for(lambda: session.ended, time_left(deadline))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Names.

    def __getattr__(self, name: str) -> LinkFunction:
        if name.startswith("_"):  # copy, pickle and debuggers ask for many of these
            raise AttributeError(f"{name}: write link[{name!r}] for a name with an underscore")
        return self[name]

    def __getitem__(self, name: str) -> LinkFunction:
        """The exported name `name`, dots and all."""
        return LinkFunction(self, name, self._core.options)

    def __repr__(self) -> str:
        return f"Link({self._core.target!r}, {self._core.label!r})"

    # Calls to the host.

    def _invoke(
        self, path: str, options: Options, args: Any, kwargs: Any, instance: str = ""
    ) -> Any:
        self._core.check()
        check_no_loop()
        request = self._core.request(path, options, args, kwargs, instance)
        try:
            return self._call(request, options)
        finally:
            self._core.passing.end(request.lent, ())

    def _open_stream(self, request: Request, options: Options) -> LinkStream:
        self._core.check()
        check_no_loop()
        deadline = None if options.timeout is None else time.monotonic() + options.timeout
        session, call = self._begin(request, ThreadPending(request), options, deadline)
        return LinkStream(self, session, call, deadline)

    def _call(self, request: Request, options: Options) -> Any:
        deadline = None if options.timeout is None else time.monotonic() + options.timeout
        ready = self._session
        if ready is not None and not self._closed and beside.possible(ready.wire, request):
            return beside.call(self, ready, request, options, deadline)
        pending = ThreadPending(request)
        session, call = self._begin(request, pending, options, deadline)
        try:
            answered = pending.event.wait(time_left(deadline))
        except BaseException:  # an interrupt from the keyboard, for example
            self._cancel(session, call)
            raise
        if not answered:
            self._cancel(session, call)
            raise self._core.failure(
                _Code.DEADLINE_EXCEEDED, f"no answer within {options.timeout} s", request.method
            )
        if pending.error is not None:
            raise pending.error
        assert pending.response is not None
        return self._core.outcome(request, pending.response)

    def _begin(
        self, request: Request, pending: ThreadPending, options: Options, deadline: float | None
    ) -> tuple[ThreadSession, Outgoing]:
        """Send a call when the session takes one more."""
        with self._changed:
            session = self._wait_for_room(options, deadline, request.method)
            try:
                call = session.wire.call(request, pending)
            except Refused as error:
                raise self._core.failure(error.code, str(error), request.method) from None
            self._changed.notify_all()
        return session, call

    def _wait_for_room(
        self, options: Options, deadline: float | None, method: str
    ) -> ThreadSession:
        """The session, once it would take one more call. Raises when that is not to be."""
        session: ThreadSession | None = None

        def settled() -> bool:
            nonlocal session
            session = self._session if self._ready() else None
            if session is not None:
                return not session.wire.full()
            return self._closed or not (self._connecting or options.wait_for_ready)

        if not self._changed.wait_for(settled, time_left(deadline)):
            raise self._core.failure(
                _Code.DEADLINE_EXCEEDED, f"not sent within {options.timeout} s", method
            )
        self._check_open()
        if session is None:
            why = f"there is no link to the host: {self._failure}"
            raise self._core.failure(_Code.UNAVAILABLE, why, method)
        return session

    def _cancel(self, session: ThreadSession, call: Outgoing) -> None:
        with self._changed:
            session.wire.cancel(call)
            self._changed.notify_all()
