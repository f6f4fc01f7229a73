"""What leaving rows out would do, asked of an index: groups are made for it, once."""

from typing import Any

import pytest
from support.problems import assert_problem
from support.stories.curation import ROWS
from support.trials.bench import WAIT, Bench


@pytest.fixture
def path(index: dict[str, Any]) -> str:
    return f"/v1/indexes/{index['id']}/what-if"


def test_an_index_is_asked_and_the_same_again_finds_its_groups(
    bench: Bench, path: str, evaluation: dict[str, Any]
) -> None:
    body = {"remove": {"lowest": {"percent": 25}}, "evaluation": evaluation}
    begun = bench.client.post(path, json=body)
    assert begun.status_code == 202, begun.text
    groups = bench.finished(begun.json(), f"/v1/groups/{begun.json()['id']}")
    assert groups["request"]["by"] == "label"
    said = bench.client.post(path, json=body)
    assert said.status_code == 200, said.text
    assert said.json()["rows_removed"] == len(ROWS) // 4
    of_groups = bench.client.post(f"/v1/groups/{groups['id']}/what-if", json={"remove": body["remove"]})
    assert said.json() == of_groups.json()
    waited = bench.client.post(path, json={**body, "by": "source", "method": "auto"}, headers=WAIT).json()
    assert waited["method"] == "proximal"
    assert {one["name"] for one in waited["groups"]} == {"crawl", "forms"}
    assert len(bench.get("/v1/groups")["data"]) == 2


def test_rows_without_a_column_are_one_group(bench: Bench, path: str, evaluation: dict[str, Any]) -> None:
    body = {"remove": {"row_indexes": [0, 1]}, "evaluation": evaluation, "by": "all"}
    said = bench.client.post(path, json=body, headers=WAIT).json()
    assert [(one["name"], one["before"], one["after"]) for one in said["groups"]] == [(None, len(ROWS), len(ROWS) - 2)]


def test_the_rows_of_lowest_value_in_a_column(bench: Bench, path: str, evaluation: dict[str, Any]) -> None:
    lowest = {"lowest": {"percent": 12.5, "by": "visits"}}
    body = {"evaluation": evaluation, "remove": lowest}
    by_column = bench.client.post(path, json=body, headers=WAIT).json()
    by_index = bench.client.post(path, json={**body, "remove": {"row_indexes": list(range(6))}}).json()
    assert by_column == by_index
    unknown = {**body, "remove": {"lowest": {"percent": 12.5, "by": "visitors"}}}
    assert_problem(bench.client.post(path, json=unknown), 422, "invalid_request")


def test_what_an_index_is_asked_is_verified_within_bounds(bench: Bench, path: str, evaluation: dict[str, Any]) -> None:
    body = {"remove": {"row_indexes": [0]}, "evaluation": evaluation, "verify": True, "max_seconds": 1e-6}
    refused = bench.client.post(path, json=body, headers=WAIT)
    assert_problem(refused, 422, "invalid_request")
    assert "trainings" in refused.json()["detail"]
    recipe = {"epochs": 1, "batch_rows": 16}
    key = {"Idempotency-Key": "twice"}
    asked = {**body, "max_seconds": None, "repeats": 2, "recipe": recipe}
    begun = bench.client.post(path, json=asked, headers=key)
    assert begun.status_code == 202, begun.text
    again = bench.client.post(path, json=asked, headers=key).json()
    assert again["evaluation_id"] == begun.json()["evaluation_id"]
    report = bench.finished(begun.json(), f"/v1/evaluations/{begun.json()['evaluation_id']}")["report"]
    assert report["figures"]["rises"]["as given"]["1"]["over"]
