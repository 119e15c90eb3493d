"""Servers in Python that know nothing of carp, called from Go over carp's connections.

The cases are grpc-go's own, by way of interop/upstream/cases.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from conftest import HERE, Programs, tool

CASES = [
    "cancel_after_begin", "cancel_after_first_response", "client_streaming", "custom_metadata",
    "empty_stream", "empty_unary", "large_unary", "ping_pong", "server_streaming",
    "special_status_message", "status_code_and_message", "timeout_on_sleeping_server",
    "unimplemented_method", "unimplemented_service",
]  # fmt: skip

# grpclib refuses unknown methods without a content-type, which no gRPC client takes for an answer.
GRPCLIB_FAILS = ("unimplemented_method", "unimplemented_service")


def python(age: str) -> str:
    """An interpreter with the current releases, or the oldest that are supported."""
    return sys.executable if age == "current" else tool("CARP_OLDEST_PYTHON", "oldest grpcio")


SERVERS = (
    ("sync", "current"), ("sync", "oldest"), ("aio", "current"), ("aio", "oldest"),
    ("grpclib", "current"),
)  # fmt: skip


@pytest.fixture(params=SERVERS, ids=lambda param: "-".join(param), scope="module")
def server(request: pytest.FixtureRequest) -> tuple[str, str]:
    name, age = request.param
    return python(age), str(HERE / "servers" / f"{name}_server.py")


@pytest.mark.parametrize("transport", ("unix", "tcp", "abstract"))
def test_cases(
    programs: Programs,
    cases: pathlib.Path,
    descriptors: pathlib.Path,
    server: tuple[str, str],
    transport: str,
) -> None:
    path = programs.socket()
    abstract = f"unix-abstract:carp-servers-{os.getpid()}-{path.name}"
    target = {"unix": f"unix://{path}", "tcp": "127.0.0.1:0", "abstract": abstract}[transport]
    program = programs.start(*server, target, descriptors)
    _, port = program.line().split()
    if transport == "tcp":
        target = f"tcp://127.0.0.1:{port}"
    wanted = CASES
    if "grpclib" in server[1]:
        wanted = [name for name in CASES if name not in GRPCLIB_FAILS]
    try:
        for client in ("carpgrpc", "grpc-go"):
            done = call(cases, client, target, *wanted)
            assert (done.returncode, done.stdout.split()) == (0, wanted), done.stderr
            for name in set(CASES) - set(wanted):
                done = call(cases, client, target, name)
                assert done.returncode != 0 and "Unknown" in done.stderr, done.stderr
    finally:
        program.end()


def call(cases: pathlib.Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((cases, "call", *words), capture_output=True, text=True, check=False)
