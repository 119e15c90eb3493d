"""What the links have in common: who this end is, what it exports, and when it tries again."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc

from .. import codecs, errors, forks, targets
from ..connection import Started, at_deadline
from ..options import TYPED, Options
from .exports import Exported, Registry, examine
from .frames import Pairs
from .messages import Incoming, Limits, Outgoing, Released, Request, Response
from .objects import Passing
from .serving import Bound, bind, failure
from .wire import Wire

AGENT = "carp_grpc"

# grpcio's own pauses between attempts to connect grow to two minutes; ours are for one machine.
# Not grpc.min_reconnect_backoff_ms: in spite of its name it also bounds how long an attempt may
# take, and a busy machine needs its time.
_CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 2000),
)

# A host that answers with one of these would do so again.
_FINAL = frozenset(
    (
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    )
)


class Core:
    """The state of a link that outlives its connections. Its owner serializes all access."""

    def __init__(
        self,
        target: str,
        label: str,
        channel_options: Iterable[tuple[str, Any]],
        limits: Limits | None,
        options: Options,
        invoke: Callable[..., Any],
        give_back: Callable[[str], None],
        *,
        anonymous: bool = False,
    ) -> None:
        if options.codec == TYPED:
            raise ValueError("a link carries dynamic calls; codec 'proto' is for a Client")
        self.target = target
        self.address, self.arguments = targets.resolve(target, tuple(channel_options))
        self.limits = limits or Limits()
        # For replies to calls beside the link; frames are smaller. What the user says goes before.
        most = ("grpc.max_receive_message_length", max(4 << 20, self.limits.max_payload))
        self.arguments = [most, *self.arguments, *_CHANNEL]
        self.options = options
        self.label = label or f"python-{os.getpid()}"
        # A client that opens a link for its session is no host, and says so by having no id.
        self.host_id = "" if anonymous else secrets.token_hex(16)
        self.nonce = secrets.token_bytes(16)
        self.registry = Registry()
        self.passing = Passing(invoke, give_back, self.host_id, options)
        self.born = forks.generation()
        self._failures = 0

    def check(self) -> None:
        """Raise ForkedError in a forked child."""
        forks.check(self.born, f"the link to {self.target}")

    def forked(self) -> bool:
        """Whether this process is a fork of the one that made the link."""
        return self.born != forks.generation()

    def new_wire(self) -> Wire:
        """The protocol state of a new connection, which begins by telling what is exported."""
        wire = Wire(self.host_id, self.nonce, self.label, AGENT, self.limits)
        wire.announce(self.registry.announcement())
        return wire

    def export(
        self,
        thing: object,
        name: str | None,
        version: str,
        metadata: Mapping[str, str],
        wire: Wire | None,
    ) -> Exported:
        """Export something and tell the peer."""
        return self.add(examine(thing, name, version, metadata), wire)

    def add(self, exported: Exported, wire: Wire | None) -> Exported:
        """Export what was examined and tell the peer."""
        self.registry.add(exported)
        if exported.cls is not None:
            try:
                self.passing.add_class(exported.cls, exported.name)
            except ValueError:
                self.registry.remove(exported.name)
                raise
        if wire is not None:
            wire.announce(self.registry.difference(exported.methods))
        return exported

    def unexport(self, name: str, wire: Wire | None) -> None:
        """Take an export back and tell the peer."""
        try:
            exported = self.registry.remove(name)
        except KeyError:
            raise ValueError(f"unexport {name!r}: nothing is exported under this name") from None
        if exported.cls is not None:
            del self.passing.classes[exported.cls]
        if wire is not None:
            wire.announce(self.registry.difference(exported.methods))

    def one_of_stream(self, call: Incoming) -> bool:
        """Whether the only request message of a call comes as an item."""
        function = self.registry.find(call.request.method)
        return call.request.streaming and function is not None and not function.takes_stream

    def bind(self, call: Incoming, wire: Wire, messages: Any) -> Bound | Response:
        """Fit a call of the peer to what it calls, or say why it cannot be made."""
        hello, function = wire.peer, self.registry.find(call.request.method)
        peer = hello.label or hello.host_id
        try:
            return bind(call.request, function, peer, messages, self.passing)
        except Exception as error:  # noqa: BLE001  # of an object's attribute, for example
            return failure(error)

    def request(
        self, path: str, options: Options, args: Any, kwargs: Any, instance: str = ""
    ) -> Request:
        """A call to the peer. Raises EncodeError."""
        codec = codecs.lookup(options.codec)
        payload, lent = self.passing.encode_arguments(codec, args, kwargs)
        return Request(
            method=path,
            codec=options.codec,
            payload=payload,
            instance=instance,
            lent=lent,
            metadata=options.metadata,
            timeout=options.timeout,
            one_way=options.one_way,
        )

    def result(self, request: Request, payload: bytes, trailers: Pairs = ()) -> Any:
        """The result of a call to the peer."""
        if request.lent:
            self.passing.end(request.lent, trailers)
            request.lent = ()
        if request.one_way:
            return None
        decode = codecs.lookup(request.codec).decode_result
        return self.passing.decode(decode, payload)

    def outcome(self, request: Request, response: Response) -> Any:
        """The result of a call to the peer, or its error raised."""
        if response.code is grpc.StatusCode.OK:
            return self.result(request, response.payload, response.metadata)
        self.passing.end(request.lent, response.metadata)
        request.lent = ()
        error = errors.of_code(response.code)(
            response.message,
            code=response.code,
            name=response.exception,
            details=response.details,
            target=self.target,
            method=request.method,
            trailers=response.metadata,
        )
        raise errors.raised(error)

    def metadata(self, request: Request, session: str) -> list[tuple[str, str | bytes]]:
        """What a call beside the link carries."""
        pairs: list[tuple[str, str | bytes]] = [
            ("carp-codec", request.codec),
            ("carp-session", session),
        ]
        if request.instance:
            pairs.append(("carp-instance", request.instance))
        if request.one_way:
            pairs.append(("carp-oneway", "1"))
        pairs.extend(request.metadata)
        return pairs

    def failed(self, request: Request, error: grpc.RpcError, started: Started) -> BaseException:
        """What to raise for a call beside the link."""
        failure = errors.from_rpc(error, self.target, request.method)
        self.passing.end(request.lent, failure.trailers)
        request.lent = ()
        return errors.raised(at_deadline(failure, started))

    def released(self, event: Released) -> list[Any]:
        """The peer has given references back. Returns what it has none to any more."""
        holdings = self.passing.holdings
        return [holdings.take(id, count) for id, count in event.counts]

    def failure(self, code: grpc.StatusCode, text: str, path: str) -> BaseException:
        """An error that this end makes."""
        return errors.of_code(code)(text, code=code, target=self.target, method=path)

    def lost(self, call: Outgoing, why: BaseException) -> BaseException:
        """The error of a call that was in flight when the connection broke."""
        sent = "after the call was sent" if call.started else "before the call was sent"
        text = f"the link was lost {sent}: {_text(why)}"
        return self.failure(grpc.StatusCode.UNAVAILABLE, text, call.owner.request.method)

    def opened(self, hello: Any) -> None:
        """The host has answered."""
        self.passing.peer_id = hello.host_id
        self._failures = 0

    def pause(self) -> float:
        """Seconds until the next attempt to connect: more after each failure, never the same."""
        self._failures = min(self._failures + 1, 7)
        longest: float = min(2.0, 0.02 * 2**self._failures)
        return random.uniform(0.5, 1) * longest


def is_final(error: BaseException) -> bool:
    """Whether trying again after this error would be in vain."""
    return isinstance(error, errors.RemoteExecutionError) and error.code in _FINAL


def is_cancelled(error: BaseException) -> bool:
    """Whether a call ended because somebody at this end gave it up."""
    cancelled = grpc.StatusCode.CANCELLED
    return (
        isinstance(error, errors.RemoteExecutionError)
        and error.code is cancelled
        and not error.remote
    )


def _text(error: BaseException) -> str:
    return error.message if isinstance(error, errors.RemoteExecutionError) else str(error)
