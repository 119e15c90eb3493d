"""The benchmarks run; what they measure is for people to read."""

from __future__ import annotations

import os
import subprocess
import sys

from conftest import PYTHON


def test_latency(testhost: object) -> None:
    """`testhost` is asked for so that the test is skipped where there is no Go."""
    command = (sys.executable, PYTHON / "benchmarks" / "latency.py", "20", "2")
    env = {**os.environ, "PYTHONPATH": str(PYTHON)}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for row in (
        "grpcio to grpc-go",
        "Client msgpack",
        "Link msgpack",
        "grpc-go to grpcio",
        "AioLink msgpack",
        "beside one with 64 MiB",
    ):
        assert f"  {row} " in done.stdout
