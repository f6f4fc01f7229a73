"""One action for many rows: said before it is done, and never over what a person has decided."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.stories.reviewing import Reviewing


def test_a_dry_run_says_what_would_change_and_changes_nothing(with_audit: Reviewing) -> None:
    answer = with_audit.post(
        "decisions/bulk", filter={"disagree": True}, action="relabel", label_from="predicted", dry_run=True
    )
    assert (answer["rows"], answer["skipped"], answer["version"]) == (4, 0, 0)
    assert answer["per_class"] == {"billing": 2, "access": 1, "delivery": 1}
    first = answer["samples"][0]
    assert (first["row_index"], first["label"], first["row"]["text"]) == (3, "access", "ticket 3")
    assert with_audit.decisions() == {}


def test_rows_that_the_model_answers_otherwise_take_its_label(with_audit: Reviewing) -> None:
    with_audit.post("decisions/bulk", filter={"disagree": True}, action="relabel", label_from="predicted", by="ada")
    data = with_audit.client.get(f"{with_audit.path}/decisions").json()["data"]
    assert {one["row_index"]: one["label"] for one in data} == {
        3: "access",
        7: "billing",
        8: "access",
        9: "delivery",
    }
    assert {one["by"] for one in data} == {"ada"}


def test_top_takes_the_most_suspicious_first(with_audit: Reviewing) -> None:
    with_audit.post("decisions/bulk", top=3, action="later")
    assert with_audit.decisions() == {9: "later", 10: "later", 11: "later"}


def test_a_persons_decision_stays_unless_it_is_to_be_overwritten(with_audit: Reviewing) -> None:
    with_audit.decide({"row_index": 11, "action": "keep"})
    answer = with_audit.post("decisions/bulk", top=2, action="remove")
    assert (answer["rows"], answer["skipped"]) == (1, 1)
    assert with_audit.decisions() == {11: "keep", 10: "remove"}
    with_audit.post("decisions/bulk", top=2, action="remove", overwrite=True)
    assert with_audit.decisions() == {11: "remove", 10: "remove"}


def test_a_bulk_decision_is_undone_as_one(with_audit: Reviewing) -> None:
    with_audit.post("decisions/bulk", top=5, action="remove")
    with_audit.post("undo")
    assert with_audit.decisions() == {}


def test_rows_by_number_need_no_audit(reviewing: Reviewing) -> None:
    answer = reviewing.post("decisions/bulk", row_indexes=[1, 2, 2], action="relabel", label="delivery")
    assert answer["rows"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {"action": "keep"},
        {"action": "keep", "row_indexes": [1], "top": 3},
        {"action": "relabel", "row_indexes": [1]},
        {"action": "keep", "row_indexes": [1], "label": "access"},
        {"action": "relabel", "row_indexes": [1], "label": "access", "label_from": "predicted"},
        {"action": "keep", "row_indexes": [99]},
        {"action": "keep", "top": 3},
        {"action": "relabel", "row_indexes": [1], "label_from": "predicted"},
    ],
)
def test_a_bulk_decision_that_says_too_little_or_too_much_is_refused(
    client: TestClient, review: dict[str, Any], body: dict[str, Any]
) -> None:
    refused = client.post(f"/v1/reviews/{review['id']}/decisions/bulk", json=body)
    assert_problem(refused, 422, "invalid_request")


def test_a_review_takes_no_audit_of_other_rows_or_one_that_is_not_finished(
    client: TestClient, ready_index: dict[str, Any], dataset_id: str
) -> None:
    audit = client.post(f"/v1/indexes/{ready_index['id']}/audits", json={}).json()
    running = client.post("/v1/reviews", json={"dataset_id": dataset_id, "audit_id": audit["id"]})
    assert_problem(running, 409, "conflict")
    other = client.post("/v1/datasets", files={"file": ("o.jsonl", '{"text": "x", "label": "access"}\n')}).json()["id"]
    foreign = client.post("/v1/reviews", json={"dataset_id": other, "audit_id": audit["id"]})
    assert_problem(foreign, 422, "invalid_request")
