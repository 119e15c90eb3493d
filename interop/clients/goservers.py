"""The servers in Go, Hosts aside, that the cases of interop/python run against as well."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Programs
from messages import Messages


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


def cases_of(module: Any) -> dict[str, Any]:
    """The cases of a module of interop/python."""
    return {name: case for name, case in vars(module).items() if name.startswith("test_")}
