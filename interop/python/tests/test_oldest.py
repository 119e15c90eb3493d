"""The same tests with the oldest releases of what the package depends on."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import venv

from conftest import PYTHON, missing

REQUIREMENTS = PYTHON / "requirements-oldest.txt"
TESTS = (
    "test_client.py",
    "test_link.py",
    "test_link_limits.py",
    "test_link_answers.py",
    "test_aiolink.py",
    "test_typed.py",
    "test_golink.py",
    "test_goobjects.py",
    "test_plain_server.py",
    "test_sessions.py",
    "test_interop_cases.py",
    "test_interop_aio.py",
    "test_interop_carp.py",
    "test_plain_grpcio.py",
)


def environment() -> pathlib.Path:
    """A virtual environment with the oldest releases, kept inside of ours. Its interpreter."""
    home = pathlib.Path(sys.prefix) / "oldest"
    installed = home / "installed"
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if installed.exists() and installed.read_text(encoding="utf-8") == wanted:
        return python
    venv.create(home, clear=True, with_pip=True)
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    done = subprocess.run((*pip, "--only-binary", ":all:", "-r", REQUIREMENTS), check=False)
    if done.returncode != 0:
        missing(f"pip cannot install {REQUIREMENTS.name}", "Allow it to reach a package index")
    installed.write_text(wanted, encoding="utf-8")
    return python


def test_oldest_releases() -> None:
    if pathlib.Path(sys.prefix).name == "oldest":
        return  # this is the inner run
    paths = [PYTHON / "tests" / name for name in TESTS]
    command = (environment(), "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PYTHON)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
