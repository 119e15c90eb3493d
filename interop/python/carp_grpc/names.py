"""Names of exported functions, and the gRPC paths that they have on the wire."""

from __future__ import annotations


def path(name: str) -> str:
    """The path of a name: /Service/Method, or /f/call for a function `f`.

    Raises:
        ValueError: the name is not made of identifiers joined by dots.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{name!r} is no name: names are identifiers joined by dots")
    service, _, method = name.rpartition(".")
    return f"/{service}/{method}" if service else f"/{method}/call"
