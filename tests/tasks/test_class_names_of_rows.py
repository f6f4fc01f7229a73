"""An adapter that names no classes: its rows do, for everything that is asked about the index."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.tiny import LABELS, make_classifier
from support.trials.bench import Bench

TURNED = tuple(reversed(LABELS))
ROWS = make_ticket_rows(30)
ASKED = make_ticket_rows(6, seed=3)


def numbered(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{**row, "label": names.index(row["label"])} for row in rows]


@pytest.fixture
def index(bench: Bench, tmp_path: Path) -> dict[str, Any]:
    checkpoint = bench.checkpoint(make_classifier(tmp_path / "tiny"))
    assert checkpoint["label_names"] is None
    rows = bench.dataset(numbered(ROWS, LABELS), label_names=json.dumps(LABELS))
    return bench.index(checkpoint, rows, storage="compact")


def losses(query: dict[str, Any]) -> list[float]:
    return [result["loss"] for result in query["results"]]


def test_a_test_point_may_give_its_class_by_name(bench: Bench, index: dict[str, Any]) -> None:
    named, counted = (bench.query(index, examples=rows) for rows in (ASKED, numbered(ASKED, LABELS)))
    assert losses(named) == pytest.approx(losses(counted), rel=1e-5)
    assert {result["predicted_label"] for result in named["results"]} <= set(LABELS)
    unknown = bench.client.post(
        f"/v1/indexes/{index['id']}/queries", json={"examples": [{**ASKED[0], "label": "weather"}]}
    )
    assert_problem(unknown, 422, "label_unknown")


def test_rows_that_number_the_classes_otherwise_mean_them_by_name(bench: Bench, index: dict[str, Any]) -> None:
    same = bench.dataset(numbered(ASKED, LABELS), label_names=json.dumps(LABELS))
    turned = bench.dataset(numbered(ASKED, TURNED), label_names=json.dumps(TURNED))
    told = [losses(bench.query(index, rows={"dataset_id": rows["id"]})) for rows in (same, turned)]
    assert told[1] == pytest.approx(told[0], rel=1e-5)
    audits = [bench.audit(index, evaluation={"dataset_id": rows["id"]}) for rows in (same, turned)]
    assert audits[1]["evaluation_loss"] == pytest.approx(audits[0]["evaluation_loss"], rel=1e-5)
    assert audits[0]["label_names"] == list(LABELS)
    other = bench.dataset(numbered(ASKED, LABELS), label_names=json.dumps(["a", "b", "c"]))
    asked = {"rows": {"dataset_id": other["id"]}}
    assert_problem(bench.client.post(f"/v1/indexes/{index['id']}/queries", json=asked), 422, "label_unknown")


def test_an_index_grows_by_no_rows_that_number_the_classes_otherwise(bench: Bench, index: dict[str, Any]) -> None:
    turned = bench.dataset(numbered(make_ticket_rows(36), TURNED), label_names=json.dumps(TURNED))
    ids = {"checkpoint_id": index["spec"]["checkpoint_id"], "dataset_id": turned["id"], "grow_from": index["id"]}
    refused = bench.client.post("/v1/indexes", json={**ids, "storage": "compact", "max_length": 64})
    assert "number their classes in different orders" in assert_problem(refused, 422, "invalid_request")["detail"]
