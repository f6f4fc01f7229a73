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
    index = bench.index(checkpoint, rows, storage="compact")
    assert f"0 {LABELS[0]!r}, 1 {LABELS[1]!r}, 2 {LABELS[2]!r}" in index["warnings"][0]
    return index


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


@pytest.fixture
def nameless(bench: Bench, tmp_path: Path) -> dict[str, Any]:
    """Neither the adapter nor the indexed rows name a class."""
    checkpoint = bench.checkpoint(make_classifier(tmp_path / "nameless"))
    index = bench.index(checkpoint, bench.dataset(numbered(ROWS, LABELS)), storage="full")
    assert index["warnings"] == []
    return index


def test_where_only_the_asked_rows_have_names_their_numbers_are_taken_and_it_is_said(
    bench: Bench, nameless: dict[str, Any]
) -> None:
    named = bench.dataset(numbered(ASKED, TURNED), label_names=json.dumps(TURNED))
    asked = {"dataset_id": named["id"]}
    told = f"0 {TURNED[0]!r}, 1 {TURNED[1]!r}, 2 {TURNED[2]!r}"
    query = bench.query(nameless, rows=asked)
    audit = bench.audit(nameless, evaluation=asked)
    groups = bench.groups(nameless, by="label", evaluation=asked)
    assert all(told in " ".join(answer["notes"]) for answer in (query, audit, groups))
    plain = bench.query(nameless, rows={"dataset_id": bench.dataset(numbered(ASKED, LABELS))["id"]})
    assert plain["notes"] == []


def test_what_has_no_place_to_say_it_is_refused(bench: Bench, nameless: dict[str, Any]) -> None:
    named = bench.dataset(numbered(ASKED, TURNED), label_names=json.dumps(TURNED))
    for path, body in (
        (f"/v1/indexes/{nameless['id']}/sweeps", {"rows": {"dataset_id": named["id"]}}),
        (
            "/v1/evaluations",
            {"kind": "lds", "index_id": nameless["id"], "evaluation_dataset_id": named["id"], "rows": 20},
        ),
    ):
        assert_problem(bench.client.post(path, json=body), 422, "label_unknown")


def test_names_of_a_part_of_the_outputs_are_held_against_each_other(bench: Bench, tmp_path: Path) -> None:
    checkpoint = bench.checkpoint(make_classifier(tmp_path / "wide", labels=4))
    rows = bench.dataset(numbered(ROWS, LABELS), label_names=json.dumps(LABELS))
    index = bench.index(checkpoint, rows, storage="compact")
    turned = bench.dataset(numbered(ASKED, TURNED), label_names=json.dumps(TURNED))
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json={"rows": {"dataset_id": turned["id"]}})
    assert "the head names none" in assert_problem(answer, 422, "label_unknown")["detail"]
