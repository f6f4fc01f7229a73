"""The HTTP contract does not change by accident: today's OpenAPI document against the stored one.

A change on purpose: `make openapi`, and look at the difference of `openapi.json` before it is committed.
"""

import json
import os
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

STORED = Path(__file__).with_name("openapi.json")
#: Texts that people read. They may be reworded; what programs depend on may not.
_WORDING = ("title", "summary", "description")


def test_the_document_is_the_stored_one_but_for_wording(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    if os.environ.get("DATAINF_TESTS_STORE_OPENAPI"):
        STORED.write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    assert _structure(document) == _structure(json.loads(STORED.read_text(encoding="utf-8"))), (
        "the HTTP contract has changed; if it should, run 'make openapi'"
    )


def test_wording_and_order_do_not_count_and_names_do() -> None:
    schema = {"properties": {"title": {"type": "string", "title": "Title"}}, "required": ["a", "b"], "summary": "One."}
    reworded = {"required": ["b", "a"], "properties": {"title": {"type": "string"}}, "summary": "Another."}
    renamed = {"properties": {"name": {"type": "string"}}, "required": ["a", "b"]}
    assert _structure(schema) == _structure(reworded) != _structure(renamed)


def _structure(value: Any) -> Any:
    """A document without the texts that people read, and without the service's version."""
    if isinstance(value, list):
        return [_structure(item) for item in value]
    if isinstance(value, dict):
        if isinstance(value.get("required"), list):
            value = {**value, "required": sorted(value["required"])}
        kept = {name: item for name, item in value.items() if not (name in _WORDING and isinstance(item, str))}
        return {name: _structure(item) for name, item in kept.items() if name != "version"}
    return value
