"""The page's files: small, complete, and nothing that its policy forbids."""

import re
from pathlib import Path

import pytest

from app.ui.routes import STATIC

FILES = [path for path in STATIC.rglob("*") if path.is_file()]
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
#: What a browser has to fetch in all, before compression.
MAX_BYTES = 120_000
_IMPORTS = re.compile(r"""^(?:import|export) [^;]*?from "([^"]+)";|\bimport\("([^"]+)"\)""", re.MULTILINE)


def test_the_page_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) <= MAX_BYTES


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(STATIC)))
def test_a_script_imports_what_is_there_and_makes_no_markup_of_strings(script: Path) -> None:
    text = script.read_text()
    for found in map("".join, _IMPORTS.findall(text)):
        assert found.startswith("."), f"{found} is not the page's own"
        assert (script.parent / found).is_file(), found
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
