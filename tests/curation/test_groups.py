"""Groups over HTTP against the scores that queries give, and what leaving rows out is said to do."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.problems import assert_problem
from support.stories.curation import EVALUATION, ROWS
from support.tiny import LABELS, make_classifier, poison_word
from support.trials.bench import Bench

from influence.contracts.index import Calibration

#: A word whose rows have no finite gradient.
POISON = "refund"
SOURCES = np.array([row["source"] for row in ROWS])


def mean_scores(bench: Bench, index: dict[str, Any], evaluation: dict[str, Any], **fields: Any) -> np.ndarray:
    """Scores (n,) of the rows on the mean loss of the evaluation rows, as a query gives them."""
    query = bench.query(index, rows=evaluation, aggregate="mean", k=1, **fields)
    return -np.asarray(bench.get(f"/v1/queries/{query['id']}/scores")["influence"][0])


def test_groups_are_means_of_what_queries_say(bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]) -> None:
    scores = mean_scores(bench, index, evaluation)
    made = bench.groups(index, by="source", evaluation=evaluation)
    assert (made["evaluation_rows"], made["method"], made["damping_scale"]) == (10, "datainf", 0.1)
    found = {one["group"]: one for one in made["groups"]}
    for name, one in found.items():
        inside = scores[name == SOURCES]
        assert (one["rows"], one["share"]) == (len(inside), pytest.approx(len(inside) / len(ROWS)))
        assert one["mean_score"] == pytest.approx(inside.mean(), rel=1e-4, abs=1e-6)
        assert one["low"] <= one["mean_score"] <= one["high"]
        best = one["best"][0]
        assert best["score"] == pytest.approx(inside.max(), rel=1e-4)
        assert ROWS[best["row_index"]]["text"] == best["row"]["text"]
    means = [one["mean_score"] for one in made["groups"]]
    assert means == sorted(means, reverse=True)
    assert "forms" in made["notes"][0]


def test_groups_and_what_if_name_the_method_that_was_left_open(
    bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    made = bench.groups(index, by="source", evaluation=evaluation, method="auto")
    assert (made["method"], made["damping_scale"]) == ("proximal", 3.0)
    scores = mean_scores(bench, index, evaluation, method="proximal")
    best = made["groups"][0]
    assert best["mean_score"] == pytest.approx(scores[best["group"] == SOURCES].mean(), rel=1e-4)
    answer = bench.client.post(f"/v1/groups/{made['id']}/what-if", json={"remove": {"row_indexes": [0]}})
    said = answer.json()
    assert (said["method"], said["damping_scale"]) == ("proximal", 3.0)
    assert said["method_reason"] == made["method_reason"]
    assert "agreed best with retraining" in said["method_reason"]
    assert said["predicted_change"] is None
    calibration = Calibration(
        evaluation_id="eval_x",
        method="proximal",
        damping_scale=3.0,
        scale=0.5,
        low=0.2,
        high=0.9,
        correlation=0.8,
        is_useful=True,
        slope=1.1,
        left_out_share=0.1,
    )
    bench.store.indexes.update(index["id"], lambda kept: kept.model_copy(update={"calibrations": (calibration,)}))
    path = f"/v1/groups/{made['id']}/what-if"
    said = bench.client.post(path, json={"remove": {"lowest": {"percent": 30}}}).json()
    assert said["predicted_change"] == pytest.approx(0.5 * said["effect"])
    assert [said["predicted_low"], said["predicted_high"]] == pytest.approx(
        sorted([0.2 * said["effect"], 0.9 * said["effect"]])
    )
    assert any("calibrated on leaving out 10%" in warning for warning in said["warnings"])


def test_groups_go_by_label_and_by_class_of_the_evaluation_rows(
    bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    made = bench.groups(index, by="label", evaluation=evaluation, method="hessian_free")
    assert {one["group"] for one in made["groups"]} == {row["label"] for row in ROWS}
    assert made["damping_scale"] is None
    assert all(len(one["by_class"]) == len(made["classes"]) for one in made["groups"])
    assert all(one["mean_loss"] > 0 for one in made["groups"])


def test_groups_tell_the_suspicion_of_the_newest_audit(
    bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    without = bench.groups(index, by="source", evaluation=evaluation)
    assert {one["mean_suspicion"] for one in without["groups"]} == {None}
    audits = [bench.audit(index, signals=[signal]) for signal in ("loss", "self_influence")]
    newest = bench.groups(index, by="label", evaluation=evaluation)
    assert newest["audit_id"] == audits[1]["id"]
    asked = bench.groups(index, by="source", evaluation=evaluation, audit_id=audits[0]["id"])
    rows = bench.get(f"/v1/audits/{audits[0]['id']}/rows?sort=row_index&order=asc&length=100")["data"]
    suspicions = np.array([row["suspicion"] for row in rows])
    for one in asked["groups"]:
        assert one["mean_suspicion"] == pytest.approx(suspicions[one["group"] == SOURCES].mean(), rel=1e-5)
        assert one["sum_low"] <= one["sum_score"] <= one["sum_high"]
        assert one["sum_low"] == pytest.approx(one["rows"] * one["low"])


def test_an_audit_of_another_index_is_refused(bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]) -> None:
    other = bench.index({"id": index["spec"]["checkpoint_id"]}, bench.dataset(ROWS[:24]))
    foreign = bench.audit(other, signals=["loss"])
    body = {"by": "source", "evaluation": evaluation, "audit_id": foreign["id"]}
    refused = bench.client.post(f"/v1/indexes/{index['id']}/groups", json=body)
    assert_problem(refused, 422, "invalid_request")
    assert other["id"] in refused.json()["detail"]


@pytest.mark.parametrize(
    ("by", "hint"), [("sources", "label, predicted, source"), ("text", "predicted, source, visits")]
)
def test_a_column_that_is_none_is_refused_at_once(
    bench: Bench, index: dict[str, Any], evaluation: dict[str, Any], by: str, hint: str
) -> None:
    refused = bench.client.post(f"/v1/indexes/{index['id']}/groups", json={"by": by, "evaluation": evaluation})
    assert_problem(refused, 422, "invalid_request")
    assert hint in refused.json()["hint"]


def test_rows_that_the_index_left_out_take_no_part(bench: Bench, tmp_path: Path) -> None:
    poisoned = make_classifier(tmp_path / "poisoned")
    poison_word(poisoned, POISON)
    checkpoint = bench.checkpoint(poisoned, label_names=json.dumps(LABELS))
    judged = {"dataset_id": bench.dataset([row for row in EVALUATION if POISON not in row["text"].split()])["id"]}
    index = bench.index(checkpoint, bench.dataset(ROWS), on_non_finite="skip")
    is_inside = np.array([POISON not in row["text"].split() for row in ROWS])
    assert 0 < is_inside.sum() < len(ROWS)
    made = bench.groups(index, by="source", evaluation=judged)
    query = bench.query(index, rows=judged, aggregate="mean", k=1)
    influence = np.array(bench.get(f"/v1/queries/{query['id']}/scores")["influence"][0], dtype=float)
    for one in made["groups"]:
        own = is_inside & (one["group"] == SOURCES)
        assert one["rows"] == own.sum()
        assert one["mean_score"] == pytest.approx(-influence[own].mean(), rel=1e-4, abs=1e-6)
    assert made["notes"][0].startswith(f"{(~is_inside).sum()} rows")
    remove = {"row_indexes": np.flatnonzero(~is_inside).tolist()}
    answer = bench.client.post(f"/v1/groups/{made['id']}/what-if", json={"remove": remove}).json()
    assert (answer["effect"], answer["rows_removed"]) == (0, (~is_inside).sum())


def test_what_if_says_a_sets_effect_beside_random_sets(
    bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    scores = mean_scores(bench, index, evaluation)
    made = bench.groups(index, by="source", evaluation=evaluation)
    path = f"/v1/groups/{made['id']}/what-if"
    rows = [int(row) for row in np.argsort(scores)[:5]]
    found = bench.client.post(path, json={"remove": {"row_indexes": rows}}).json()
    assert (found["rows_removed"], found["rows_left"]) == (5, 43)
    assert found["effect"] == pytest.approx(scores[rows].sum(), rel=1e-4)
    assert found["percentile"] < 1
    assert found["predicted_change"] is None
    lowest = bench.client.post(path, json={"remove": {"lowest": {"percent": 10}}}).json()
    assert lowest["effect"] == pytest.approx(found["effect"], rel=1e-4)
    assert [one["percent"] for one in found["curve"]][:2] == [0.5, 1.0]
    assert sum(one["before"] - one["after"] for one in found["labels"]) == 5


def test_leaving_a_whole_group_out_is_warned_about(
    bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    made = bench.groups(index, by="source", evaluation=evaluation)
    path = f"/v1/groups/{made['id']}/what-if"
    found = bench.client.post(path, json={"remove": {"group": "crawl"}}).json()
    assert found["rows_removed"] == 12
    assert {one["name"]: one["after"] for one in found["groups"]} == {"crawl": 0, "forms": 36}
    assert any("Group crawl loses 100%" in text for text in found["warnings"])


def test_the_rows_that_a_review_removes(bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]) -> None:
    made = bench.groups(index, by="source", evaluation=evaluation)
    review = bench.client.post("/v1/reviews", json={"dataset_id": index["spec"]["dataset_id"]}).json()
    decisions = [{"row_index": 3, "action": "remove"}, {"row_index": 4, "action": "keep"}]
    bench.client.patch(f"/v1/reviews/{review['id']}/decisions", json={"decisions": decisions})
    path = f"/v1/groups/{made['id']}/what-if"
    assert bench.client.post(path, json={"remove": {"review_id": review["id"]}}).json()["rows_removed"] == 1


@pytest.mark.parametrize(
    "remove",
    [
        {},
        {"row_indexes": [1], "group": "crawl"},
        {"row_indexes": [48]},
        {"row_indexes": [-1]},
        {"group": "none"},
        {"lowest": {"percent": 0.01}},
        {"row_indexes": list(range(48))},
    ],
)
def test_a_set_that_cannot_be_left_out_is_refused(
    bench: Bench, index: dict[str, Any], evaluation: dict[str, Any], remove: dict[str, Any]
) -> None:
    made = bench.groups(index, by="source", evaluation=evaluation)
    assert_problem(
        bench.client.post(f"/v1/groups/{made['id']}/what-if", json={"remove": remove}), 422, "invalid_request"
    )


def test_groups_go_with_their_index(bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]) -> None:
    made = bench.groups(index, by="source", evaluation=evaluation)
    assert bench.client.delete(f"/v1/indexes/{index['id']}").status_code == 204
    assert_problem(bench.client.get(f"/v1/groups/{made['id']}"), 404, "not_found")
    assert not [name for name in bench.store.connections.state.scan_iter() if made["id"].encode() in name]


def test_groups_by_what_the_model_answers_and_rows_left_out_by_what_they_hold(
    bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    made = bench.groups(index, by="predicted", evaluation=evaluation)
    assert {one["group"] for one in made["groups"]} <= set(LABELS)
    assert sum(one["rows"] for one in made["groups"]) == len(ROWS)
    answers = bench.query(index, rows={"dataset_id": index["spec"]["dataset_id"]}, k=1)["results"]
    counted = Counter(one["predicted_label"] for one in answers)
    assert {one["group"]: one["rows"] for one in made["groups"]} == counted
    where = [{"column": "source", "op": "eq", "value": "crawl"}, {"column": "score", "op": "lt", "value": 0}]
    scores = mean_scores(bench, index, evaluation)
    answer = bench.client.post(f"/v1/groups/{made['id']}/what-if", json={"remove": {"filter": {"where": where}}}).json()
    inside = (SOURCES == "crawl") & (scores < 0)
    assert answer["rows_removed"] == inside.sum()
    assert answer["effect"] == pytest.approx(scores[inside].sum(), rel=1e-3)
    nothing = bench.client.post(f"/v1/groups/{made['id']}/what-if", json={"remove": {"filter": {}}})
    assert_problem(nothing, 422, "invalid_request")


def test_what_if_is_verified_by_training_without_just_these_rows(
    bench: Bench, index: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    made = bench.groups(index, by="source", evaluation=evaluation)
    path = f"/v1/groups/{made['id']}/what-if"
    asked: dict[str, Any] = {
        "remove": {"row_indexes": [3, 7, 11, 15]},
        "repeats": 2,
        "recipe": {"epochs": 1, "batch_rows": 16},
    }
    said = bench.client.post(path, json=asked).json()
    # Of 48 rows, once whole and twice without four, two trainings each: 2 x (3 + 3 + 3) steps.
    assert (said["cost"]["trainings"], said["cost"]["steps"]) == (6, 18)
    assert said["cost"]["seconds"] > 0
    assert said["evaluation_id"] is None
    refused = bench.client.post(path, json={**asked, "verify": True, "max_seconds": 1e-9})
    assert_problem(refused, 422, "invalid_request")
    assert refused.json()["cost"] == said["cost"]
    begun = bench.client.post(path, json={**asked, "verify": True})
    assert (begun.status_code, begun.headers["Location"]) == (202, f"/v1/jobs/{begun.json()['job_id']}")
    found = bench.finished(begun.json(), f"/v1/evaluations/{begun.json()['evaluation_id']}")
    assert found["request"]["row_indexes"] == [3, 7, 11, 15]
    tables = {table["name"]: table for table in found["report"]["tables"]}
    rises = {row[1]: row for row in tables["leave-out"]["rows"]}
    assert set(rises) == {"at random", "as given"}
    assert rises["as given"][0] == 4
    _, _, rise, low, high, over, over_low, over_high = rises["as given"]
    assert low <= rise <= high
    assert over_low <= over <= over_high
    (row,) = tables["predicted"]["rows"]
    assert row[0] == pytest.approx(said["effect"])
    assert (row[3], row[4], row[5]) == (rise, low, high)
