"""Decisions: made, taken back, undone, and never lost to another reviewer."""

import threading
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.stories.reviewing import Reviewing

from influence.contracts.curation.review import DecisionChange
from influence.store import keys
from influence.store.store import Store


def test_a_review_begins_empty_and_counts_what_is_decided(reviewing: Reviewing) -> None:
    assert reviewing.progress() == {
        "rows": 12,
        "decided": 0,
        "keep": 0,
        "relabel": 0,
        "remove": 0,
        "later": 0,
        "hit_rate": None,
    }
    answer = reviewing.decide(
        {"row_index": 1, "action": "keep"},
        {"row_index": 2, "action": "remove", "note": "spam"},
        {"row_index": 3, "action": "relabel", "label": "access"},
        {"row_index": 4, "action": "later"},
        by="ada",
    )
    assert answer == {"applied": 4, "version": 1, "conflicts": []}
    progress = reviewing.progress()
    assert (progress["decided"], progress["relabel"], progress["hit_rate"]) == (4, 1, pytest.approx(2 / 3))


def test_a_decision_says_who_made_it_when_and_in_which_version(reviewing: Reviewing) -> None:
    reviewing.decide({"row_index": 2, "action": "remove", "note": "spam"}, by="ada")
    (made,) = reviewing.client.get(f"{reviewing.path}/decisions").json()["data"]
    assert made.pop("at").endswith("Z")
    assert made == {"row_index": 2, "action": "remove", "label": None, "note": "spam", "by": "ada", "version": 1}


def test_an_action_of_null_takes_a_decision_back(reviewing: Reviewing) -> None:
    reviewing.decide({"row_index": 2, "action": "remove"})
    reviewing.decide({"row_index": 2, "action": None})
    assert reviewing.decisions() == {}
    assert reviewing.progress()["decided"] == 0


def test_undo_takes_back_one_change_after_another(reviewing: Reviewing) -> None:
    reviewing.decide({"row_index": 1, "action": "keep"})
    reviewing.decide({"row_index": 1, "action": "remove"}, {"row_index": 2, "action": "remove"})
    reviewing.post("undo")
    assert reviewing.decisions() == {1: "keep"}
    reviewing.post("undo")
    assert reviewing.decisions() == {}
    refused = reviewing.client.post(f"{reviewing.path}/undo", json={})
    assert_problem(refused, 409, "conflict")


def test_undo_of_one_reviewer_leaves_what_another_has_decided_since(reviewing: Reviewing) -> None:
    reviewing.decide({"row_index": 1, "action": "remove"}, {"row_index": 2, "action": "remove"}, by="ada")
    reviewing.decide({"row_index": 2, "action": "keep"}, by="bob")
    answer = reviewing.post("undo", by="ada")
    assert answer["applied"] == 1
    assert [one["row_index"] for one in answer["conflicts"]] == [2]
    assert reviewing.decisions() == {2: "keep"}


def test_rows_decided_since_the_known_version_are_conflicts(reviewing: Reviewing) -> None:
    reviewing.decide({"row_index": 1, "action": "keep"}, by="ada")
    answer = reviewing.decide(
        {"row_index": 1, "action": "remove"}, {"row_index": 5, "action": "remove"}, version=0, by="bob"
    )
    assert (answer["applied"], answer["conflicts"][0]["current"]["by"]) == (1, "ada")
    assert reviewing.decisions() == {1: "keep", 5: "remove"}


def test_a_decision_taken_back_is_a_conflict_too(reviewing: Reviewing) -> None:
    reviewing.decide({"row_index": 1, "action": "keep"})
    reviewing.decide({"row_index": 1, "action": None})
    answer = reviewing.decide({"row_index": 1, "action": "remove"}, version=1)
    assert (answer["applied"], answer["conflicts"]) == (0, [{"row_index": 1, "current": None}])


def test_the_history_keeps_every_change(reviewing: Reviewing) -> None:
    reviewing.decide({"row_index": 1, "action": "keep"}, by="ada")
    reviewing.post("undo", by="ada")
    entries = reviewing.client.get(f"{reviewing.path}/history").json()["data"]
    assert [(one["version"], one["by"], one["rows"], one["undoes"]) for one in entries] == [
        (2, "ada", 1, 1),
        (1, "ada", 1, None),
    ]


def test_reviewers_at_once_lose_nothing(review: dict[str, Any], store: Store) -> None:
    rows, reviewers = range(12), ("ada", "bob", "cyd", "dee")

    def work(mine: str) -> None:
        for row in rows:
            change = [DecisionChange(row_index=row, action="keep", note=mine)]
            store.review_data.change(review["id"], change, by=mine, known=None)

    threads = [threading.Thread(target=work, args=(name,)) for name in reviewers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = store.review_data.history(review["id"], 0, 1000)
    assert sorted((one.by, one.version) for one in history)[0][0] == "ada"
    assert [one.version for one in reversed(history)] == list(range(1, 1 + len(rows) * len(reviewers)))
    assert store.review_data.counts(review["id"]) == {"keep": len(rows)}


@pytest.mark.parametrize(
    ("decision", "status", "code"),
    [
        ({"row_index": 12, "action": "keep"}, 422, "invalid_request"),
        ({"row_index": -1, "action": "keep"}, 422, "invalid_request"),
        ({"row_index": 1, "action": "burn"}, 422, "invalid_request"),
        ({"row_index": 1, "action": "relabel"}, 422, "invalid_request"),
        ({"row_index": 1, "action": "keep", "label": "access"}, 422, "invalid_request"),
        ({"row_index": 1, "action": "relabel", "label": "acess"}, 422, "label_unknown"),
        ({"row_index": 1, "action": "relabel", "label": 1}, 422, "label_unknown"),
    ],
)
def test_a_decision_that_cannot_be_is_refused_whole(
    reviewing: Reviewing, decision: dict[str, Any], status: int, code: str
) -> None:
    body = {"decisions": [{"row_index": 0, "action": "keep"}, decision]}
    refused = reviewing.client.patch(f"{reviewing.path}/decisions", json=body)
    assert_problem(refused, status, code)
    assert reviewing.decisions() == {}


def test_a_version_that_is_none_is_refused(reviewing: Reviewing) -> None:
    body = {"decisions": [{"row_index": 0, "action": "keep"}]}
    refused = reviewing.client.patch(f"{reviewing.path}/decisions", json=body, headers={"If-Match": "yesterday"})
    assert_problem(refused, 422, "invalid_request")


def test_a_version_that_is_still_to_come_is_refused(reviewing: Reviewing) -> None:
    reviewing.decide({"row_index": 1, "action": "keep"})
    body = {"decisions": [{"row_index": 1, "action": "remove"}]}
    refused = reviewing.client.patch(f"{reviewing.path}/decisions", json=body, headers={"If-Match": '"2"'})
    assert assert_problem(refused, 422, "invalid_request")["version"] == 1
    assert reviewing.decisions() == {1: "keep"}


def test_deleting_a_review_leaves_no_key_behind(client: TestClient, reviewing: Reviewing, store: Store) -> None:
    reviewing.decide({"row_index": 1, "action": "keep"})
    assert client.delete(reviewing.path).status_code == 204
    assert_problem(client.get(reviewing.path), 404, "not_found")
    assert not [name for name in store.connections.state.scan_iter() if b"rev_" in name]


def test_a_review_is_renamed_and_listed(client: TestClient, reviewing: Reviewing) -> None:
    assert client.patch(reviewing.path, json={"name": "second look"}).json()["name"] == "second look"
    assert [one["name"] for one in client.get("/v1/reviews").json()["data"]] == ["second look"]


def test_a_count_that_is_no_number_is_named_before_half_of_a_change_is_written(
    reviewing: Reviewing, store: Store
) -> None:
    reviewing.decide({"row_index": 1, "action": "keep"})
    review_id = reviewing.path.rpartition("/")[2]
    store.connections.state.hset(keys.review_counts(review_id), "keep", "x1")
    body = {"decisions": [{"row_index": 2, "action": "keep"}]}
    assert_problem(reviewing.client.patch(f"{reviewing.path}/decisions", json=body), 500, "record_damaged")
    assert store.review_data.version(review_id) == 1
    assert store.review_data.decided(review_id) == {1}
