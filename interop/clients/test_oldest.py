"""The cases of gRPC with the oldest grpcio, against the servers that the current one calls."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from conftest import HERE, tool

CASES = ("test_python_cases.py", "test_python_cases_aio.py")


def test_oldest_grpcio() -> None:
    if pathlib.Path(sys.prefix).name == "oldest":
        return  # this is the inner run
    python = tool("CARP_OLDEST_PYTHON", "oldest grpcio")
    command = (python, "-m", "pytest", "-q", *(str(HERE / name) for name in CASES))
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
