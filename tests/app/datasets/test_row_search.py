"""One language of filters: rows of data sets, of audits and of reviews, bulk decisions, files."""

import csv
import io
import json
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from influence.contracts.checkpoint import Checkpoint
from influence.store.store import Store

LABELS = ("billing", "access", "delivery")
#: Row 5 has no source; a cell of row 7 is a formula.
ROWS = [
    {
        "body": f"ticket {at} about {'refunds' if at % 2 else 'logins'}",
        "label": LABELS[at % 3],
        "source": None if at == 5 else ("web", "mail", "crawl")[at // 4],
        "price": at * 1.5,
        "loss": "=1+1" if at == 7 else f"word {at}",
    }
    for at in range(12)
]
SUSPICION = np.linspace(0, 1, 12).astype(np.float32)


def conditions(*given: tuple[str, str, Any]) -> str:
    return json.dumps([{"column": column, "op": op, "value": value} for column, op, value in given])


@pytest.fixture
def dataset_id(client: TestClient) -> str:
    """Takes the place of the plain rows: these have metadata."""
    text = "\n".join(json.dumps(row) for row in ROWS)
    answer = client.post(
        "/v1/datasets",
        files={"file": ("rows.jsonl", text)},
        data={"columns": json.dumps({"text": "body", "label": "label"}), "label_names": json.dumps(LABELS)},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def audit_id(client: TestClient, ready_index: dict[str, Any], store: Store) -> str:
    """A finished audit; the higher the row, the more suspicious. Row 0 was left out."""
    audit = client.post(f"/v1/indexes/{ready_index['id']}/audits", json={}).json()
    rows = np.arange(1, 12)
    table: dict[str, Any] = {
        "row_index": rows,
        "suspicion": SUSPICION[1:],
        "loss": SUSPICION[1:],
        "label": (rows % 3).astype(np.int32),
        "predicted": np.zeros(11, np.int32),
        "probability": SUSPICION[1:],
        "other_probability": SUSPICION[1:],
    }
    store.audit_data.write_columns(audit["id"], table)
    done = {"state": "succeeded", "rows_audited": 11, "columns": tuple(table)}
    store.audits.update(audit["id"], lambda found: found.model_copy(update=done))
    store.jobs.succeed(audit["job_id"])
    return str(audit["id"])


@pytest.fixture
def review(client: TestClient, dataset_id: str, audit_id: str) -> dict[str, Any]:
    """A review of the audit, rows 9 and 10 decided."""
    made = client.post("/v1/reviews", json={"dataset_id": dataset_id, "audit_id": audit_id}).json()
    given = [{"row_index": 9, "action": "remove"}, {"row_index": 10, "action": "relabel", "label": "access"}]
    answer = client.patch(f"/v1/reviews/{made['id']}/decisions", json={"decisions": given, "by": "ada"})
    assert answer.status_code == 200, answer.text
    return dict(made)


def indexes(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.text
    page = answer.json()
    return [row["row_index"] for row in page["data"]]


def test_rows_of_a_data_set_are_filtered_sorted_searched_and_paged(client: TestClient, dataset_id: str) -> None:
    path = f"/v1/datasets/{dataset_id}/rows"
    where = conditions(("source", "eq", "web"), ("price", "gt", 1.5))
    assert indexes(client.get(path, params={"where": where})) == [2, 3]
    assert indexes(client.get(path, params={"where": conditions(("source", "is_null", True))})) == [5]
    assert indexes(client.get(path, params={"q": "REFUNDS ticket", "where": where})) == [3]
    by_source: dict[str, Any] = {"sort": "source"}
    first = client.get(path, params={**by_source, "length": 5}).json()
    assert [row["row_index"] for row in first["data"]] == [8, 9, 10, 11, 4]
    assert (first["rows"], first["has_more"], first["next"]) == (12, True, 5)
    last = client.get(path, params={**by_source, "offset": 10}).json()
    assert [row["row_index"] for row in last["data"]] == [3, 5], "a row without a source comes last"
    falling: dict[str, Any] = {"sort": "price", "order": "desc", "length": 2}
    assert indexes(client.get(path, params=falling)) == [11, 10]
    assert indexes(client.get(path, params={"sort": "row_index", "order": "desc", "length": 1})) == [11]
    assert client.get(path, params={"offset": 11}).json()["data"][0]["metadata"]["price"] == 16.5


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({"where": "source=web"}, "'where' is not JSON"),
        ({"where": "{}"}, "where"),
        ({"where": '[{"column": "source", "op": "like", "value": "w"}]'}, "op"),
        ({"where": conditions(("colour", "eq", "red"))}, "no column 'colour'"),
        ({"sort": "colour"}, "no column 'colour'"),
        ({"where": conditions(("price", "contains", "1"))}, "not for the column 'price'"),
        ({"q": ""}, "q"),
    ],
)
def test_a_search_that_cannot_be_read_says_why(
    client: TestClient, dataset_id: str, parameters: dict[str, str], part: str
) -> None:
    problem = client.get(f"/v1/datasets/{dataset_id}/rows", params=parameters)
    assert_problem(problem, 422, "invalid_request")
    assert part in json.dumps(problem.json())


def test_rows_of_an_audit_know_figures_and_metadata(client: TestClient, audit_id: str) -> None:
    path = f"/v1/audits/{audit_id}/rows"
    where = conditions(("source", "ne", "web"), ("suspicion", "gt", 0.5), ("predicted_label", "eq", "billing"))
    assert indexes(client.get(path, params={"where": where})) == [11, 10, 9, 8, 7, 6]
    # The figure `loss` comes before the column of that name, which goes by its prefix.
    assert indexes(client.get(path, params={"where": conditions(("metadata.loss", "eq", "word 3"))})) == [3]
    assert indexes(client.get(path, params={"where": conditions(("loss", "lt", 0.1))})) == [1]
    by_source: dict[str, Any] = {"sort": "source", "order": "asc", "length": 3, "disagree": "true"}
    assert indexes(client.get(path, params=by_source)) == [8, 10, 11]
    assert indexes(client.get(path, params={"q": "7"})) == [7]
    where = conditions(("label", "in", ["access", "delivery"]), ("source", "eq", "crawl"))
    assert indexes(client.get(path, params={"where": where})) == [11, 10, 8]


def test_the_table_of_an_audit_carries_metadata_and_only_rows_that_fit(client: TestClient, audit_id: str) -> None:
    where = conditions(("source", "eq", "mail"))
    text = client.get(f"/v1/audits/{audit_id}/table", params={"where": where}).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["row_index"], row["metadata.loss"]) for row in rows] == [
        ("4", "word 4"),
        ("6", "word 6"),
        ("7", "'=1+1"),
    ]
    assert {row["source"] for row in rows} == {"mail"}
    headers = {"Accept": "application/vnd.apache.parquet"}
    content = client.get(f"/v1/audits/{audit_id}/table", headers=headers).content
    assert pq.read_table(io.BytesIO(content)).column("source").to_pylist()[:5] == ["web", "web", "web", "mail", None]


def test_a_review_queue_takes_the_filters_of_its_audit(
    client: TestClient, review: dict[str, Any], audit_id: str, dataset_id: str
) -> None:
    path = f"/v1/reviews/{review['id']}"
    searches: tuple[dict[str, str | bool], ...] = (
        {},
        {"label": "access"},
        {"disagree": True},
        {"predicted": "billing", "q": "refunds"},
    )
    for asked in searches:
        parameters = {**asked, "sort": "loss"}
        queued = client.get(f"{path}/rows", params=parameters).json()
        audited = client.get(f"/v1/audits/{audit_id}/rows", params=parameters).json()
        assert queued["rows"] == audited["rows"] > 0
        assert [one["row_index"] for one in queued["data"]] == [one["row_index"] for one in audited["data"]]
        assert all(one["decision"] is not None for one in queued["data"] if one["row_index"] in (9, 10))
    plain = client.post("/v1/reviews", json={"dataset_id": dataset_id}).json()["id"]
    assert_problem(client.get(f"/v1/reviews/{plain}/rows?disagree=true"), 422, "invalid_request")


def test_a_review_queue_shows_what_is_left(client: TestClient, review: dict[str, Any]) -> None:
    path = f"/v1/reviews/{review['id']}/rows"
    page = client.get(path, params={"length": 3}).json()
    assert [row["row_index"] for row in page["data"]] == [11, 10, 9]
    assert [row["decision"] and row["decision"]["action"] for row in page["data"]] == [None, "relabel", "remove"]
    assert page["data"][0]["figures"]["suspicion"] == 1
    assert (page["rows"], page["version"]) == (11, 1)
    left = conditions(("action", "is_null", True), ("source", "eq", "crawl"))
    assert indexes(client.get(path, params={"where": left})) == [11, 8]
    gone = conditions(("action", "in", ["remove"]))
    assert indexes(client.get(path, params={"where": gone})) == [9]


def test_a_review_without_an_audit_goes_by_the_rows(client: TestClient, dataset_id: str) -> None:
    made = client.post("/v1/reviews", json={"dataset_id": dataset_id}).json()
    path = f"/v1/reviews/{made['id']}"
    assert indexes(client.get(f"{path}/rows", params={"q": "logins", "sort": "price", "order": "desc"})) == [
        10,
        8,
        6,
        4,
        2,
        0,
    ]
    bulk = {"filter": {"where": [{"column": "source", "op": "eq", "value": "crawl"}]}, "action": "remove"}
    dry = client.post(f"{path}/decisions/bulk", json={**bulk, "dry_run": True}).json()
    assert (dry["rows"], dry["version"]) == (4, 0)
    assert dry["per_class"] == {"delivery": 2, "billing": 1, "access": 1}
    done = client.post(f"{path}/decisions/bulk", json={**bulk, "top": 3, "sort": "price"}).json()
    assert (done["rows"], done["version"]) == (3, 1)
    assert sorted(indexes(client.get(f"{path}/rows", params={"where": conditions(("action", "eq", "remove"))}))) == [
        9,
        10,
        11,
    ]
    unknown = client.post(f"{path}/decisions/bulk", json={"top": 3, "action": "remove"})
    assert_problem(unknown, 422, "invalid_request")


def test_bulk_decisions_take_figures_and_metadata_together(client: TestClient, review: dict[str, Any]) -> None:
    asked = {"min_suspicion": 0.5, "where": [{"column": "source", "op": "eq", "value": "crawl"}], "q": "refunds"}
    answer = client.post(
        f"/v1/reviews/{review['id']}/decisions/bulk",
        json={"filter": asked, "action": "remove", "overwrite": True, "dry_run": True},
    ).json()
    assert [one["row_index"] for one in answer["samples"]] == [9, 11]


def test_exports_honour_the_filter(client: TestClient, dataset_id: str, review: dict[str, Any]) -> None:
    path = f"/v1/reviews/{review['id']}/export"
    where = conditions(("source", "eq", "crawl"))
    kept = [json.loads(line) for line in client.get(path, params={"where": where}).text.splitlines()]
    assert [(row["row_index"], row["label"]) for row in kept] == [
        (8, "delivery"),
        (10, "access"),
        (11, "delivery"),
    ]
    suspicious = conditions(("suspicion", "gt", 0.8))
    gone = client.get(path, params={"where": suspicious, "mode": "removed", "format": "csv"}).text
    assert [row["row_index"] for row in csv.DictReader(io.StringIO(gone))] == ["9"]
    tasks = client.get(path, params={"format": "label-studio", "mode": "annotated", "q": '"ticket 1 "'}).json()
    assert [task["data"]["row_index"] for task in tasks] == [1]
    lines = client.get(f"/v1/datasets/{dataset_id}/export", params={"where": where}).text.splitlines()
    assert [json.loads(line)["price"] for line in lines] == [12, 13.5, 15, 16.5]
    problem = client.get(path, params={"where": conditions(("colour", "eq", "red"))})
    assert_problem(problem, 422, "invalid_request")


def test_a_data_set_goes_out_with_the_names_of_its_classes(client: TestClient, dataset_id: str) -> None:
    answer = client.get(f"/v1/datasets/{dataset_id}/export", params={"format": "huggingface"})
    table = pq.read_table(io.BytesIO(answer.content))
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"names": list(LABELS), "_type": "ClassLabel"}
    assert features["body"] == {"dtype": "string", "_type": "Value"}
    assert table.column("label").to_pylist() == [at % 3 for at in range(12)]
    assert "label_name" not in table.column_names
    text = client.get(f"/v1/datasets/{dataset_id}/export", params={"format": "csv"}).text
    assert [row["loss"] for row in csv.DictReader(io.StringIO(text))][7] == "'=1+1"


def test_names_of_classes_come_from_the_rows_where_a_data_set_has_none(client: TestClient) -> None:
    rows = "\n".join(json.dumps({"text": f"t{at}", "label": LABELS[at % 3]}) for at in range(6))
    made = client.post("/v1/datasets", files={"file": ("rows.jsonl", rows)}).json()
    answer = client.get(f"/v1/datasets/{made['id']}/export", params={"format": "huggingface"})
    table = pq.read_table(io.BytesIO(answer.content))
    names = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    assert [names[place] for place in table.column("label").to_pylist()] == [LABELS[at % 3] for at in range(6)]


def test_a_deleted_data_set_is_found_no_more(client: TestClient, checkpoint: Checkpoint, dataset_id: str) -> None:
    path = f"/v1/datasets/{dataset_id}"
    assert indexes(client.get(f"{path}/rows", params={"q": "refunds", "length": 1})) == [1]
    assert client.delete(path).status_code == 204
    assert_problem(client.get(f"{path}/rows", params={"q": "refunds"}), 404, "not_found")
