"""Rooms stay small: no file, function or folder outgrows its bound. Prints what does; exits 1 if anything does.

python scripts/check_sizes.py
"""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_FOLDER_ENTRIES = 16
#: Every package has these; they tell a reader nothing about it.
_UNCOUNTED = {"__init__.py", "py.typed", "conftest.py"}


def tracked_files() -> list[Path]:
    """What git tracks or would track, hidden files left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
    )
    names = listed.stdout.decode().split("\0")
    paths = [Path(name) for name in names if name]
    return [path for path in paths if path.is_file() and not any(part.startswith(".") for part in path.parts)]


def long_files(paths: list[Path]) -> Iterator[str]:
    """Python and JavaScript files over MAX_FILE_LINES."""
    for path in paths:
        if path.suffix in (".py", ".js"):
            lines = path.read_text().count("\n")
            if lines > MAX_FILE_LINES:
                yield f"{path}: {lines} lines, at most {MAX_FILE_LINES}"


def long_functions(paths: list[Path]) -> Iterator[str]:
    """Functions over MAX_FUNCTION_LINES, signature and docstring included."""
    for path in paths:
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    yield f"{path}:{node.lineno}: {node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}"


def full_folders(paths: list[Path]) -> Iterator[str]:
    """Folders with more than MAX_FOLDER_ENTRIES files and folders."""
    entries = {ancestor for path in paths if path.name not in _UNCOUNTED for ancestor in (path, *path.parents[:-1])}
    counts = Counter(str(entry.parent) for entry in entries)
    # The top level holds what tools look for there by name.
    for folder, count in sorted(counts.items()):
        if count > MAX_FOLDER_ENTRIES and folder != ".":
            yield f"{folder}/: {count} entries, at most {MAX_FOLDER_ENTRIES}"


def main() -> int:
    """0 when every bound holds."""
    paths = tracked_files()
    findings = [*long_files(paths), *long_functions(paths), *full_folders(paths)]
    print("\n".join(findings) or "Every file, function and folder is within its bound.")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
