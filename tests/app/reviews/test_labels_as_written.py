"""Labels of decisions are written as the rows have theirs: names stay names, even where they are digits."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.stories.reviewing import Reviewing


def begin(client: TestClient, labels: list[Any]) -> Reviewing:
    lines = "".join(json.dumps({"text": f"t{at}", "label": label}) + "\n" for at, label in enumerate(labels))
    dataset = client.post("/v1/datasets", files={"file": ("r.jsonl", lines)}).json()
    return Reviewing(client, client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).json()["id"])


def hand_back(reviewing: Reviewing, line: str) -> Any:
    return reviewing.client.post(f"{reviewing.path}/import", files={"file": ("back.jsonl", line.encode())})


@pytest.mark.parametrize(("labels", "written"), [(["1", "2"], "2"), ([1, 2], 2)])
def test_digits_are_names_where_the_rows_have_names(client: TestClient, labels: list[Any], written: Any) -> None:
    reviewing = begin(client, labels)
    reviewing.decide({"row_index": 0, "action": "relabel", "label": "2"})
    made = reviewing.post("apply")["dataset_id"]
    rows = client.get(f"/v1/datasets/{made}/rows").json()["data"]
    assert [row["row"]["label"] for row in rows] == [written, written]


def test_class_zero_is_a_label_that_comes_back(client: TestClient) -> None:
    reviewing = begin(client, [1, 0])
    assert hand_back(reviewing, '{"row_index": 0, "action": "relabel", "reviewed_label": 0}').status_code == 200
    assert reviewing.decisions() == {0: "relabel"}


@pytest.mark.parametrize("row_index", ["\u00b2", "9" * 5000, "-1", "0x1", [0], {"a": 1}])
def test_a_row_that_is_no_number_is_refused(client: TestClient, row_index: Any) -> None:
    reviewing = begin(client, [1, 0])
    refused = hand_back(reviewing, json.dumps({"row_index": row_index, "action": "keep"}))
    assert_problem(refused, 422, "invalid_request")


@pytest.mark.parametrize(
    "text",
    [
        '{"row_index": 0, "action": "keep"}\n5\n',
        '{"row_index": 0, "action": "keep", "note": "\\ud800"}\n',
        '[{"data": {"row_index": 0}, "annotations": [{"result": ["x"]}]}]',
        "[5]",
        '[{"data": 5}]',
    ],
)
def test_a_file_of_something_else_is_refused(client: TestClient, text: str) -> None:
    assert_problem(hand_back(begin(client, [1, 0]), text), 422, "unreadable_file")
