"""The commands of docs/ten-minutes.md print what it says, and its listings are files."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

from conftest import PYTHON, ROOT, missing

PAGE = (PYTHON / "docs" / "ten-minutes.md").read_text(encoding="utf-8")
EXAMPLE = PYTHON / "examples" / "tenminutes"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_listings_are_files() -> None:
    files = {path.read_text(encoding="utf-8") for path in EXAMPLE.iterdir() if path.is_file()}
    listings = set(blocks("go") + blocks("python"))
    assert listings == files


def test_commands(tmp_path: pathlib.Path) -> None:
    if shutil.which("go") is None:
        missing("There is no go command here", "Install Go")
    text = "".join(blocks("console"))
    commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    printed = [line for line in text.splitlines() if not line.startswith("$ ")]
    site, short = tmp_path / "site", f"/tmp/carp-ten-{os.getpid()}"
    # What is installed goes to a folder of its own, from a copy, and with nothing fetched.
    shutil.copytree(PYTHON, tmp_path / "source", ignore=shutil.ignore_patterns("*.egg-info"))
    script = "\n".join(("set -e", "trap 'kill %1 || true' EXIT", *commands, "wait"))
    script = script.replace(
        "pip install --quiet ./interop/python", f"pip install --quiet {tmp_path}/source"
    )
    script = script.replace("/tmp/ten", short)
    env = {
        **os.environ,
        "PATH": os.pathsep.join((str(pathlib.Path(sys.executable).parent), os.environ["PATH"])),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say true
        "PIP_NO_DEPS": "1",
        "PIP_TARGET": str(site),
        "PYTHONPATH": str(site),
    }
    try:
        done = subprocess.run(
            ("bash", "-c", script),
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        shutil.rmtree(short, ignore_errors=True)
    assert done.stdout.splitlines() == printed, done.stderr
