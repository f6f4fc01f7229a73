"""Audits over HTTP: checked before they are queued, read row by row, downloaded whole."""

import csv
import io
import json
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from app.audits.routes import EXAMPLES
from app.http.table_stream import neutralise
from influence.contracts.audit import AuditRequest, Confusion
from influence.contracts.checkpoint import Checkpoint
from influence.store import keys
from influence.store.data.files import Files
from influence.store.store import Store

ROWS = 12
RANDOM = np.random.default_rng(5)
COLUMNS: dict[str, Any] = {
    "row_index": np.arange(ROWS),
    "suspicion": (RANDOM.permutation(ROWS) / (ROWS - 1)).astype(np.float32),
    "loss": RANDOM.exponential(size=ROWS).astype(np.float32),
    "label": np.arange(ROWS, dtype=np.int32) % 3,
    "predicted": np.array([0, 1, 2, 1, 1, 2, 0, 1, 2, 0, 2, 2], np.int32),
    "probability": RANDOM.uniform(0, 0.5, ROWS).astype(np.float32),
    "other_probability": RANDOM.uniform(0, 0.5, ROWS).astype(np.float32),
    "influence": RANDOM.normal(size=ROWS).astype(np.float32),
}


def ask(client: TestClient, index: dict[str, Any], headers: dict[str, str] | None = None, **body: Any) -> Any:
    return client.post(f"/v1/indexes/{index['id']}/audits", json=body, headers=headers)


def finish(store: Store, audit_id: str, **columns: Any) -> None:
    """Write an audit's table and end its job, as a worker would."""
    table = COLUMNS | columns
    store.audit_data.write_columns(audit_id, table)
    confusion = Confusion(labels=("billing",), counts=((ROWS,),))
    done = {
        "state": "succeeded",
        "rows_audited": ROWS,
        "columns": tuple(table),
        "accuracy": 0.75,
        "confusion": confusion,
    }
    audit = store.audits.update(audit_id, lambda found: found.model_copy(update=done))
    store.jobs.succeed(audit.job_id)


@pytest.fixture
def audit_id(client: TestClient, ready_index: dict[str, Any], store: Store) -> str:
    """A finished audit of twelve rows."""
    made = ask(client, ready_index).json()["id"]
    finish(store, made)
    return str(made)


def test_an_audit_is_a_job_with_its_signals_explained(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    answer = ask(client, ready_index)
    made = answer.json()
    assert (answer.status_code, made["state"], made["rows_audited"]) == (202, "queued", None)
    assert answer.headers["location"] == f"/v1/jobs/{made['job_id']}"
    assert [signal["name"] for signal in made["signals"]] == [
        "loss",
        "self_influence",
        "margin",
        "probability",
        "predicted",
    ]
    assert all(signal["meaning"] for signal in made["signals"])
    assert [signal["name"] for signal in made["signals"] if signal["weight"]] == ["loss"]
    assert "self_influence, margin, probability, predicted" in made["notes"][-1]
    assert store.queue.waiting("query") == [("audit_index", {"audit_id": made["id"], "job_id": made["job_id"]})]
    assert client.get(f"/v1/audits/{made['id']}").json() == made
    assert client.get("/v1/audits").json()["data"] == [made]
    assert client.get(f"/v1/jobs/{made['job_id']}").json()["kind"] == "audit"


def test_a_method_without_self_influence_leaves_that_signal_out(
    client: TestClient, ready_index: dict[str, Any]
) -> None:
    made = ask(client, ready_index, method="cosine").json()
    assert "self_influence" not in [signal["name"] for signal in made["signals"]]
    assert "no self-influence" in made["notes"][0]
    refused = ask(client, ready_index, method="cosine", signals=["self_influence"])
    assert "datainf" in assert_problem(refused, 422, "method_not_offered")["hint"]


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"signals": ["loss", "vibes"]}, 422, "invalid_request", "margin"),
        ({"signals": []}, 422, "invalid_request", ""),
        ({"signals": ["loss", "loss"]}, 422, "invalid_request", "twice"),
        ({"signals": ["influence"]}, 422, "invalid_request", "evaluation"),
        ({"signals": ["loss"], "evaluation": {"dataset_id": "ds_1"}}, 422, "invalid_request", "no effect"),
        ({"evaluation": {"dataset_id": "ds_none"}}, 404, "not_found", ""),
        ({"weights": {"loss": -1}}, 422, "invalid_request", "from 0"),
        ({"weights": {"influence": 1}}, 422, "invalid_request", "not among the signals"),
        ({"signals": ["loss"], "weights": {"loss": 0}}, 422, "invalid_request", "At least one signal needs a weight"),
        ({"method": "embedding"}, 422, "method_not_offered", "baseline"),
        ({"method": "tracin"}, 422, "method_not_offered", "hessian_free"),
        ({"method": "ekfac"}, 422, "method_not_offered", "kronecker"),
        ({"method": "datainv"}, 422, "unknown_method", "datainf"),
        ({"damping_scale": 0}, 422, "invalid_request", ""),
        ({"sort": "loss"}, 422, "invalid_request", "sort"),
    ],
)
def test_an_audit_that_makes_no_sense_is_refused(
    client: TestClient, ready_index: dict[str, Any], store: Store, body: Any, status: int, code: str, words: str
) -> None:
    assert words in json.dumps(assert_problem(ask(client, ready_index, **body), status, code))
    assert store.queue.waiting("query") == []


def test_evaluation_rows_have_to_fit_the_checkpoint(client: TestClient, ready_index: dict[str, Any]) -> None:
    def evaluate(rows: str, **more: Any) -> Any:
        dataset_id = client.post("/v1/datasets", files={"file": ("rows.jsonl", rows)}).json()["id"]
        return ask(client, ready_index, evaluation={"dataset_id": dataset_id, **more})

    assert_problem(evaluate('{"text": "a"}\n'), 422, "rows_unfit")
    assert_problem(evaluate('{"text": "a", "label": "weather"}\n'), 422, "label_unknown")
    assert_problem(evaluate('{"text": "a", "label": 7}\n'), 422, "label_out_of_range")
    good = '{"text": "a", "label": "billing"}\n'
    assert_problem(evaluate(good, row_indexes=[1]), 422, "invalid_request")
    assert_problem(evaluate(good, row_indexes=[]), 422, "invalid_request")
    body = assert_problem(evaluate(good, row_indexes=[0] * 100_001), 422, "invalid_request")
    assert body["max_evaluation_rows"] == 100_000
    assert evaluate(good, row_indexes=[0] * 5000).status_code == 202


def test_rows_of_a_language_model_have_no_class_signals(
    client: TestClient, ready_index: dict[str, Any], checkpoint: Checkpoint, store: Store
) -> None:
    store.checkpoints.update(checkpoint.id, lambda found: found.model_copy(update={"task": "causal_lm"}))
    refused = ask(client, ready_index, signals=["loss", "margin", "predicted"])
    body = assert_problem(refused, 422, "invalid_request")
    assert "'causal_lm' have no class, so no 'margin' and no 'predicted'" in body["detail"]
    assert body["signals"] == ["loss", "self_influence", "influence"]
    assert [signal["name"] for signal in ask(client, ready_index).json()["signals"]] == ["loss", "self_influence"]


def test_an_index_that_is_not_ready_is_not_audited(client: TestClient, index: dict[str, Any], store: Store) -> None:
    assert_problem(ask(client, index), 409, "index_not_ready")
    failed = {"state": "failed", "error": {"code": "row_too_long"}}
    store.indexes.update(index["id"], lambda found: found.model_copy(update=failed))
    assert_problem(ask(client, index), 409, "index_failed")
    assert_problem(ask(client, {"id": "idx_none"}), 404, "not_found")


def test_the_same_key_audits_once(client: TestClient, ready_index: dict[str, Any], store: Store) -> None:
    first, second = (ask(client, ready_index, {"Idempotency-Key": "k"}).json()["id"] for _ in range(2))
    assert first == second
    assert len(store.queue.waiting("query")) == 1
    assert_problem(ask(client, ready_index, {"Prefer": "wait=5"}), 503, "no_worker")


def test_the_list_is_light_and_one_audit_is_whole(client: TestClient, audit_id: str) -> None:
    (listed,) = client.get("/v1/audits").json()["data"]
    whole = client.get(f"/v1/audits/{audit_id}").json()
    assert whole["confusion"] == {"labels": ["billing"], "counts": [[ROWS]]}
    assert listed == {**whole, "confusion": None}


def test_rows_whose_data_set_is_gone_say_what_to_do(client: TestClient, audit_id: str, files: Files) -> None:
    audit = client.get(f"/v1/audits/{audit_id}").json()
    files.remove_dataset(audit["dataset_id"])
    for part in ("rows", "table"):
        assert "again" in assert_problem(client.get(f"/v1/audits/{audit_id}/{part}"), 404, "not_found")["hint"]


def test_rows_come_most_suspicious_first_with_all_that_is_known(client: TestClient, audit_id: str) -> None:
    page = client.get(f"/v1/audits/{audit_id}/rows?length=3").json()
    order = np.argsort(-COLUMNS["suspicion"], kind="stable")
    assert [row["row_index"] for row in page["data"]] == order[:3].tolist()
    assert (page["has_more"], page["next"], page["rows"]) == (True, 3, ROWS)
    first, at = page["data"][0], int(order[0])
    names = ("billing", "access", "delivery")
    assert (first["label"], first["predicted_label"]) == (names[at % 3], names[COLUMNS["predicted"][at]])
    assert first["row"] == {"text": f"ticket {at}", "label": names[at % 3]}
    assert first["score"] == -first["influence"] == pytest.approx(-COLUMNS["influence"][at])
    assert first["direction"] == ("helpful" if first["score"] > 0 else "harmful")
    agrees = first["label"] == first["predicted_label"]
    own = COLUMNS["probability" if agrees else "other_probability"][at]
    assert first["predicted_probability"] == pytest.approx(own)
    assert first["self_influence"] is None
    last = client.get(f"/v1/audits/{audit_id}/rows?offset=10").json()
    assert [row["row_index"] for row in last["data"]] == order[10:].tolist()
    assert (last["has_more"], last["next"]) == (False, None)
    assert client.get(f"/v1/audits/{audit_id}/rows?offset=99").json()["data"] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=row_index&order=asc&label=billing", [0, 3, 6, 9]),
        ("sort=row_index&order=asc&label=1&predicted=2", [10]),
        ("sort=row_index&order=asc&disagree=true", [3, 10]),
        ("sort=row_index&order=desc&disagree=false&label=delivery", [11, 8, 5, 2]),
        ("sort=loss", np.argsort(-COLUMNS["loss"]).tolist()),
        ("sort=score&order=asc", np.argsort(-COLUMNS["influence"]).tolist()),
        ("sort=probability&order=asc", np.argsort(COLUMNS["probability"]).tolist()),
        ("sort=margin", np.argsort(COLUMNS["probability"] - COLUMNS["other_probability"]).tolist()),
        ("min_suspicion=0.9", np.argsort(-COLUMNS["suspicion"])[:2].tolist()),
    ],
)
def test_rows_can_be_sorted_and_filtered(client: TestClient, audit_id: str, query: str, expected: list[int]) -> None:
    page = client.get(f"/v1/audits/{audit_id}/rows?{query}").json()
    assert [row["row_index"] for row in page["data"]] == expected
    assert page["rows"] == len(expected)


def test_a_column_that_is_not_there_is_told_with_the_audits_own_figures(client: TestClient, audit_id: str) -> None:
    for query in ("sort=suspicions", 'where=[{"column": "suspicions", "op": "gt", "value": 0.5}]'):
        refused = assert_problem(client.get(f"/v1/audits/{audit_id}/rows?{query}"), 422, "invalid_request")
        assert "suspicion, loss" in refused["hint"]
        assert "row_id" in refused["hint"]


@pytest.mark.parametrize(
    "query",
    [
        "sort=colour",
        "order=up",
        "offset=-1",
        "length=0",
        "length=100000",
        "min_suspicion=1.5",
        "min_suspicion=nan",
        "label=weather",
        "predicted=-1",
        "disagree=perhaps",
        "sort=self_influence",
        "k=5",
    ],
)
def test_rows_that_cannot_be_chosen_so_are_refused(client: TestClient, audit_id: str, query: str) -> None:
    assert_problem(client.get(f"/v1/audits/{audit_id}/rows?{query}"), 422, "invalid_request")


def test_the_table_is_csv_json_lines_or_parquet(client: TestClient, audit_id: str) -> None:
    path = f"/v1/audits/{audit_id}/table"
    plain, lines, parquet = (
        client.get(path, headers={"Accept": accept})
        for accept in ("*/*", "application/jsonl", "application/vnd.apache.parquet")
    )
    assert plain.headers["content-type"].startswith("text/csv")
    assert plain.headers["content-disposition"] == f'attachment; filename="{audit_id}.csv"'
    as_csv = list(csv.DictReader(io.StringIO(plain.text)))
    as_json = [json.loads(line) for line in lines.text.splitlines()]
    as_parquet = pq.read_table(io.BytesIO(parquet.content)).to_pylist()
    assert as_json == as_parquet
    assert [{name: str(value) for name, value in row.items()} for row in as_json] == as_csv
    assert [row["row_index"] for row in as_json] == list(range(ROWS))
    assert as_json[4]["text"] == "ticket 4"
    np.testing.assert_array_equal(np.array([row["loss"] for row in as_json], np.float32), COLUMNS["loss"])
    assert "self_influence" not in as_json[0]


@pytest.mark.parametrize(
    ("accept", "suffix"),
    [
        ("application/json", "jsonl"),
        ("text/csv;q=0.1, application/x-ndjson;q=0.2", "jsonl"),
        ("application/vnd.apache.parquet;q=0.1, text/*", "csv"),
    ],
)
def test_the_form_of_the_table_follows_the_weights(client: TestClient, audit_id: str, accept: str, suffix: str) -> None:
    answer = client.get(f"/v1/audits/{audit_id}/table", headers={"Accept": accept})
    assert answer.headers["content-disposition"].endswith(f'.{suffix}"')


def test_a_table_in_no_form_that_the_caller_takes_is_refused(client: TestClient, audit_id: str) -> None:
    answer = client.get(f"/v1/audits/{audit_id}/table", headers={"Accept": "image/png"})
    assert_problem(answer, 406, "not_acceptable")


HOSTILE = ["=HYPERLINK(1)", "+1", "-1+2", "@SUM(A1)", "\tx", "\r=1"]


def test_texts_that_a_spreadsheet_would_run_are_neutralised_in_csv_alone(
    client: TestClient, checkpoint: Checkpoint, store: Store
) -> None:
    rows = [{"id": f"={number}", "text": text, "label": 0} for number, text in enumerate(HOSTILE)]
    upload = "".join(json.dumps(row) + "\n" for row in rows)
    dataset_id = client.post("/v1/datasets", files={"file": ("rows.jsonl", upload)}).json()["id"]
    index = client.post("/v1/indexes", json={"checkpoint_id": checkpoint.id, "dataset_id": dataset_id}).json()
    store.indexes.update(index["id"], lambda found: found.model_copy(update={"state": "succeeded"}))
    audit_id = ask(client, index).json()["id"]
    count = len(HOSTILE)
    numbers = np.zeros(count, np.float32)
    table: dict[str, Any] = {"row_index": np.arange(count), "suspicion": numbers, "influence": numbers - 1}
    store.audit_data.write_columns(audit_id, table)
    done = {"state": "succeeded", "rows_audited": count, "columns": tuple(table)}
    store.audits.update(audit_id, lambda found: found.model_copy(update=done))
    found = list(csv.DictReader(io.StringIO(client.get(f"/v1/audits/{audit_id}/table").text, newline="")))
    assert [row["text"] for row in found] == [f"'{text}" for text in HOSTILE]
    assert [row["row_id"] for row in found] == [f"'={number}" for number in range(count)]
    assert {row["influence"] for row in found} == {"-1.0"}
    lines = client.get(f"/v1/audits/{audit_id}/table", headers={"Accept": "application/x-ndjson"}).text
    assert [json.loads(line)["text"] for line in lines.splitlines()] == HOSTILE


@pytest.mark.parametrize("cell", [-1.5, 0, None, "harmless = 1", ""])
def test_other_cells_stay_as_they_are(cell: object) -> None:
    assert neutralise(cell) is cell


def test_conversations_are_downloaded_as_json_text(client: TestClient, checkpoint: Checkpoint, store: Store) -> None:
    store.checkpoints.update(checkpoint.id, lambda found: found.model_copy(update={"task": "causal_lm"}))
    messages = [{"role": "user", "content": "é"}, {"role": "assistant", "content": "=1"}]
    upload = json.dumps({"messages": messages})
    dataset_id = client.post("/v1/datasets", files={"file": ("rows.jsonl", upload)}).json()["id"]
    index = client.post("/v1/indexes", json={"checkpoint_id": checkpoint.id, "dataset_id": dataset_id}).json()
    store.indexes.update(index["id"], lambda found: found.model_copy(update={"state": "succeeded"}))
    audit_id = ask(client, index).json()["id"]
    ones = np.ones(1, np.float32)
    table: dict[str, Any] = {"row_index": np.zeros(1, np.int64), "suspicion": ones, "loss": ones}
    store.audit_data.write_columns(audit_id, table)
    done = {"state": "succeeded", "rows_audited": 1, "columns": tuple(table)}
    store.audits.update(audit_id, lambda found: found.model_copy(update=done))
    (row,) = csv.DictReader(io.StringIO(client.get(f"/v1/audits/{audit_id}/table").text))
    assert json.loads(row["messages"]) == messages
    assert (row["loss"], "label" in row) == ("1.0", False)
    (shown,) = client.get(f"/v1/audits/{audit_id}/rows").json()["data"]
    assert (shown["row"]["messages"], shown["label"], shown["score"]) == (messages, None, None)
    body = assert_problem(client.get(f"/v1/audits/{audit_id}/rows?disagree=true"), 422, "invalid_request")
    assert "no column 'label'" in body["detail"]


def test_rows_that_are_not_there_yet_or_no_longer(
    client: TestClient, ready_index: dict[str, Any], audit_id: str, store: Store
) -> None:
    waiting = ask(client, ready_index).json()["id"]
    for part in ("rows", "table"):
        assert_problem(client.get(f"/v1/audits/{waiting}/{part}"), 409, "conflict")
    store.connections.state.delete(keys.audit_column(audit_id, "loss", 0))
    for part in ("rows", "table"):
        assert "again" in assert_problem(client.get(f"/v1/audits/{audit_id}/{part}"), 404, "not_found")["hint"]


def test_cancelling_an_audit_ends_it_and_removes_its_work(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    audit = ask(client, ready_index).json()
    store.audit_data.commit_part(audit["id"], "labels", 0, np.zeros(3))
    assert client.delete(f"/v1/jobs/{audit['job_id']}").json()["state"] == "cancelled"
    assert client.get(f"/v1/audits/{audit['id']}").json()["state"] == "cancelled"
    assert list(store.connections.state.scan_iter(match=keys.audit_pattern(audit["id"]))) == []
    assert "Send it again" in assert_problem(client.get(f"/v1/audits/{audit['id']}/rows"), 409, "conflict")["hint"]


def test_deleting_an_audit_removes_all_of_it(client: TestClient, audit_id: str, store: Store) -> None:
    job_id = client.get(f"/v1/audits/{audit_id}").json()["job_id"]
    assert client.delete(f"/v1/audits/{audit_id}").status_code == 204
    assert_problem(client.get(f"/v1/audits/{audit_id}"), 404, "not_found")
    assert list(store.connections.state.scan_iter(match=keys.audit_pattern(audit_id))) == []
    assert store.jobs.state(job_id) == "succeeded"


def test_deleting_an_audit_that_is_worked_on_cancels_it(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    audit = ask(client, ready_index).json()
    assert client.delete(f"/v1/audits/{audit['id']}").status_code == 204
    assert store.jobs.state(audit["job_id"]) == "cancelled"


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_examples_are_requests(name: str) -> None:
    AuditRequest.model_validate(EXAMPLES[name]["value"])


def test_methods_are_listed_with_baselines_marked(client: TestClient) -> None:
    listed = {method["name"]: method for method in client.get("/v1/methods").json()["data"]}
    assert listed["datainf"]["default_damping_scale"] == 0.1
    assert not listed["datainf"]["is_baseline"]
    assert (listed["embedding"]["is_baseline"], listed["embedding"]["has_self_influence"]) == (True, False)


def test_a_baseline_can_be_asked_on_any_storage(client: TestClient, ready_index: dict[str, Any]) -> None:
    body = {"examples": [{"text": "where is my refund", "label": "billing"}], "method": "embedding"}
    answer = client.post(f"/v1/indexes/{ready_index['id']}/queries", json=body)
    assert (answer.status_code, answer.json()["method"]) == (202, "embedding")
