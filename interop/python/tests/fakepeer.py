"""The other end of a link, in a few lines of Python: it answers calls and makes them on demand."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

from carp_grpc import codecs
from carp_grpc.link import frames
from carp_grpc.link.messages import (
    Announced,
    Answered,
    Called,
    Cancelled,
    Incoming,
    Limits,
    Opened,
    Released,
    Request,
    Response,
)
from carp_grpc.link.wire import Wire

if TYPE_CHECKING:
    from typing_extensions import Self

Handler = Callable[[Incoming], "Response | None"]


class FakePeer(grpc.GenericRpcHandler):
    """Serves carp.v1.Peer/Link at `target`. `handler` answers calls; None leaves them open."""

    def __init__(self, handler: Handler | None = None, limits: Limits | None = None) -> None:
        self.handler: Handler = handler or (lambda call: Response())
        self.limits = limits or Limits()
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self.changed = threading.Condition()
        self.links = 0  # how many there were
        self.wire: Wire | None = None
        self.hello: Any = None
        self.exports: dict[str, list[str]] = {}
        self.cancelled: list[Incoming] = []
        self.released: list[tuple[str, int]] = []
        self.reads = threading.Event()  # while it is not set, nothing is read
        self.reads.set()
        self.kinds: list[str] = []  # of the frames that came, in order
        self.stop_at = ""  # the kind of frame after which, once, no more are read
        self.answers: dict[Any, Response] = {}
        self._context: Any = None
        self._folder = tempfile.TemporaryDirectory(prefix="carp")
        self.target = "unix://" + os.path.join(self._folder.name, "s")
        self.start()

    def start(self) -> None:
        self._pool = ThreadPoolExecutor(16)
        self._server = grpc.server(self._pool, handlers=[self])
        self._server.add_insecure_port(self.target)
        self._server.start()

    def stop(self) -> None:
        self.reads.set()
        with self.changed:
            self._drop()
        self._server.stop(None).wait()
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def service(self, details: Any) -> Any:
        if details.method == frames.PATH:
            return grpc.stream_stream_rpc_method_handler(self._link)
        return None

    # One connection: a thread takes frames, grpcio's asks for those to send.

    def _link(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        if self.refuse is not None:
            context.abort(*self.refuse)
        with self.changed:
            self.links += 1
            self.changed.notify_all()
            self._context = context
            wire = self.wire = Wire("peer-id", b"n" * 16, "peer", "fake", self.limits, opened=False)
        threading.Thread(target=self._read, args=(requests, wire), daemon=True).start()
        while True:
            with self.changed:
                while (frame := wire.take()) is None:
                    if self.wire is not wire:
                        return
                    self.changed.wait()
            yield frame.SerializeToString()

    def _read(self, requests: Iterator[bytes], wire: Wire) -> None:
        try:
            for data in requests:
                self.reads.wait()
                frame = frames.Frame.FromString(data)
                kind = frame.WhichOneof("kind")
                if kind == self.stop_at:
                    self.stop_at = ""
                    self.reads.clear()
                with self.changed:
                    self.kinds.append(kind)
                    for event in wire.receive(frame):
                        self._handle(wire, event)
                    self.changed.notify_all()
        except grpc.RpcError:
            pass
        with self.changed:
            if self.wire is wire:
                self._drop()

    def _drop(self) -> None:
        self.wire = None
        self.exports = {}
        self.changed.notify_all()

    def _handle(self, wire: Wire, event: Any) -> None:
        if isinstance(event, Opened):
            self.hello = event.hello
        elif isinstance(event, Announced):
            exports = event.exports
            if exports.full:
                self.exports = {}
            for name in exports.removed:
                del self.exports[name]
            for export in exports.added:
                self.exports[export.name] = sorted(method.name for method in export.methods)
        elif isinstance(event, Called):
            wire.free(event.call)
            response = self.handler(event.call)
            if response is not None:
                wire.reply(event.call, response)
        elif isinstance(event, Cancelled):
            self.cancelled.append(event.call)
        elif isinstance(event, Answered):
            self.answers[event.call.owner] = event.response
        elif isinstance(event, Released):
            self.released.extend(event.counts)

    # For tests.

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Wait for something here, of which there is notice, or at the other end: none of that."""
        deadline = time.monotonic() + 30
        with self.changed:
            while not (found := condition()):
                assert time.monotonic() < deadline, "waited 30 s in vain"
                self.changed.wait(0.01)
            return found

    def abort(self) -> None:
        """Break the connection, as a crash would."""
        with self.changed:
            self._drop()
            self._context.cancel()

    def tell(self, act: Callable[[Wire], Any]) -> Any:
        """Do something with the protocol state, and send what comes of it."""
        with self.changed:
            assert self.wire is not None
            result = act(self.wire)
            self.changed.notify_all()
            return result

    def start_call(self, path: str, *args: Any, codec: str = "msgpack", **kwargs: Any) -> object:
        """Call the other end."""
        fields = {k[1:]: kwargs.pop(k) for k in list(kwargs) if k.startswith("_")}
        body = codecs.lookup(codec).encode_arguments(args, kwargs)
        key = object()
        self.tell(lambda wire: wire.call(Request(path, codec, body, **fields), key))
        return key

    def answer(self, key: object) -> Response:
        """Wait for the answer to a call."""
        self.wait_for(lambda: key in self.answers)
        return self.answers.pop(key)

    def call(self, path: str, *args: Any, codec: str = "msgpack", **kwargs: Any) -> Any:
        """Call the other end and decode the result; a Response if it is not one."""
        response = self.answer(self.start_call(path, *args, codec=codec, **kwargs))
        if response.code is not grpc.StatusCode.OK:
            return response
        return codecs.lookup(codec).decode_result(response.payload)


def echo(call: Incoming) -> Response:
    """Answer with the arguments."""
    codec = codecs.lookup(call.request.codec)
    args, kwargs = codec.decode_arguments(call.request.payload)
    return Response(payload=codec.encode_result([args, kwargs]))
