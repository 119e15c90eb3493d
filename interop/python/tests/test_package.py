"""The package as others get it: typed, complete, and installable."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent


def run(*command: object, cwd: pathlib.Path) -> str:
    argv = [str(c) for c in command]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_types() -> None:
    run(sys.executable, "-m", "mypy", cwd=SOURCE)


def test_wheel(tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "source"
    shutil.copytree(
        SOURCE, copy, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
    )
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "out", copy, cwd=tmp_path)
    (wheel,) = (tmp_path / "out").glob("carp_grpc-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("carp_grpc/")}
        archive.extractall(tmp_path / "site")
    wanted = {
        str(path.relative_to(copy))
        for path in (copy / "carp_grpc").rglob("*")
        if path.suffix in (".py", ".binpb", ".typed")
    }
    assert packed == wanted
    code = "import carp_grpc, pathlib; print(pathlib.Path(carp_grpc.__file__).parent.parent)"
    env_free = ("-c", f"import sys; sys.path.insert(0, 'site'); {code}")
    assert run(sys.executable, *env_free, cwd=tmp_path).strip() == str(tmp_path / "site")


PROGRAM = '''
import asyncio
from carp_grpc import AioLink, Client, Link, RemoteExecutionError, current

def shout(text: str) -> str:
    return f"{text.upper()} for {current().peer}"

def use(target: str) -> None:
    with Client(target, timeout=2.0) as client:
        try:
            client.Calculator.Add.with_options(codec="json")(1, b=2)
        except RemoteExecutionError as error:
            print(error.code.name, error.name, error.message)
    with Link(target, label="worker") as link:
        print(link.export(shout).skipped)
        link.wait_ready(1.0)

async def ause(target: str) -> None:
    async with AioLink(target) as link:
        await link.Calculator.Add(1, 2)

if __name__ == "__main__":
    use("unix:///run/calc.sock")
    asyncio.run(ause("unix:///run/calc.sock"))
'''


def test_types_of_a_program_that_uses_it(tmp_path: pathlib.Path) -> None:
    """The package's types are there for a strict checker, and find a mistake."""
    shutil.copytree(SOURCE / "carp_grpc", tmp_path / "site" / "carp_grpc")
    program = tmp_path / "program.py"
    check = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "program.py")
    env = {**os.environ, "MYPYPATH": "site"}
    for text, status in ((PROGRAM, 0), (PROGRAM.replace("timeout=2.0", "timeout='2'"), 1)):
        program.write_text(text, encoding="utf-8")
        command = (*check, "--follow-imports=silent")
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
