"""The package as others get it: typed, complete, and installable."""

from __future__ import annotations

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
