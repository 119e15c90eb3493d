"""Notices `os.fork`, after which a connection of the parent hangs in the child."""

from __future__ import annotations

import os

from .errors import ForkedError

_generation = 0


def _forked() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_forked)


def generation() -> int:
    """How many forks lie between this process and the one that imported the package."""
    return _generation


def check(born: int, what: str) -> None:
    """Raise ForkedError if `what`, made in generation `born`, was made before a fork."""
    if born != _generation:
        raise ForkedError(
            f"{what} was opened before a fork and cannot be used in the child: open another one "
            "there, or start the child with multiprocessing's 'spawn' method"
        )
