"""Which signals of an audit count in suspicion, and how much."""

from typing import Any

import pytest
from starlette.testclient import TestClient


def ask(client: TestClient, index: dict[str, Any], **body: Any) -> Any:
    return client.post(f"/v1/indexes/{index['id']}/audits", json=body)


def test_influence_comes_with_an_evaluation_and_counts_where_it_is_named(
    client: TestClient, ready_index: dict[str, Any]
) -> None:
    evaluation = {"dataset_id": ready_index["spec"]["dataset_id"], "row_indexes": [0, 3]}

    def weight(**body: Any) -> float:
        made = ask(client, ready_index, evaluation=evaluation, **body).json()
        assert "training rows" in made["notes"][0] + made["notes"][-1]
        return float({signal["name"]: signal["weight"] for signal in made["signals"]}["influence"])

    assert weight() == 0
    assert weight(signals=["loss", "influence"]) == 1
    assert weight(weights={"influence": 0.25}) == 0.25


@pytest.mark.parametrize(
    ("body", "counted"),
    [
        ({}, {"loss": 1}),
        ({"signals": ["probability", "margin", "loss"]}, {"loss": 1}),
        ({"signals": ["probability", "margin", "predicted"]}, {"margin": 1, "predicted": 1}),
        ({"signals": ["loss", "margin"], "weights": {"margin": 0.5}}, {"loss": 1, "margin": 0.5}),
        ({"weights": {"self_influence": 1}}, {"loss": 1, "self_influence": 1}),
        ({"weights": {"loss": 0, "predicted": 2}}, {"predicted": 2}),
    ],
)
def test_what_says_the_same_thing_counts_once(
    client: TestClient, ready_index: dict[str, Any], body: Any, counted: dict[str, float]
) -> None:
    made = ask(client, ready_index, **body).json()
    assert {signal["name"]: signal["weight"] for signal in made["signals"] if signal["weight"]} == counted
