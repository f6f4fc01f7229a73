"""Clients that others generate from the stored contract: they compile strictly, and they work.

`make generated-clients` installs the generators into .generators/, apart from the product's own environment.
"""

import importlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "tests" / "app" / "http" / "openapi.json"
GENERATORS = ROOT / ".generators"
#: Pictures are bytes.
_PICTURES = dict.fromkeys(("image/png", "image/svg+xml", "image/webp"), "application/octet-stream")
_USE = """import type { components, operations } from "./schema";
type Query = components["schemas"]["Query"];
export const best = (query: Query): number | undefined => query.results?.[0]?.helpful?.[0]?.score;
export type Scores = operations["read_scores"]["responses"][200]["content"]["application/json"];
export const first = (scores: Scores): number | null | undefined => scores.score[0]?.[0];
// @ts-expect-error: a query has no such field
export const none = (query: Query) => query.nothing;
"""


def generator(name: str) -> str:
    """A generator, or the test is skipped."""
    path = GENERATORS / name
    if not path.exists():
        pytest.skip(f"{path.relative_to(ROOT)} is not there: make generated-clients")
    return str(path)


def run(*command: str, folder: Path) -> str:
    """What a command says that has to succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_operations_have_names_that_people_would_give_them() -> None:
    paths = json.loads(DOCUMENT.read_text())["paths"]
    names = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(set(names)) == len(names)
    assert {"read_audit", "create_query", "read_scores", "apply_decisions", "read_live"} <= set(names)
    assert not [name for name in names if "v1" in name or "__" in name]


def test_types_for_typescript_are_strict(tmp_path: Path) -> None:
    types, compiler = generator("node_modules/.bin/openapi-typescript"), generator("node_modules/.bin/tsc")
    run(types, str(DOCUMENT), "-o", "schema.ts", folder=tmp_path)
    (tmp_path / "use.ts").write_text(_USE)
    options = ("--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler")
    run(compiler, *options, "schema.ts", "use.ts", folder=tmp_path)


def test_a_python_client_is_complete_and_works(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = generator("venv/bin/openapi-python-client")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"content_type_overrides": _PICTURES, "post_hooks": []}))
    options = ("--path", str(DOCUMENT), "--output-path", str(tmp_path / "made"), "--meta", "none")
    assert "WARNING" not in run(tool, "generate", *options, "--config", str(config), folder=tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    made: Any = importlib.import_module("made")
    send: Any = importlib.import_module("made.api.datasets.create_dataset")
    listed: Any = importlib.import_module("made.api.datasets.list_datasets")
    models: Any = importlib.import_module("made.models")
    types: Any = importlib.import_module("made.types")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"text": "a", "label": 1}) + "\n" + json.dumps({"text": "b", "label": 0}) + "\n")
    with made.Client(base_url=url) as client, rows.open("rb") as stream:
        form = next(model for name, model in vars(models).items() if name.endswith("DatasetForm"))
        body = form(file=types.File(payload=stream, file_name="rows.jsonl"), label_names=["no", "yes"], name="x")
        sent = send.sync(client=client, body=body)
        assert sent.label_names == ["no", "yes"]
        assert [one.id for one in listed.sync(client=client).data] == [sent.id]
