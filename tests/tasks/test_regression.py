"""Regression: numbers as labels, from the file to gradients, scores, audits and evaluations."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.oracle import dense_datainf, loop_gradients
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.tiny import TinyCheckpoint, make_classifier
from support.trials.bench import Bench
from support.trials.exactness import assert_rows_exact, load_tiny
from support.trials.shown import show, show_suspects

from app.intake.adapters import accept_adapter
from influence.contracts.checkpoint import BaseModelRef
from influence.contracts.index import GradientSettings
from influence.errors import TaskMismatch
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions

ROWS = 24


def rated_rows(count: int, *, seed: int = 0, outputs: int = 1) -> list[dict[str, Any]]:
    """Tickets with numbers as labels, which float32 holds exactly."""
    rng = np.random.default_rng(seed)
    labels = (rng.integers(-255, 256, size=(count, outputs)) / 64).tolist()
    rows = make_ticket_rows(count, seed=seed)
    return [{**row, "label": numbers if outputs > 1 else numbers[0]} for row, numbers in zip(rows, labels, strict=True)]


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCheckpoint:
    return make_classifier(tmp_path / "one", labels=1)


def loss_of_transformers(loaded: LoadedCheckpoint, label_type: type = float) -> Any:
    """What transformers itself makes of one row and its numbers."""

    def loss(model: Any, row: dict[str, Any]) -> Any:
        model.config.problem_type = "regression"
        inputs = loaded.tokenizer(row["text"], row.get("text_pair"), return_tensors="pt")
        return model(**inputs, labels=torch.tensor([row["label"]], dtype=torch.float64)).loss

    return loss


@pytest.mark.parametrize("outputs", [1, 3])
def test_gradients_are_those_of_one_row_at_a_time(tmp_path: Path, outputs: int) -> None:
    loaded = load_tiny(make_classifier(tmp_path, labels=outputs), task="regression")
    assert_rows_exact(loaded, rated_rows(7, outputs=outputs), loss_of_transformers(loaded))


def test_gradients_of_pairs_are_those_of_one_row_at_a_time(tiny: TinyCheckpoint) -> None:
    loaded = load_tiny(tiny)
    rows = [{**row, "text_pair": "card lost again"} for row in rated_rows(5)]
    assert_rows_exact(loaded, rows, loss_of_transformers(loaded))


def test_scores_equal_the_formula_written_out(bench: Bench, tiny: TinyCheckpoint) -> None:
    checkpoint, rows, asked = bench.checkpoint(tiny), rated_rows(ROWS), rated_rows(2, seed=5)
    assert (checkpoint["task"], checkpoint["num_labels"]) == ("regression", 1)
    dataset = bench.dataset(rows)
    assert (dataset["kind"], dataset["columns"]["score"]) == ("regression", "label")
    assert dataset["statistics"]["numbers_per_row"] == 1
    assert dataset["statistics"]["numbers"]["max"] == max(row["label"] for row in rows)
    index = bench.index(checkpoint, dataset, storage="full")
    query = bench.query(index, examples=asked, k=3)
    loaded = load_tiny(tiny)
    truth = dense_datainf(loop_gradients(loaded, asked), loop_gradients(loaded, rows))
    found = bench.get(f"/v1/queries/{query['id']}/scores")["influence"]
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())
    result = query["results"][0]
    assert isinstance(result["predicted_label"], float)
    assert result["loss"] == pytest.approx((result["predicted_label"] - asked[0]["label"]) ** 2, rel=1e-4)
    assert f"label {asked[0]['label']} · loss" in show(query)
    assert f"the model says {result['predicted_label']}" in show(query)
    assert bench.preview(checkpoint, dataset)[0]["rendered"].startswith("[CLS]")
    assert result["helpful"][0]["label"] == rows[result["helpful"][0]["row_index"]]["label"]


def test_test_points_come_from_rows_and_from_a_command_line_that_writes_numbers_as_text(
    bench: Bench, tiny: TinyCheckpoint
) -> None:
    dataset = bench.dataset(rated_rows(ROWS))
    index = bench.index(bench.checkpoint(tiny), dataset, storage="compact", rank=4)
    rows = {"dataset_id": dataset["id"], "row_indexes": [0, 1]}
    assert len(bench.query(index, rows=rows, aggregate="mean")["results"]) == 1
    (result,) = bench.query(index, examples=[{"text": "refund late", "label": "-2.5"}])["results"]
    assert result["example"]["label"] == -2.5
    (result,) = bench.query(index, examples=[{"text": "refund late", "score": 3}])["results"]
    assert result["example"]["label"] == 3


def test_an_audit_ranks_rows_by_what_numbers_have(bench: Bench, tiny: TinyCheckpoint) -> None:
    rows = rated_rows(ROWS)
    dataset = bench.dataset(rows)
    index = bench.index(bench.checkpoint(tiny), dataset)
    audit = bench.audit(index, evaluation={"dataset_id": dataset["id"], "row_indexes": [0, 1, 2]})
    assert [signal["name"] for signal in audit["signals"]] == ["loss", "self_influence", "influence"]
    assert audit["classes"] is None
    page = bench.get(f"/v1/audits/{audit['id']}/rows?length=3&sort=loss")
    assert all(row["label"] == rows[row["row_index"]]["label"] for row in page["data"])
    assert str(page["data"][0]["label"]) in show_suspects(page["data"])
    for accept in ("text/csv", "application/vnd.apache.parquet"):
        table = bench.client.get(f"/v1/audits/{audit['id']}/table", headers={"Accept": accept})
        assert table.status_code == 200
    lines = bench.client.get(f"/v1/audits/{audit['id']}/table", headers={"Accept": "application/jsonl"}).text
    assert [json.loads(line)["label"] for line in lines.splitlines()] == [row["label"] for row in rows]
    refused = bench.client.post(f"/v1/indexes/{index['id']}/audits", json={"signals": ["margin"]})
    assert "have no class" in assert_problem(refused, 422, "invalid_request")["detail"]


def test_an_evaluation_trains_a_head_that_gives_numbers(bench: Bench, tiny: TinyCheckpoint) -> None:
    evaluation = bench.evaluate(
        kind="lds",
        dataset_id=bench.dataset(rated_rows(40))["id"],
        base_model=str(tiny.base),
        subsets=8,
        seeds=[0],
        test_points=4,
        max_length=64,
        lora={"r": 2},
        recipe={"epochs": 1},
        methods=[{"method": "datainf"}],
    )
    assert evaluation["subject"]["task"] == "regression"
    assert evaluation["subject"]["num_labels"] == 1
    assert evaluation["report"]["tables"]


def test_flipped_labels_need_classes(bench: Bench, tiny: TinyCheckpoint) -> None:
    body = {"kind": "mislabelled", "dataset_id": bench.dataset(rated_rows(40))["id"], "base_model": str(tiny.base)}
    assert_problem(bench.client.post("/v1/evaluations", json=body), 422, "rows_unfit")


def test_a_prediction_in_the_labels_place_would_have_no_gradient(bench: Bench, tiny: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(tiny), bench.dataset(rated_rows(ROWS)))
    body = {"examples": [{"text": "refund"}], "target": "prediction"}
    problem = assert_problem(bench.client.post(f"/v1/indexes/{index['id']}/queries", json=body), 422, "invalid_request")
    assert "every influence on it" in problem["detail"]


def test_labels_that_are_no_numbers_are_refused_by_row(bench: Bench) -> None:
    score = json.dumps({"text": "text", "score": "label"})
    for label, detail in (("high", "Row 1: column 'label' holds 'high'"), (True, "'True'"), ([1.5, 2.5], "2 numbers")):
        rows: list[dict[str, Any]] = [{"text": "a", "label": 1.5}, {"text": "b", "label": label}]
        answer = bench.send_rows(rows, columns=score)
        assert answer.status_code == 422
        assert detail in answer.json()["detail"]
        assert answer.json()["row_index"] == 1
    problem = assert_problem(bench.send_rows([{"text": "a", "label": None}], columns=score), 422, "rows_refused")
    assert problem["row_indexes"] == [0]
    named = bench.send_rows(rated_rows(3), label_names='["low", "high"]')
    assert "name classes" in assert_problem(named, 422, "invalid_request")["detail"]


def test_whole_numbers_are_classes_until_the_role_says_otherwise(bench: Bench, tiny: TinyCheckpoint) -> None:
    rows = [{"text": row["text"], "stars": place % 5} for place, row in enumerate(make_ticket_rows(10))]
    classes = bench.dataset(rows, columns='{"label": "stars"}')
    numbers = bench.dataset(rows, columns='{"score": "stars"}')
    assert (classes["kind"], numbers["kind"]) == ("classification", "regression")
    ids = {"checkpoint_id": bench.checkpoint(tiny)["id"], "dataset_id": classes["id"]}
    problem = assert_problem(bench.client.post("/v1/indexes", json=ids), 422, "rows_unfit")
    assert "text + score for regression" in problem["hint"]


def test_a_late_fraction_makes_numbers_of_all_labels(bench: Bench) -> None:
    rows = [{"text": f"t{place}", "label": place % 5} for place in range(40)] + [{"text": "late", "label": 2.5}]
    answer = bench.send_rows(rows).json()
    assert (answer["kind"], answer["columns"]) == ("regression", {"text": "text", "score": "label"})
    read = bench.get(f"/v1/datasets/{answer['id']}/rows?limit=41")["data"]
    assert [row["row"]["label"] for row in read] == [row["label"] for row in rows]


def test_numbers_in_a_file_without_types_are_numbers(bench: Bench) -> None:
    answer = bench.client.post("/v1/datasets", files={"file": ("r.csv", b"text,label\nrefund,1.5\nlate,2\n")})
    assert answer.json()["kind"] == "regression"
    rows = bench.get(f"/v1/datasets/{answer.json()['id']}/rows")["data"]
    assert [row["row"]["label"] for row in rows] == [1.5, 2.0]


def test_rows_with_more_numbers_than_the_head_are_refused(bench: Bench, tiny: TinyCheckpoint) -> None:
    checkpoint, two = bench.checkpoint(tiny), bench.dataset(rated_rows(6, outputs=2))
    refused = bench.client.post("/v1/indexes", json={"checkpoint_id": checkpoint["id"], "dataset_id": two["id"]})
    assert "2 numbers as label, the head has 1 output" in assert_problem(refused, 422, "rows_unfit")["detail"]
    index = bench.index(checkpoint, bench.dataset(rated_rows(6)))
    body = {"examples": [{"text": "refund", "label": [1.0, 2.0]}]}
    assert_problem(bench.client.post(f"/v1/indexes/{index['id']}/queries", json=body), 422, "rows_unfit")


def test_the_configuration_says_which_loss_a_head_was_trained_with(bench: Bench, tmp_path: Path) -> None:
    stated = make_classifier(tmp_path / "stated", labels=3, problem_type="regression")
    assert bench.checkpoint(stated)["task"] == "regression"
    problem = assert_problem(bench.send_adapter(stated, task="sequence_classification"), 422, "task_mismatch")
    assert problem["problem_type"] == "regression"
    assert "'regression'" in problem["hint"]
    beside = make_classifier(tmp_path / "beside", labels=3)
    assert bench.checkpoint(beside)["task"] == "sequence_classification"
    (beside.adapter / "config.json").write_text('{"problem_type": "regression"}')
    assert bench.checkpoint(beside)["task"] == "regression"
    (beside.adapter / "config.json").write_text('{"problem_type": "sorting"}')
    assert "no task here has" in assert_problem(bench.send_adapter(beside), 422, "task_mismatch")["detail"]


def test_a_head_on_the_hub_is_checked_by_the_worker_that_loads_it(tmp_path: Path) -> None:
    stated = make_classifier(tmp_path / "stated", labels=3, problem_type="regression")
    commit = "1" * 40
    shutil.copytree(stated.base, tmp_path / "models--a--b" / "snapshots" / commit)
    hub = BaseModelRef(name="a/b", kind="hub", location="a/b", revision=commit)
    for task, refused in (("sequence_classification", True), ("regression", False)):
        checkpoint = accept_adapter(stated.adapter, hub, task=task)
        with pytest.raises(TaskMismatch, match="'regression'") if refused else nullcontext():
            load_checkpoint(checkpoint, stated.adapter, GradientSettings(), LoadOptions(cache_dir=tmp_path))


def test_a_head_that_leaves_its_task_open_is_what_was_asked_for(bench: Bench, tmp_path: Path) -> None:
    wide = make_classifier(tmp_path / "wide", labels=3)
    assert bench.checkpoint(wide, task="regression")["task"] == "regression"
    named = bench.send_adapter(wide, task="regression", label_names='["a", "b", "c"]')
    assert "has none" in assert_problem(named, 422, "invalid_request")["detail"]
