"""The sample set that the page offers: what it says of itself is so, and it is taken like anyone's own."""

import io
import tomllib
import zipfile
from collections.abc import Callable

from support.api import LocalClient

from app.ui.routes import SAMPLE as FILES
from app.ui.routes import STATIC
from demo.sample.rows import BAD_SOURCE, SOURCES, make_rows, to_jsonl
from influence.checkpoint_files.base_models import BUILT_IN_ALIASES, SAMPLE

ROOT = STATIC.parents[2]
BASE = ROOT / BUILT_IN_ALIASES[SAMPLE].removeprefix("package:")


def test_the_rows_are_those_that_the_project_writes() -> None:
    train, heldout = make_rows()
    assert FILES["train.jsonl"].content == to_jsonl(train)
    assert FILES["heldout.jsonl"].content == to_jsonl(heldout)


def test_what_the_page_says_of_the_rows_is_so() -> None:
    train, _ = make_rows()
    wrong = [row for row in train if row.is_wrong]
    said = (STATIC / "parts" / "intake-forms.js").read_text()
    assert f"{len(train)} support tickets" in said
    assert f"{len(wrong)} of them with a wrong label" in said
    assert "of four sources" in said
    assert len(SOURCES) == 4
    assert sum(row.source == BAD_SOURCE for row in wrong) > len(wrong) / 2


def test_the_model_and_the_rows_are_taken_without_a_doubt(make_client: Callable[..., LocalClient]) -> None:
    client = make_client(hub_offline=True)
    adapter = {"adapter": ("adapter.zip", FILES["adapter.zip"].content)}
    made = client.post("/v1/checkpoints", data={"base_model": SAMPLE}, files=adapter)
    assert (made.status_code, made.json()["warnings"]) == (201, [])
    rows = client.post("/v1/datasets", files={"file": ("train.jsonl", FILES["train.jsonl"].content)}).json()
    assert (rows["rows"], [problem["code"] for problem in rows["problems"]]) == (400, ["columns_not_read"])
    body = {"checkpoint_id": made.json()["id"], "dataset_id": rows["id"], "max_length": 128}
    assert client.post("/v1/indexes", json=body).status_code == 202


def test_all_that_it_needs_is_packaged() -> None:
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for folder, package in [(STATIC.parent, "app.ui"), (BASE.parent, "influence.checkpoint_files.bases")]:
        held = {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
        assert held == {path for pattern in packaged[package] for path in folder.glob(pattern) if path.is_file()}


def test_it_stays_small() -> None:
    sizes = {path.name: path.stat().st_size for path in [*BASE.iterdir(), *(STATIC.parent / "sample").iterdir()]}
    assert sum(sizes.values()) < 500_000, sizes
    assert set(zipfile.ZipFile(io.BytesIO(FILES["adapter.zip"].content)).namelist()) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.json",
    }


def test_what_is_no_file_of_it_is_refused(make_client: Callable[..., LocalClient]) -> None:
    client = make_client()
    assert client.get("/ui/sample/train.jsonl").status_code == 200
    assert client.get("/ui/sample/none.jsonl").status_code == 404
