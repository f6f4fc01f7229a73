"""Multi-label classification: sets of classes as labels, from the file to gradients, scores and audits."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.oracle import dense_datainf, loop_gradients
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.tiny import LABELS, TinyCheckpoint, make_classifier, make_decoder_classifier
from support.trials.bench import Bench
from support.trials.exactness import assert_rows_exact, load_tiny
from support.trials.shown import show, show_suspects

ROWS = 24
TASK = "multi_label_classification"
NAMED = json.dumps(list(LABELS))


def tagged_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Tickets with none, some or all of the classes."""
    chance = random.Random(seed)
    rows = make_ticket_rows(count, seed=seed)
    return [{**row, "label": [name for name in LABELS if chance.random() < 0.5]} for row in rows]


def as_vectors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "label": [int(name in row["label"]) for name in LABELS]} for row in rows]


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCheckpoint:
    return make_classifier(tmp_path / "tagger", problem_type=TASK)


@pytest.fixture
def checkpoint(bench: Bench, tiny: TinyCheckpoint) -> dict[str, Any]:
    return bench.checkpoint(tiny, label_names=NAMED)


def test_a_column_for_each_class_is_told_how_to_become_one(bench: Bench, checkpoint: dict[str, Any]) -> None:
    flags = [{"text": "refund late", "billing": 1, "access": 0, "delivery": 1}]
    refused = bench.client.post(
        "/v1/indexes", json={"checkpoint_id": checkpoint["id"], "dataset_id": bench.dataset(flags)["id"]}
    )
    hint = assert_problem(refused, 422, "rows_unfit")["hint"]
    assert "frame[['billing', 'access', 'delivery']]" in hint
    joined = [{"text": "refund late", "labels": [1, 0, 1]}]
    followed = bench.dataset(joined, columns='{"text": "text", "label_vector": "labels"}')
    assert bench.index(checkpoint, followed)["rows_indexed"] == 1


def test_names_say_the_classes_of_a_test_point_where_the_rows_have_vectors(
    bench: Bench, checkpoint: dict[str, Any]
) -> None:
    """Also where the data set numbers its classes otherwise, so that a vector is refused: the hint has to work."""
    rows = [{"text": "refund late", "labels": [1, 0, 0]}, {"text": "login", "labels": [0, 1, 1]}]
    by_vector = bench.index(checkpoint, bench.dataset(rows))
    (vector,) = bench.query(by_vector, examples=[{"text": "late", "label": [1, 0, 1]}])["results"]
    (named,) = bench.query(by_vector, examples=[{"text": "late", "label": ["delivery", "billing"]}])["results"]
    assert named["loss"] == vector["loss"]
    turned = bench.index(checkpoint, bench.dataset(rows, label_names=json.dumps(list(reversed(LABELS)))))
    body = {"examples": [{"text": "late", "label": [1, 0, 1]}]}
    refused = bench.client.post(f"/v1/indexes/{turned['id']}/queries", json=body)
    assert "a list of names" in assert_problem(refused, 422, "label_unknown")["hint"]
    (again,) = bench.query(turned, examples=[{"text": "late", "label": ["delivery", "billing"]}])["results"]
    assert again["loss"] == vector["loss"]
    mixed = bench.client.post(
        f"/v1/indexes/{by_vector['id']}/queries", json={"examples": [{"text": "late", "label": ["billing", "1"]}]}
    )
    assert_problem(mixed, 422, "broken_row")


def test_gradients_are_those_of_one_row_at_a_time(tiny: TinyCheckpoint) -> None:
    loaded = load_tiny(tiny)
    rows = [{**row, "label": [LABELS.index(name) for name in row["label"]]} for row in tagged_rows(7)]

    def loss_of_transformers(model: Any, row: dict[str, Any]) -> Any:
        assert model.config.problem_type == TASK
        vector = torch.tensor([[float(place in row["label"]) for place in range(3)]], dtype=torch.float64)
        return model(**loaded.tokenizer(row["text"], return_tensors="pt"), labels=vector).loss

    assert_rows_exact(loaded, rows, loss_of_transformers)


@pytest.mark.parametrize("pad", [0, None])
def test_a_decoder_reads_its_answer_in_a_batch_where_it_reads_it_alone(tmp_path: Path, pad: int | None) -> None:
    loaded = load_tiny(make_decoder_classifier(tmp_path, problem_type=TASK, pad_token_id=pad))
    rows = [{**row, "label": [0]} for row in make_ticket_rows(5)]

    def loss_of_transformers(model: Any, row: dict[str, Any]) -> Any:
        vector = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
        return model(**loaded.tokenizer(row["text"], return_tensors="pt"), labels=vector).loss

    assert_rows_exact(loaded, rows, loss_of_transformers)


def test_scores_equal_the_formula_written_out(bench: Bench, checkpoint: dict[str, Any], tiny: TinyCheckpoint) -> None:
    rows, asked = tagged_rows(ROWS), tagged_rows(2, seed=5)
    assert (checkpoint["task"], checkpoint["label_names"]) == (TASK, list(LABELS))
    dataset = bench.dataset(rows)
    assert (dataset["kind"], dataset["columns"]["labels"]) == (TASK, "label")
    assert dataset["statistics"]["rows_without_class"] == sum(not row["label"] for row in rows)
    assert sum(dataset["statistics"]["labels"].values()) == sum(len(row["label"]) for row in rows)
    index = bench.index(checkpoint, dataset, storage="full")
    query = bench.query(index, examples=asked, k=3)
    loaded = load_tiny(tiny)
    numbered = [
        [{**row, "label": [LABELS.index(name) for name in row["label"]]} for row in some] for some in (asked, rows)
    ]
    test, train = (loop_gradients(loaded, some) for some in numbered)
    truth = dense_datainf(test, train)
    found = bench.get(f"/v1/queries/{query['id']}/scores")["influence"]
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())
    result = query["results"][0]
    assert set(result["predicted_label"]) <= set(LABELS)
    assert sorted(result["example"]["label"]) == sorted(asked[0]["label"])
    assert f"the model says {', '.join(result['predicted_label']) or 'none'}" in show(query)


def test_a_vector_means_what_the_list_of_its_classes_means(bench: Bench, checkpoint: dict[str, Any]) -> None:
    rows, asked = tagged_rows(ROWS), tagged_rows(1, seed=3)
    vectors = bench.dataset(as_vectors(rows))
    assert vectors["columns"]["label_vector"] == "label"
    assert vectors["statistics"]["label_vector"] == 3
    stored = bench.get(f"/v1/datasets/{vectors['id']}/rows?length={ROWS}")["data"]
    assert [[LABELS[place] for place in row["row"]["label"]] for row in stored] == [row["label"] for row in rows]
    index = bench.index(checkpoint, vectors)
    by_vector = bench.query(index, examples=as_vectors(asked))["results"][0]
    by_name = bench.query(index, examples=[{"text": asked[0]["text"], "labels": asked[0]["label"]}])["results"][0]
    assert by_vector["loss"] == by_name["loss"]
    assert [row["row_id"] for row in by_vector["helpful"]] == [row["row_id"] for row in by_name["helpful"]]


def test_the_models_own_answer_takes_the_labels_place(bench: Bench, checkpoint: dict[str, Any]) -> None:
    index = bench.index(checkpoint, bench.dataset(tagged_rows(ROWS)), storage="compact", rank=4)
    (result,) = bench.query(index, examples=[{"text": "refund late"}], target="prediction")["results"]
    assert result["example"]["label"] == result["predicted_label"]
    assert 0 < result["predicted_probability"] <= 1


def test_an_audit_shows_the_classes_of_every_row(bench: Bench, checkpoint: dict[str, Any]) -> None:
    rows = tagged_rows(ROWS)
    audit = bench.audit(bench.index(checkpoint, bench.dataset(rows)))
    assert [signal["name"] for signal in audit["signals"]] == ["loss", "self_influence"]
    page = bench.get(f"/v1/audits/{audit['id']}/rows?length=2")["data"]
    assert all(sorted(row["label"]) == sorted(rows[row["row_index"]]["label"]) for row in page)
    assert show_suspects(page)
    for accept in ("text/csv", "application/vnd.apache.parquet", "application/jsonl"):
        path = f"/v1/audits/{audit['id']}/table"
        assert bench.client.get(path, headers={"Accept": accept}).status_code == 200


def test_a_preview_shows_what_the_model_reads(bench: Bench, checkpoint: dict[str, Any]) -> None:
    preview = bench.preview(checkpoint, bench.dataset(tagged_rows(ROWS)))
    assert preview[0]["tokens"][0] == "[CLS]"
    assert not any(preview[0]["supervised"])


def test_an_evaluation_trains_a_head_with_an_output_per_class(bench: Bench, tiny: TinyCheckpoint) -> None:
    for rows in (tagged_rows(40), as_vectors(tagged_rows(40))):
        evaluation = bench.evaluate(
            kind="lds",
            dataset_id=bench.dataset(rows)["id"],
            base_model=str(tiny.base),
            subsets=8,
            seeds=[0],
            test_points=4,
            max_length=64,
            lora={"r": 2},
            recipe={"epochs": 1},
            methods=[{"method": "datainf"}],
        )
        assert (evaluation["subject"]["task"], evaluation["subject"]["num_labels"]) == (TASK, 3)


@pytest.mark.parametrize(
    ("columns", "label", "detail"),
    [
        ("labels", "billing", "no list"),
        ("labels", ["billing", "billing"], "a class twice"),
        ("labels", ["billing", None], "a class twice or an empty one"),
        ("labels", ["billing", 2], "numbers and names"),
        ("labels", [-1], "out of range"),
        ("labels", {"billing": 1}, "no list"),
        ("label_vector", [0, 2, 0], "more than 0 and 1"),
        ("label_vector", [0, 0.5, 0], "more than 0 and 1"),
        ("label_vector", [1, 0], "2 places, and there are 3 classes"),
    ],
)
def test_labels_that_are_no_sets_are_refused_by_row(bench: Bench, columns: str, label: Any, detail: str) -> None:
    first = ["access"] if columns == "labels" else [0, 0, 1]
    rows = [{"text": "a", "label": first}, {"text": "b", "label": label}]
    answer = bench.send_rows(rows, columns=json.dumps({"text": "text", columns: "label"}))
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]
    assert answer.json()["row_index"] == 1


def test_numbers_mean_the_classes_of_the_data_set_whatever_the_order_of_the_head(
    bench: Bench, checkpoint: dict[str, Any]
) -> None:
    rows = tagged_rows(ROWS)
    asked = [{"text": row["text"], "labels": row["label"]} for row in tagged_rows(1, seed=4)]
    turned = list(reversed(LABELS))
    numbered = [{**row, "label": [turned.index(name) for name in row["label"]]} for row in rows]
    vectors = [{**row, "label": [int(name in row["label"]) for name in turned]} for row in rows]
    expected = bench.query(bench.index(checkpoint, bench.dataset(rows)), examples=asked)["results"][0]
    for sent in (numbered, vectors):
        index = bench.index(checkpoint, bench.dataset(sent, label_names=json.dumps(turned)))
        found = bench.query(index, examples=asked)["results"][0]
        assert found["summary"] == pytest.approx(expected["summary"], rel=1e-5)


def test_a_row_without_a_label_is_not_a_row_without_classes(bench: Bench) -> None:
    columns = '{"text": "text", "labels": "label"}'
    problem = assert_problem(bench.send_rows([{"text": "a", "label": None}], columns=columns), 422, "rows_refused")
    assert problem["row_indexes"] == [0]
    assert bench.dataset([{"text": "a", "label": []}], columns=columns)["statistics"]["rows_without_class"] == 1


def test_lists_in_a_file_without_types_are_lists(bench: Bench) -> None:
    lines = b'text,label\nrefund,"[""billing""]"\nlate,[]\n'
    answer = bench.client.post("/v1/datasets", files={"file": ("r.csv", lines)}).json()
    assert answer["kind"] == TASK
    rows = bench.get(f"/v1/datasets/{answer['id']}/rows")["data"]
    assert [row["row"]["label"] for row in rows] == [["billing"], []]


def test_classes_that_the_head_does_not_have_are_refused(bench: Bench, checkpoint: dict[str, Any]) -> None:
    rows = [{"text": "a", "label": ["billing", "weather"]}, {"text": "b", "label": []}]
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": bench.dataset(rows)["id"]}
    problem = assert_problem(bench.client.post("/v1/indexes", json=ids), 422, "label_unknown")
    assert problem["labels"] == ["weather"]
    beyond = bench.dataset([{"text": "a", "label": [0, 7]}])
    assert_problem(
        bench.client.post("/v1/indexes", json={**ids, "dataset_id": beyond["id"]}), 422, "label_out_of_range"
    )
    wide = bench.dataset([{"text": "a", "label": [0, 1, 1, 0]}, {"text": "b", "label": [0, 1, 0, 0]}])
    refused = bench.client.post("/v1/indexes", json={**ids, "dataset_id": wide["id"]})
    assert assert_problem(refused, 422, "rows_unfit")["label_vector"] == 4
    index = bench.index(checkpoint, bench.dataset(tagged_rows(ROWS)))
    for label, code in ((["weather"], "label_unknown"), ([9], "label_out_of_range"), ("billing", "broken_row")):
        body = {"examples": [{"text": "a", "label": label}]}
        assert_problem(bench.client.post(f"/v1/indexes/{index['id']}/queries", json=body), 422, code)


def test_one_class_per_row_needs_the_other_task(bench: Bench, checkpoint: dict[str, Any]) -> None:
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": bench.dataset(make_ticket_rows(6))["id"]}
    problem = assert_problem(bench.client.post("/v1/indexes", json=ids), 422, "rows_unfit")
    assert "text + labels for multi_label_classification" in problem["hint"]
    assert "'sequence_classification'" in problem["hint"]


def test_a_review_keeps_and_removes_rows_but_writes_no_sets(bench: Bench) -> None:
    dataset = bench.dataset(tagged_rows(6))
    review = bench.client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).json()
    path = f"/v1/reviews/{review['id']}"
    relabel = {"decisions": [{"row_index": 0, "action": "relabel", "label": "billing"}]}
    problem = assert_problem(bench.client.patch(f"{path}/decisions", json=relabel), 422, "invalid_request")
    assert "not one class" in problem["detail"]
    removed = bench.client.patch(f"{path}/decisions", json={"decisions": [{"row_index": 0, "action": "remove"}]})
    assert removed.status_code == 200, removed.text
