"""Processes to call and to be called by: each is built once, and ends with its standard input."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import pathlib
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GoHost = Any  # interop/python's tests, some of which run here, too, ask for the name
PATIENCE = 30.0  # seconds; longer than anything takes on a machine that is busy


def tool(variable: str, what: str) -> str:
    """The path of a program that scripts/clients-test has installed."""
    path = os.environ.get(variable)
    if path:
        return path
    text = f"There is no {what}. Run the tests with scripts/clients-test, which installs it."
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


class Program:
    """A running program."""

    def __init__(self, *command: str | pathlib.Path) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        assert line, f"{self.process.args!r} has ended, or said nothing for {PATIENCE} s"
        return line.rstrip("\n")

    def end(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


class Programs:
    """Builds and starts programs, and ends them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._running: list[Program] = []
        self._numbers = itertools.count()

    def build(self, package: str, module: str = ".") -> pathlib.Path:
        program = self._folder / f"program{next(self._numbers)}"
        subprocess.run(("go", "build", "-o", program, package), cwd=ROOT / module, check=True)
        return program

    def start(self, *command: str | pathlib.Path) -> Program:
        program = Program(*command)
        self._running.append(program)
        return program

    def socket(self) -> pathlib.Path:
        """A path for a socket, which must be short."""
        return self._folder / f"s{next(self._numbers)}"

    def end(self) -> None:
        for program in reversed(self._running):
            program.end()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    programs = Programs(tmp_path_factory.mktemp("p"))
    try:
        yield programs
    finally:
        programs.end()


@pytest.fixture(scope="session")
def host(programs: Programs) -> dict[str, str]:
    """A Go host: its gRPC targets by transport, and the path of its unix socket."""
    path = programs.socket()
    abstract = f"unix-abstract:carp-clients-{os.getpid()}"
    program = programs.build("./interop/python/testhost")
    started = programs.start(program, "-unix", f"unix://{path}", "-abstract", abstract)
    tcp = started.line().split()[1].removeprefix("tcp://")
    return {"path": str(path), "unix": f"unix://{path}", "tcp": tcp, "abstract": abstract}


@pytest.fixture(scope="session")
def descriptors(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("d") / "descriptors"
    with path.open("wb") as file:
        subprocess.run(("go", "run", "./interop/descriptors"), cwd=ROOT, stdout=file, check=True)
    return path


@pytest.fixture(scope="session")
def cases(programs: Programs) -> pathlib.Path:
    return programs.build("./cases", "interop/upstream")


@pytest.hookimpl(tryfirst=True)
def pytest_report_header(config: pytest.Config) -> list[str]:
    """The versions of the clients."""
    import grpc

    versions = [f"grpcio {grpc.__version__}"]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions.append(f"grpclib {importlib.metadata.version('grpclib')}")
    oldest = os.environ.get("CARP_OLDEST_PYTHON")
    if oldest:
        code = "import grpc; print(grpc.__version__)"
        out = subprocess.run((oldest, "-c", code), capture_output=True, text=True, check=True)
        versions.append(f"oldest grpcio {out.stdout.strip()}")
    cpp: Any = os.environ.get("CARP_CPP_CLIENT")
    if cpp:
        out = subprocess.run((cpp, "--version"), capture_output=True, text=True, check=True)
        versions.append(out.stdout.strip())
    grpcurl = os.environ.get("CARP_GRPCURL")
    if grpcurl:
        versions.append(pathlib.Path(grpcurl).name.replace("-", " "))
    return [", ".join(versions)]
