"""Every operation of the document is closed to strangers, to readers, to other namespaces and to endless bodies.

The cases are made from the document itself: an operation that is added is tested at once, and one whose path names
something that is not known here fails until it is.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.api import MakeKey
from support.work import make_work

from influence.contracts.checkpoint import BaseModelRef, Checkpoint, Run
from influence.contracts.common import now
from influence.contracts.curation.review import Review
from influence.contracts.curation.webhook import EVENTS, Webhook
from influence.contracts.dataset import Dataset
from influence.contracts.work import WORK_KINDS
from influence.store.store import Store
from influence.store.work import accept

#: What anybody may read: whether the process lives and can serve. It hands out nothing of anyone's.
OPEN = {("GET", "/health/live"), ("GET", "/health/ready")}
#: Of nobody in particular: the same for all who may read.
SHARED = {("GET", "/metrics"), ("GET", "/v1/methods")}
Operation = tuple[str, str]
_WRITES = {"POST", "PUT", "PATCH", "DELETE"}
_BODIES = {"POST", "PUT", "PATCH"}
_PARAMETER = re.compile(r"\{(\w+)\}")


#: As it is stored, which another test holds against what the application says: asking that takes a second.
DOCUMENT = json.loads((Path(__file__).parents[1] / "http" / "openapi.json").read_text(encoding="utf-8"))
OPERATIONS = [
    (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if method in ("get", "post", "put", "patch", "delete")
]
CLOSED = [operation for operation in OPERATIONS if operation not in OPEN]
OWNED = [(method, path) for method, path in CLOSED if _PARAMETER.search(path)]


def test_the_document_is_not_empty() -> None:
    assert len(OWNED) > 40
    assert {*OPEN, *SHARED} <= set(OPERATIONS)
    assert [path for _, path in CLOSED if not path.startswith("/v1/") and ("GET", path) not in SHARED] == []


@pytest.fixture
def ids(store: Store) -> dict[str, str]:
    """Something of team-a for every parameter of a path."""
    store.workers.announce("w1", {"name": "w1"})
    view = store.within("team-a")
    known: dict[str, str] = {}
    for kind in WORK_KINDS:
        made = accept(view, make_work(kind))
        known[f"{kind.name}_id"], known["job_id"] = made.id, made.job_id
    known["groups_id"] = known["group_id"] = known["groups_id"]
    base = BaseModelRef(name="tiny", kind="hub", location="tiny")
    known["checkpoint_id"] = "ckpt_team"
    view.checkpoints.create(
        Checkpoint(
            id="ckpt_team", base_model=base, task="causal_lm", adapter={}, parameters=1, tensors=1, created_at=now()
        )
    )
    known["run_id"] = "run_team"
    view.runs.create(
        Run(
            id="run_team",
            base_model=base,
            task="causal_lm",
            checkpoints=(),
            weights_from="equal",
            created_at=now(),
        )
    )
    known["dataset_id"] = "ds_team"
    view.datasets.create(
        Dataset(id="ds_team", kind="text", columns={}, rows=1, bytes=1, statistics={}, created_at=now())
    )
    known["review_id"] = "rev_team"
    view.reviews.create(Review(id="rev_team", dataset_id="ds_team", rows=1, created_at=now()))
    known["webhook_id"] = "hook_team"
    view.webhooks.create(Webhook(id="hook_team", url="https://hooks.example", events=EVENTS, created_at=now()))
    return known


#: Parameters that name a part of something else: what they are does not matter to who may not see the whole.
PARTS = {"name": "x.svg", "digest": "a" * 40, "row_index": "0", "file_name": "x.svg"}


EXAMPLES = {"examples": [{"text": "a", "label": 0}]}
#: Bodies whose contract asks for one of several fields.
WHOLE_BODIES: dict[str, Any] = {
    "/v1/datasets/{dataset_id}/preview": {"checkpoint_id": "ckpt_team"},
    "/v1/indexes/{index_id}/queries": EXAMPLES,
    "/v1/indexes/{index_id}/sweeps": EXAMPLES,
    "/v1/reviews/{review_id}/decisions/bulk": {"top": 1, "action": "keep"},
    "/v1/groups/{groups_id}/what-if": {"remove": {"row_indexes": [0]}},
    "/v1/indexes/{index_id}/what-if": {"remove": {"row_indexes": [0]}, "evaluation": {"dataset_id": "ds_team"}},
}


def fill(path: str, ids: dict[str, str]) -> str:
    known = {**PARTS, **ids}
    missing = set(_PARAMETER.findall(path)) - known.keys()
    assert not missing, f"{path} names {missing}: say above what a test puts there"
    return _PARAMETER.sub(lambda found: known[found[1]], path)


def problems_of(answers: Mapping[Operation, Any], status: int, code: str) -> dict[str, tuple[int, str]]:
    """Operations that were answered otherwise, and how."""
    return {
        " ".join(operation): (answer.status_code, answer.text[:300])
        for operation, answer in answers.items()
        if answer.status_code != status or answer.json()["code"] != code
    }


def test_nobody_without_a_key(guarded: TestClient, ids: dict[str, str]) -> None:
    answers = {(method, path): guarded.request(method, fill(path, ids)) for method, path in CLOSED}
    assert problems_of(answers, 401, "unauthorised") == {}
    assert {answer.headers["www-authenticate"] for answer in answers.values()} == {"Bearer"}


def test_no_change_with_a_key_that_may_read(guarded: TestClient, make_key: MakeKey, ids: dict[str, str]) -> None:
    reader = make_key("read", "team-a")
    writes = [(method, path) for method, path in CLOSED if method in _WRITES]
    answers = {(method, path): guarded.request(method, fill(path, ids), headers=reader) for method, path in writes}
    assert problems_of(answers, 403, "forbidden") == {}


def test_nothing_of_another_namespace(guarded: TestClient, make_key: MakeKey, ids: dict[str, str]) -> None:
    stranger, answers = make_key("write", "team-b"), {}
    for method, path in OWNED:
        body = {"json": least_body(method, path)} if method in _BODIES else {}
        answers[method, path] = guarded.request(method, fill(path, ids), headers=stranger, **body)
    assert problems_of(answers, 404, "not_found") == {}


def test_no_body_without_end(guarded: TestClient, make_key: MakeKey, ids: dict[str, str]) -> None:
    headers = {**make_key("write", "team-a"), "content-type": "application/json", "content-length": str(1 << 40)}
    bodies = [(method, path) for method, path in CLOSED if method in _BODIES]
    answers = {
        (method, path): guarded.request(method, fill(path, ids), headers=headers, content=b"{}")
        for method, path in bodies
    }
    assert problems_of(answers, 413, "too_large") == {}


def test_every_refusal_is_in_the_document() -> None:
    unsaid = {}
    for method, path in CLOSED:
        stated = DOCUMENT["paths"][path][method.lower()]["responses"]
        wanted = {"401", "403", "429", "503"} | ({"404"} if _PARAMETER.search(path) else set())
        said = {status for status in wanted if "application/problem+json" in stated.get(status, {}).get("content", {})}
        if said != wanted:
            unsaid[f"{method} {path}"] = wanted - said
    assert unsaid == {}


def least_body(method: str, path: str) -> Any:
    """The least that fits the operation's contract, so that it is who asks, not what, that is refused."""
    if path in WHOLE_BODIES:
        return WHOLE_BODIES[path]
    body = DOCUMENT["paths"][path][method.lower()].get("requestBody", {})
    return example_of(body.get("content", {}).get("application/json", {}).get("schema", {}))


def example_of(schema: dict[str, Any]) -> Any:
    schemas = DOCUMENT["components"]["schemas"]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]])
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return example_of(schema[word][0])
    for word in ("examples", "enum"):
        if schema.get(word):
            return schema[word][0]
    if "const" in schema:
        return schema["const"]
    if "default" in schema:
        return schema["default"]
    if schema.get("type") == "object":
        required = schema.get("required", [])
        return {name: example_of(schema["properties"][name]) for name in required}
    made: dict[str, Any] = {"string": "x", "integer": 1, "number": 1.0, "boolean": True}
    if schema.get("type") == "array":
        return [example_of(schema.get("items", {})) for _ in range(max(1, schema.get("minItems", 0)))]
    return made.get(str(schema.get("type")), {})
