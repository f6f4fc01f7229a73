"""The page's files: small, complete, and nothing that its policy forbids."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.datastructures import Headers
from support.api import LocalClient

from app.ui.files import answer_file
from app.ui.modules import find_modules, join_modules
from app.ui.routes import FILES as FILES_SENT
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


def write_modules(folder: Path, **others: str) -> None:
    """A page of two views; `others` are texts by the names of modules."""
    texts = {
        "app": 'import { h } from "./html.js";\nawait import("./views/one.js");\n',
        "html": "const KEPT = 1;\nexport const h = () => KEPT;\n",
        "router": 'const VIEWS = {\n  "/": "one",\n  "/twos/:two": "two",\n};\nexport const go = 1;\n',
        "kit": 'export * from "./html.js";\nexport * from "./router.js";\n',
        "bars": 'import {\n  h,\n} from "./html.js";\nconst KEPT = 2;\nexport function bars() { return h(KEPT); }\n',
        "views/one": 'import { go } from "../kit.js";\nimport { bars } from "../bars.js";\nexport const show = go;\n',
        "views/two": 'import { h } from "../kit.js";\nexport function show() { return h; }\n',
        **others,
    }
    (folder / "views").mkdir()
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text)


def test_what_always_comes_together_goes_out_as_one_module_in_which_names_stay_apart(tmp_path: Path) -> None:
    write_modules(tmp_path)
    joined = join_modules(tmp_path)
    assert list(joined) == ["app.js", "views/one.js", "views/two.js"]
    assert 'await import("./views/one.js")' in joined["app.js"]
    assert "export const { h } = html_js;\nexport const { go } = router_js;\n" in joined["app.js"]
    one = joined["views/one.js"]
    assert one.startswith('import { go, h } from "../app.js";\n')
    assert one.index("const bars_js = (() => {\nconst KEPT = 2;") < one.index("const { bars } = bars_js;")
    assert "KEPT = 1" not in one
    assert one.endswith("export const { show } = views_one_js;\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bars", 'import h from "./html.js";\nexport const bars = h;\n'),
        ("bars", "const bars = 1;\nexport { bars };\n"),
        ("bars", 'import { show } from "./views/one.js";\nexport const bars = show;\n'),
        ("router", "export const h = 1;\n"),
        ("html", 'import { go } from "./kit.js";\nexport const h = go;\n'),
    ],
    ids=["a default", "a list of names", "a circle", "a name of two modules", "what goes out with the kit"],
)
def test_a_module_that_cannot_be_joined_is_refused(tmp_path: Path, name: str, text: str) -> None:
    write_modules(tmp_path, **{name: text})
    with pytest.raises(ValueError, match=r"\.js"):
        join_modules(tmp_path)


def test_a_file_goes_out_compressed_to_those_who_take_that() -> None:
    script = FILES_SENT["app.js"]
    plain = answer_file(script, Headers({}), {})
    packed = answer_file(script, Headers({"Accept-Encoding": "br, gzip"}), {})
    assert bytes(plain.body) == script.content == gzip.decompress(packed.body)
    assert packed.headers["content-encoding"] == "gzip"
    assert {plain.headers["vary"], packed.headers["vary"]} == {"Accept-Encoding"}
    assert answer_file(script, Headers({"If-None-Match": script.tag}), {}).status_code == 304


@pytest.mark.parametrize("keys", [(), ("secret-key-of-sixteen",)], ids=["open", "keys"])
def test_a_browser_is_told_of_the_first_calls_only_where_no_key_is_asked_for(
    make_client: Callable[..., LocalClient], keys: tuple[str, ...]
) -> None:
    client = make_client(api_keys=keys)
    links = client.get("/ui/audits/aud_1").headers["link"]
    assert links.startswith("</ui/static/app.js>; rel=modulepreload, </ui/static/views/audit.js>")
    calls = "</v1/audits/aud_1>; rel=preload; as=fetch; crossorigin, </v1/audits/aud_1/rows?offset=0&length=50>"
    assert (calls in links) == (not keys)
    assert "/v1/" not in client.get("/ui/audits/aud_1?offset=50").headers["link"]
    assert "/v1/" not in client.get("/ui/audits/aud_1,b").headers["link"]


def test_the_document_says_which_modules_its_view_needs(tmp_path: Path) -> None:
    write_modules(tmp_path)
    modules = find_modules(tmp_path)
    assert modules("/") == ("app.js", "views/one.js")
    assert modules("/twos/2_a-B/") == modules("/twos/2") == ("app.js", "views/two.js")
    assert modules("/twos/2/3") == modules("/none") == ("app.js",)


def test_every_view_of_the_router_is_known_with_what_it_imports() -> None:
    for view in (STATIC / "views").glob("*.js"):
        pattern = re.search(rf'"(/[^"]*)": "{view.stem}"', (STATIC / "router.js").read_text())
        assert pattern is not None, view
        assert f"views/{view.name}" in MODULES(pattern[1].replace(":", "an_"))
