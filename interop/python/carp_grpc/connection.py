"""What the clients have in common: all that is neither waiting nor a channel."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import grpc

from . import codecs, errors, forks, targets
from .options import TYPED, Options
from .reflection import Reflection
from .typed import TypedCodec


class Started:
    """A call that was begun: its path, and when it ends at the latest."""

    __slots__ = ("_late", "path")

    def __init__(self, path: str, options: Options) -> None:
        self.path = path
        self._late: float | None = None
        if options.timeout is not None:
            # A timeout travels with three digits or so.
            slack = max(0.01, 0.02 * options.timeout)
            self._late = time.monotonic() + options.timeout - slack

    def is_late(self) -> bool:
        """Whether the deadline has passed, as far as the two ends can agree on that."""
        return self._late is not None and time.monotonic() >= self._late


class Connection:
    """A host's address, what was learnt from it, and which process may talk to it."""

    def __init__(self, target: str, channel_options: Iterable[tuple[str, Any]]) -> None:
        self.target = target
        self.address, self.arguments = targets.resolve(target, tuple(channel_options))
        self.reflection = Reflection(target)
        self._born = forks.generation()
        self.closed = False
        self._callables: dict[tuple[str, str], Any] = {}

    def forked(self) -> bool:
        """Whether this process is a fork of the one that made the connection."""
        return self._born != forks.generation()

    def check(self) -> None:
        """Raise ForkedError in a forked child, and ValueError when it is closed."""
        forks.check(self._born, f"the client for {self.target}")
        if self.closed:
            raise ValueError(f"the client for {self.target} is closed: open another one")

    def callable(self, path: str, channel: Any, kind: str = "unary_unary") -> Any:
        """What grpcio calls a path with: made once, as making it costs as much as using it."""
        found = self._callables.get((path, kind))
        if found is None:
            found = self._callables[path, kind] = getattr(channel, kind)(path)
        return found

    def codec(self, path: str, options: Options) -> codecs.Codec | TypedCodec | None:
        """The codec of a call; None if the host must be asked about the method first."""
        if options.codec == TYPED:
            return self.reflection.known(path)
        return codecs.lookup(options.codec)

    def failure(self, error: grpc.RpcError, call: Started) -> BaseException:
        """What to raise for what grpcio raised."""
        failure = at_deadline(errors.from_rpc(error, self.target, call.path), call)
        if failure.code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INVALID_ARGUMENT):
            self.reflection.forget(call.path)  # the host may have exported the name anew
        return errors.raised(failure)


def at_deadline(
    failure: errors.RemoteExecutionError, call: Started
) -> errors.RemoteExecutionError:
    """The failure of a call, as one of its deadline if that is what it must have been.

    Both ends watch the deadline. A Go host that sees it pass first resets the stream, and grpcio
    takes that for a cancellation if its own clock is not there yet.
    """
    if failure.code is not grpc.StatusCode.CANCELLED or failure.remote or not call.is_late():
        return failure
    late = errors.build(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        f"the host ended the call at its deadline: {failure.message}",
        failure.trailers,
        failure.target,
        call.path,
    )
    late.__cause__ = failure.__cause__
    return late
