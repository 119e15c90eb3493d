"""grpclib against carpgrpc.Server; see test_python_cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from goservers import messages, targets, cases_of

import test_interop_grpclib as shared

__all__ = ["messages", "targets"]  # the fixtures


@pytest.fixture(params=("unix", "abstract", "tcp"))
async def stub(
    request: pytest.FixtureRequest, targets: dict[str, str], messages: Any
) -> AsyncIterator[Any]:
    channel = shared.channel_to(targets[request.param])
    yield shared.Stub(channel, messages)
    channel.close()


CASES = cases_of(shared)
globals().update(CASES)


def test_number_of_cases() -> None:
    """The 14 in seven functions."""
    assert len(CASES) == 7
