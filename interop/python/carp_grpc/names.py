"""Names of exported functions, and the gRPC paths that they have on the wire."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .options import Changes, Options

Owner = TypeVar("Owner")


@functools.lru_cache(maxsize=4096)
def path(name: str) -> str:
    """The path of a name: /Service/Method, or /f/call for a function `f`.

    Raises:
        ValueError: the name is not made of identifiers joined by dots.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{name!r} is no name: names are identifiers joined by dots")
    service, _, method = name.rpartition(".")
    return f"/{service}/{method}" if service else f"/{method}/call"


class Name(Generic[Owner]):
    """A name that may be exported at a host; attributes and items are names below it. Immutable.

    Whether the host exports it shows only when it is called.
    """

    __slots__ = ("_name", "_options", "_owner")

    def __init__(self, owner: Owner, name: str, options: Options) -> None:
        self._owner = owner
        self._name = name
        self._options = options

    def with_options(self, **changes: Unpack[Changes]) -> Self:
        """The same name with other options for its calls, as in `with_options(timeout=2)`."""
        return type(self)(self._owner, self._name, self._options.changed(changes))

    def __getattr__(self, name: str) -> Self:
        if name.startswith("_"):  # copy, pickle and debuggers ask for many of these
            raise AttributeError(f"{name}: write [{name!r}] for a name with an underscore")
        return self[name]

    def __getitem__(self, name: str) -> Self:
        """The name `name` below this one."""
        return type(self)(self._owner, f"{self._name}.{name}", self._options)

    def __repr__(self) -> str:
        return f"<{self._name} at {self._owner!r}>"
