"""What a served function can learn about the call that runs it."""

from __future__ import annotations

import contextvars
import threading
import time

__all__ = ["CallContext", "current"]


_waiting = threading.Lock()


class CallContext:
    """The call that a served function runs for. Safe for use by several threads at once.

    Attributes:
        method: the path that was called, as in `/Calculator/Add`.
        peer: the label of the calling host, or its id if it has no label.
        metadata: the pairs that came with the call, in order.
    """

    def __init__(
        self,
        method: str,
        peer: str,
        metadata: tuple[tuple[str, str | bytes], ...],
        timeout: float | None,
    ) -> None:
        self.method = method
        self.peer = peer
        self.metadata = metadata
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._gone = False
        self._told: threading.Event | None = None  # made for the first that waits
        self._trailers: list[tuple[str, str | bytes]] = []

    def time_remaining(self) -> float | None:
        """Seconds until the caller gives up, at least 0; None if it waits without limit."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return True
        return self._gone

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Wait until nobody waits for the result, or for `timeout` seconds; `cancelled` then."""
        left = self.time_remaining()
        if left is not None:
            timeout = left if timeout is None else min(left, timeout)
        with _waiting:
            if self._told is None and not self._gone:
                self._told = threading.Event()
        if self._told is not None:
            self._told.wait(timeout)
        return self.cancelled()

    def _cancel(self) -> None:
        """Tell that nobody waits for the result any more."""
        with _waiting:
            self._gone = True
            told = self._told
        if told is not None:
            told.set()

    def add_trailer(self, key: str, value: str | bytes) -> None:
        """Send a pair of metadata with the answer.

        Raises:
            ValueError: the name starts with carp- or grpc-, which are taken.
            TypeError: the value is neither text nor bytes.
        """
        if not isinstance(key, str) or not isinstance(value, (str, bytes)):
            raise TypeError(f"metadata {key!r}: want text, and text or bytes as its value")
        if key.startswith(("carp-", "grpc-")):
            raise ValueError(f"metadata {key!r}: names that start with carp- or grpc- are taken")
        self._trailers.append((key, value))


_current: contextvars.ContextVar[CallContext] = contextvars.ContextVar("carp_grpc.current")


def current() -> CallContext:
    """The call that the running function is served for.

    Raises:
        RuntimeError: no call is being served here.
    """
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError("current(): no call is being served here") from None
