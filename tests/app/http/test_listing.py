"""Lists are filtered and light, resources have names, and what a caller has already is not sent again."""

import gzip
import json
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.curation.groups import Groups
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.index import Block
from influence.contracts.query import Query
from influence.contracts.sweep import Sweep
from influence.contracts.work import WORK_KINDS
from influence.store.store import Store


def ids(client: TestClient, path: str, **parameters: Any) -> list[str]:
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["data"]]


@pytest.fixture
def audit(client: TestClient, ready_index: dict[str, Any]) -> dict[str, Any]:
    return dict(client.post(f"/v1/indexes/{ready_index['id']}/audits", json={}).json())


@pytest.fixture
def named(
    client: TestClient, checkpoint: Checkpoint, ready_index: dict[str, Any], audit: dict[str, Any], dataset_id: str
) -> dict[str, str]:
    """Path of a collection -> id of a resource in it."""
    return {
        "/v1/checkpoints": checkpoint.id,
        "/v1/datasets": dataset_id,
        "/v1/indexes": ready_index["id"],
        "/v1/audits": audit["id"],
    }


def test_resources_are_renamed_and_found_by_a_part_of_their_name(client: TestClient, named: dict[str, str]) -> None:
    for path, record_id in named.items():
        changed = client.patch(f"{path}/{record_id}", json={"name": "Tickets of May"})
        assert (changed.status_code, changed.json()["name"]) == (200, "Tickets of May"), changed.text
        assert client.get(f"{path}/{record_id}").json()["name"] == "Tickets of May"
        assert ids(client, path, name="of MAY") == [record_id]
        assert ids(client, path, name="June") == []
        assert client.patch(f"{path}/{record_id}", json={"name": None}).json()["name"] is None
        assert_problem(client.patch(f"{path}/nothing", json={"name": "x"}), 404, "not_found")
        assert_problem(client.patch(f"{path}/{record_id}", json={"name": "x" * 201}), 422, "invalid_request")


def test_a_name_is_given_with_what_it_names(
    client: TestClient, checkpoint: Checkpoint, ready_index: dict[str, Any], dataset_id: str
) -> None:
    index = ready_index["id"]
    bodies: dict[str, dict[str, Any]] = {
        f"/v1/indexes/{index}/audits": {},
        "/v1/indexes": {"checkpoint_id": checkpoint.id, "dataset_id": dataset_id, "max_length": 77},
        "/v1/evaluations": {"kind": "lds", "index_id": index, "evaluation_dataset_id": dataset_id, "subsets": 4},
    }
    for path, body in bodies.items():
        made = client.post(path, json=body | {"name": "Tickets of May"})
        assert (made.status_code, made.json()["name"]) == (202, "Tickets of May"), made.text
        assert_problem(client.post(path, json=body | {"name": "x" * 201}), 422, "invalid_request")


def test_an_index_that_is_there_takes_the_later_name_and_keeps_it_where_none_is_given(
    client: TestClient, store: Store, checkpoint: Checkpoint, dataset_id: str
) -> None:
    body = {"checkpoint_id": checkpoint.id, "dataset_id": dataset_id}
    first = client.post("/v1/indexes", json=body | {"name": "first"}).json()
    assert client.post("/v1/indexes", json=body).json()["name"] == "first"
    again = client.post("/v1/indexes", json=body | {"name": "again"}).json()
    assert (again["id"], again["name"]) == (first["id"], "again")
    store.indexes.update(first["id"], lambda failed: failed.model_copy(update={"state": "failed"}))
    anew = client.post("/v1/indexes", json=body).json()
    assert (anew["id"], anew["job_id"] == first["job_id"], anew["name"]) == (first["id"], False, "again")


def test_results_of_work_are_listed_by_state_and_by_what_they_were_made_from(
    client: TestClient, named: dict[str, str], dataset_id: str, checkpoint: Checkpoint
) -> None:
    index, audit = named["/v1/indexes"], named["/v1/audits"]
    assert ids(client, "/v1/indexes", state="succeeded", dataset_id=dataset_id) == [index]
    assert ids(client, "/v1/indexes", state="failed") == []
    assert ids(client, "/v1/indexes", checkpoint_id=checkpoint.id) == [index]
    assert ids(client, "/v1/audits", state="queued", index_id=index) == [audit]
    assert ids(client, "/v1/audits", index_id="idx_other") == []
    assert_problem(client.get("/v1/audits", params={"state": "odd"}), 422, "invalid_request")
    assert_problem(client.get("/v1/datasets", params={"state": "queued"}), 422, "invalid_request")


def test_a_filtered_list_goes_on_where_its_page_ended(client: TestClient, dataset_id: str) -> None:
    made = [client.post("/v1/reviews", json={"dataset_id": dataset_id, "name": f"r{at % 2}"}).json() for at in range(9)]
    wanted = [one["id"] for one in reversed(made) if one["name"] == "r0"]
    first = client.get("/v1/reviews", params={"name": "r0", "limit": 3, "dataset_id": dataset_id}).json()
    rest = client.get("/v1/reviews", params={"name": "r0", "limit": 3, "after": first["next"]}).json()
    assert [one["id"] for one in [*first["data"], *rest["data"]]] == wanted
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert ids(client, "/v1/reviews", audit_id="aud_none") == []


def test_lists_leave_out_what_grows_with_the_work(client: TestClient, named: dict[str, str], store: Store) -> None:
    index = named["/v1/indexes"]
    heavy = {"blocks": (Block(name="b", kind="lora_A", shape=(2, 3), parameters=6),), "damping": {"b": 0.1}}
    store.indexes.update(index, lambda found: found.model_copy(update=heavy))
    (listed,) = client.get("/v1/indexes").json()["data"]
    assert (listed["blocks"], listed["damping"], listed["rows"]) == ([], None, 12)
    assert client.get(f"/v1/indexes/{index}").json()["damping"] == {"b": 0.1}
    for kind in WORK_KINDS:
        assert kind.record.only_alone <= kind.record.model_fields.keys()
        assert not any(kind.record.model_fields[name].is_required() for name in kind.record.only_alone)
    assert all(record.only_alone for record in (Query, Sweep, Groups, Evaluation))


def test_queries_sweeps_and_groups_are_listed(client: TestClient, ready_index: dict[str, Any], dataset_id: str) -> None:
    path = f"/v1/indexes/{ready_index['id']}"
    rows = {"dataset_id": dataset_id, "row_indexes": [0]}
    query = client.post(f"{path}/queries", json={"rows": rows, "k": 1}).json()
    sweep = client.post(f"{path}/sweeps", json={"rows": rows}).json()
    groups = client.post(f"{path}/groups", json={"by": "label", "evaluation": rows}).json()
    for name, made in (("queries", query), ("sweeps", sweep), ("groups", groups)):
        assert ids(client, f"/v1/{name}", index_id=ready_index["id"], state="queued") == [made["id"]]


def test_pages_of_rows_take_the_names_of_every_list(client: TestClient, dataset_id: str) -> None:
    path = f"/v1/datasets/{dataset_id}/rows"
    first = client.get(path, params={"limit": 5}).json()
    second = client.get(path, params={"limit": 5, "after": first["next"]}).json()
    assert [row["row_index"] for row in second["data"]] == [5, 6, 7, 8, 9]
    assert second == client.get(path, params={"length": 5, "offset": 5}).json()
    both: dict[str, Any] = {"limit": 5, "length": 5}
    assert_problem(client.get(path, params=both), 422, "invalid_request")


def test_an_answer_that_the_caller_has_is_not_sent_again(client: TestClient, dataset_id: str) -> None:
    path = f"/v1/datasets/{dataset_id}"
    first = client.get(path)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).json() == first.json()
    client.patch(path, json={"name": "renamed"})
    assert client.get(path, headers={"If-None-Match": tag}).json()["name"] == "renamed"
    assert "ETag" not in client.get("/v1/datasets/ds_none").headers


def test_the_version_of_a_review_stays_its_tag(client: TestClient, dataset_id: str) -> None:
    made = client.post("/v1/reviews", json={"dataset_id": dataset_id}).json()
    answer = client.get(f"/v1/reviews/{made['id']}")
    assert answer.headers["ETag"] == '"0"'


def test_large_answers_are_compressed_and_events_are_not(
    client: TestClient, dataset_id: str, ready_index: dict[str, Any]
) -> None:
    with client.stream("GET", f"/v1/datasets/{dataset_id}/rows", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(raw))["data"]) == 12
    plain = client.get(f"/v1/datasets/{dataset_id}/rows", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["ETag"] == answer.headers["ETag"]
    events = client.get(f"/v1/jobs/{ready_index['job_id']}/events", headers={"Accept-Encoding": "gzip"})
    assert events.headers["Content-Type"].startswith("text/event-stream")
    assert "Content-Encoding" not in events.headers
    table = client.get(f"/v1/datasets/{dataset_id}/export?format=parquet", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in table.headers
