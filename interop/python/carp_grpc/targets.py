"""Addresses: the forms that carp's Go side takes, as gRPC's C core takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ChannelOptions = Sequence[tuple[str, Any]]


def resolve(target: str, options: ChannelOptions) -> tuple[str, list[tuple[str, Any]]]:
    """The target and the channel options with which grpcio reaches `target`.

    Accepts `unix:///path`, `unix:path`, `unix-abstract:name`, `tcp://host:port` and whatever
    else grpcio resolves, such as `host:port` and `dns:///host:port`.

    Raises:
        TypeError: the target is no text.
        ValueError: the target is empty, a path without its scheme, an address of the web, or on shared
            memory, which only Go speaks.
    """
    if not isinstance(target, str):
        raise TypeError(f"the target is {target!r}: give a text such as 'unix:///run/calc.sock'")
    scheme, separator, rest = target.partition(":")
    if not target:
        raise ValueError("the target is empty: give one such as unix:///run/calc.sock")
    if target.startswith(("/", "./", "../")):
        raise ValueError(f"{target}: the target of a unix socket begins with its scheme: unix:{target}")
    if rest.startswith("//") and scheme in ("http", "https"):
        raise ValueError(f"{target}: a host is no web server: give tcp:{rest}, with credentials for TLS")
    if separator and scheme in ("shm", "shm-abstract"):
        raise ValueError(
            f"{target}: shared memory is spoken between Go processes only; "
            "let the host serve a unix target as well and use that one"
        )
    chosen = list(options)
    if separator and scheme in ("unix", "unix-abstract"):
        if all(name != "grpc.default_authority" for name, _ in chosen):
            # grpcio's own choice is the escaped path, which strict HTTP/2 servers refuse.
            chosen.append(("grpc.default_authority", "localhost"))
        return target, chosen
    if rest.startswith("//") and scheme == "tcp":
        return f"dns:///{rest[2:]}", chosen
    return target, chosen
