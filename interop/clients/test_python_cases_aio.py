"""grpcio's asyncio client against carpgrpc.Server; see test_python_cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from goservers import messages, targets, cases_of

import test_interop_aio as shared

__all__ = ["messages", "targets"]  # the fixtures


@pytest.fixture(params=("unix", "abstract", "tcp"))
async def stub(
    request: pytest.FixtureRequest, targets: dict[str, str], messages: Any
) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(targets[request.param]) as channel:
        yield shared.Stub(channel, messages)  # type: ignore[arg-type]


CASES = cases_of(shared)
globals().update(CASES)


def test_number_of_cases() -> None:
    """The 14 in seven functions."""
    assert len(CASES) == 7
