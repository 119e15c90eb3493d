"""grpcio against carpgrpc.Server, with the cases that interop/python runs against a Host.

They are those of gRPC's specification; stock grpc-go is there as what it is measured by.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from conftest import HERE, ROOT, Programs

sys.path += [str(HERE / "servers"), str(ROOT / "interop/python"), str(ROOT / "interop/python/tests")]
import test_interop_cases as shared  # noqa: E402
from messages import Messages  # noqa: E402


@pytest.fixture(scope="module")
def messages(descriptors: pathlib.Path) -> Callable[[str], Any]:
    known = Messages(str(descriptors))
    return lambda name: known(f"grpc.testing.{name}")


@pytest.fixture(scope="module", params=("carpgrpc", "grpc-go"))
def targets(
    request: pytest.FixtureRequest, programs: Programs, cases: pathlib.Path
) -> Iterator[dict[str, str]]:
    """Where a server is reached, by transport."""
    path = programs.socket()
    wanted = (f"unix://{path}", f"unix-abstract:carp-cases-{path.name}", "tcp://127.0.0.1:0")
    program = programs.start(cases, "serve", request.param, *wanted)
    served = program.line().replace("tcp://", "").split()
    yield dict(zip(("unix", "abstract", "tcp"), served))
    program.end()


@pytest.fixture(params=("unix", "abstract", "tcp"))
def stub(
    request: pytest.FixtureRequest, targets: dict[str, str], messages: Any
) -> Iterator[shared.Stub]:
    with grpc.insecure_channel(targets[request.param]) as channel:
        yield shared.Stub(channel, messages)


CASES = {name: case for name, case in vars(shared).items() if name.startswith("test_")}
globals().update(CASES)


def test_number_of_cases() -> None:
    """Two of the 14 share one function."""
    assert len(CASES) == 13
