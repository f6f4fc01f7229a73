"""Which queries are listed: those whose answers show a row, too."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.answered import finish_query

from influence.contracts.query import ScoredRow
from influence.store.store import Store

EXAMPLE = {"text": "where is my refund", "label": "billing"}


def scored(row_index: int, score: float) -> ScoredRow:
    return ScoredRow(
        rank=1,
        row_index=row_index,
        row_id=str(row_index),
        row={"text": "x"},
        influence=-score,
        score=score,
        direction="helpful" if score > 0 else "harmful",
        percentile=50.0,
        exact=True,
    )


@pytest.fixture
def answered(client: TestClient, ready_index: dict[str, Any], store: Store) -> Callable[..., str]:
    """A finished query whose answer shows rows: helpful ones in their order, and harmful ones."""

    def answer(helpful: list[int], harmful: list[int]) -> str:
        body = {"examples": [EXAMPLE], "k": 2}
        query_id = str(client.post(f"/v1/indexes/{ready_index['id']}/queries", json=body).json()["id"])
        (result,) = finish_query(store, query_id).results or ()
        shown = {
            "helpful": tuple(scored(row, 1.0) for row in helpful),
            "harmful": tuple(scored(row, -1.0) for row in harmful),
        }
        results = (result.model_copy(update=shown),)
        store.queries.update(query_id, lambda found: found.model_copy(update={"results": results}))
        return query_id

    return answer


def test_queries_are_listed_by_a_row_among_the_first_of_their_answers(
    client: TestClient, ready_index: dict[str, Any], answered: Callable[..., str]
) -> None:
    helps = answered([3, 4], [5])
    harms = answered([1], [3])
    answered([*range(10, 20), 3], [])  # shown, but eleventh
    client.post(f"/v1/indexes/{ready_index['id']}/queries", json={"examples": [EXAMPLE]})  # has no answer yet

    def listed(**asked: Any) -> list[str]:
        return [query["id"] for query in client.get("/v1/queries", params=asked).json()["data"]]

    assert listed(row_index=3) == [harms, helps]
    assert listed(row_index=3, index_id=ready_index["id"], limit=1) == [harms]
    assert listed(row_index=3, index_id="idx_other") == []
    assert listed(row_index=4) == [helps]
    assert len(listed()) == 4


def test_a_row_that_is_none_is_refused(client: TestClient) -> None:
    assert client.get("/v1/queries", params={"row_index": -1}).status_code == 422
    assert client.get("/v1/audits", params={"row_index": 1}).status_code == 422
