"""What a call can be told besides its arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from . import codecs

MetadataPairs = tuple[tuple[str, "str | bytes"], ...]

TYPED = "proto"

_KEY = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class Changes(TypedDict, total=False):
    """The keyword arguments of `with_options`; what is left out stays as it is.

    codec: "msgpack", "json" or "carp" for dynamic calls, "proto" for calls with the protobuf
        messages that the host describes by reflection.
    timeout: seconds until the call fails with DeadlineExceededError; None for no limit.
    metadata: pairs to send with the call, in place of the ones before. Keys are lower-case, those
        that end in -bin take bytes, and those that start with carp- are carp's own.
    wait_for_ready: wait for a host, within the timeout, instead of failing when there is none.
    one_way: ask the host to answer as soon as it has accepted the call. A host that does not do
        that answers when the function has ended; the result is None either way.
    """

    codec: str
    timeout: float | None
    metadata: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]
    wait_for_ready: bool
    one_way: bool


_NAMES = frozenset(Changes.__annotations__)


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a call. Immutable."""

    codec: str = "msgpack"
    timeout: float | None = None
    metadata: MetadataPairs = ()
    wait_for_ready: bool = False
    one_way: bool = False

    def __post_init__(self) -> None:
        if self.codec != TYPED:
            codecs.lookup(self.codec)
        if self.timeout is not None and not isinstance(self.timeout, (int, float)):
            raise TypeError(f"timeout {self.timeout!r}: want seconds as a number, or None")
        for name, value in self.metadata:
            if not isinstance(name, str) or not isinstance(value, (str, bytes)):
                raise TypeError(f"metadata {name!r}: want text, and text or bytes as its value")
            if name.lower().startswith(("carp-", "grpc-")):
                raise ValueError(
                    f"metadata {name!r}: names that start with carp- or grpc- are taken"
                )
            if not name or set(name) - _KEY:
                raise ValueError(f"metadata {name!r}: keys are of a-z, 0-9 and -_. only")

    def changed(self, changes: Changes) -> Options:
        """These options with `changes` applied. Raises ValueError and TypeError."""
        fields = dict(changes)
        if unknown := fields.keys() - _NAMES:
            raise TypeError(f"there is no option {min(unknown)!r}; there are {', '.join(sorted(_NAMES))}")
        if "metadata" in changes:
            given = changes["metadata"]
            pairs = tuple(given.items() if isinstance(given, Mapping) else given)
            if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
                raise TypeError(f"metadata {pairs!r}: want pairs of a key and a value")
            fields["metadata"] = tuple((name, value) for name, value in pairs)
        return dataclasses.replace(self, **fields)  # type: ignore[arg-type]

    def for_grpc(self) -> dict[str, Any]:
        """The keyword arguments of grpcio's callables: carp's own metadata before the user's."""
        own: list[tuple[str, str | bytes]] = [("carp-codec", self.codec)]
        if self.one_way:
            own.append(("carp-oneway", "1"))
        return {
            "timeout": self.timeout,
            "metadata": (*own, *self.metadata),
            "wait_for_ready": self.wait_for_ready,
        }
