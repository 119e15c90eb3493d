"""A Go host to call: the program in testhost, built once and run by a fixture."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import itertools
import os
import pathlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

PYTHON = pathlib.Path(__file__).resolve().parent.parent
ROOT = PYTHON.parent.parent


def missing(what: str, do: str) -> None:
    """Skip a test for which something cannot be had here; in CI that is a failure."""
    text = f"{what}. {do}."
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def testhost(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The program."""
    if shutil.which("go") is None:
        missing("There is no go command here", "Install Go")
    program = tmp_path_factory.mktemp("testhost") / "testhost"
    subprocess.run(
        ("go", "build", "-o", program, "./interop/python/testhost"), cwd=ROOT, check=True
    )
    return program


@dataclasses.dataclass
class GoHost:
    """A running host and where it is reached."""

    unix: str
    tcp: str
    abstract: str
    process: subprocess.Popen[str]

    def target(self, kind: str) -> str:
        return str(getattr(self, kind))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


_numbers = itertools.count()


class Hosts:
    """Starts hosts, at an address of their own each, and ends them."""

    def __init__(self, program: pathlib.Path, folder: pathlib.Path) -> None:
        self._program = program
        self._folder = folder
        self._running: list[GoHost] = []

    def start(self, name: str = "s") -> GoHost:
        unix = f"unix://{self._folder}/{name}"
        abstract = f"unix-abstract:carp-{os.getpid()}-{next(_numbers)}"
        process = subprocess.Popen(
            (self._program, "-unix", unix, "-abstract", abstract),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        host = GoHost(unix, "", abstract, process)
        self._running.append(host)
        host.tcp = f"tcp://{self._ready(process)}"
        return host

    def _ready(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        timer = threading.Timer(30, process.kill)
        timer.start()
        try:
            line = process.stdout.readline().split()
        finally:
            timer.cancel()
        assert line[:1] == ["ready"], "the Go host did not get ready within 30 s"
        return line[1]

    def stop(self) -> None:
        for host in self._running:
            assert host.process.stdin is not None
            host.process.stdin.close()
            try:
                host.process.wait(30)
            finally:
                host.kill()


@pytest.fixture
def hosts(testhost: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """To start hosts for one test."""
    # Not tmp_path, which is named after the test: a socket's path is limited to 108 bytes.
    hosts = Hosts(testhost, tmp_path_factory.mktemp("h"))
    try:
        yield hosts
    finally:
        hosts.stop()


@pytest.fixture(scope="module")
def gohost(testhost: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoHost]:
    """A host for all tests of a module."""
    hosts = Hosts(testhost, tmp_path_factory.mktemp("h"))
    try:
        yield hosts.start()
    finally:
        hosts.stop()


def pass_deadline(waiting: Any) -> None:
    """Have a call of the testhost's `waiting.Wait` begin there and end at its deadline."""
    from carp_grpc import DeadlineExceededError

    for timeout in (0.1, 1, 10, 60):  # a busy machine may not begin the call in time
        with pytest.raises(DeadlineExceededError):
            waiting.Wait.with_options(timeout=timeout)()
        with contextlib.suppress(DeadlineExceededError):
            waiting.Begun.with_options(timeout=timeout)()
            return


@pytest.hookimpl(tryfirst=True)
def pytest_report_header(config: pytest.Config) -> list[str]:
    """What the tests run with."""
    import google.protobuf
    import grpc
    import msgpack

    version = ".".join(map(str, msgpack.version))
    protobuf: Any = google.protobuf
    versions = [f"grpcio {grpc.__version__}, protobuf {protobuf.__version__}, msgpack {version}"]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions.append(f"grpclib {importlib.metadata.version('grpclib')}")
    return versions
