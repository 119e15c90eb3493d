"""grpcio against carpgrpc.Server, with the cases that interop/python runs against a Host.

They are those of gRPC's specification; stock grpc-go is there as what it is measured by.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from goservers import messages, targets, cases_of

import test_interop_cases as shared

__all__ = ["messages", "targets"]  # the fixtures


@pytest.fixture(params=("unix", "abstract", "tcp"))
def stub(
    request: pytest.FixtureRequest, targets: dict[str, str], messages: Any
) -> Iterator[shared.Stub]:
    with grpc.insecure_channel(targets[request.param]) as channel:
        yield shared.Stub(channel, messages)


CASES = cases_of(shared)
globals().update(CASES)


def test_number_of_cases() -> None:
    """Two of the 14 share one function."""
    assert len(CASES) == 13
