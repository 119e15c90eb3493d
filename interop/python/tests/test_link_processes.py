"""Links of processes that are started by others."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from carp_grpc import Link
from conftest import GoHost


def add(target: str, a: int, b: int) -> int:
    with Link(target, timeout=60.0, wait_for_ready=True) as link:
        return int(link.Calculator.Add(a, b))


def test_spawn(gohost: GoHost) -> None:
    """A spawned child has a link of its own, whatever the parent has open."""
    with Link(gohost.unix, timeout=60.0, wait_for_ready=True) as link:
        assert link.Calculator.Add(1, 2) == 3
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            assert pool.submit(add, gohost.unix, 3, 4).result(60) == 7
        assert link.Calculator.Add(5, 6) == 11
