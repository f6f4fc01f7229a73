"""The page's files: small, complete, and nothing that its policy forbids."""

import re
from pathlib import Path

import pytest

from app.ui.modules import find_modules
from app.ui.routes import MODULES, STATIC

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


def test_the_document_says_which_modules_its_view_needs(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    files = {
        "app.js": 'import { h } from "./html.js";\nconst view = await import("./views/one.js");',
        "html.js": "",
        "router.js": 'const VIEWS = {\n  "/": "one",\n  "/twos/:two": "two",\n};',
        "kit.js": 'export * from "./html.js";\nexport {\n  link,\n} from "./link.js";',
        "link.js": 'import "./kit.js";',
        "bars.js": "",
        "views/one.js": 'import { link } from "../kit.js";\nimport { bars } from "../bars.js";',
        "views/two.js": 'import { link } from "../kit.js";',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    shared = ("html.js", "kit.js", "link.js")
    modules = find_modules(tmp_path)
    assert modules("/") == ("app.js", "bars.js", *shared, "views/one.js")
    assert modules("/twos/2_a-B/") == modules("/twos/2") == ("app.js", *shared, "views/two.js")
    assert modules("/twos/2/3") == modules("/none") == ("app.js", "html.js")


def test_every_view_of_the_router_is_known_with_what_it_imports() -> None:
    for view in (STATIC / "views").glob("*.js"):
        pattern = re.search(rf'"(/[^"]*)": "{view.stem}"', (STATIC / "router.js").read_text())
        assert pattern is not None, view
        assert f"views/{view.name}" in MODULES(pattern[1].replace(":", "an_"))
