"""Sums over checkpoints over HTTP: what is summed is said, what cannot be summed is refused before any work."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import Block
from influence.store.store import Store

EXAMPLE = {"text": "where is my refund", "label": "billing"}
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make_ready(client: TestClient, checkpoint: Checkpoint, dataset_id: str, store: Store) -> Make:
    """Ready indexes of further checkpoints of the run."""

    def make(name: str, state: str = "succeeded", changes: dict[str, Any] | None = None, **fields: Any) -> Any:
        store.checkpoints.create(checkpoint.model_copy(update={"id": name, "adapter_digest": name, **(changes or {})}))
        body = {"checkpoint_id": name, "dataset_id": dataset_id, **fields}
        index = client.post("/v1/indexes", json=body).json()
        store.indexes.update(index["id"], lambda found: found.model_copy(update={"state": state, "rows_indexed": 12}))
        return index

    return make


def ask(client: TestClient, index: dict[str, Any], *weights: tuple[str, float], **fields: Any) -> Any:
    checkpoints = [{"index_id": index_id, "weight": weight} for index_id, weight in weights]
    body = {"examples": [EXAMPLE], "method": "tracin", **({"checkpoints": checkpoints} if weights else {}), **fields}
    return client.post(f"/v1/indexes/{index['id']}/queries", json=body)


def test_a_sum_says_which_checkpoints_with_which_weights(
    client: TestClient, ready_index: dict[str, Any], make_ready: Make
) -> None:
    other = make_ready("ckpt_2")
    answer = ask(client, ready_index, (other["id"], 0.0005), (ready_index["id"], 0.001))
    assert answer.status_code == 202, answer.text
    assert answer.json()["checkpoints"] == [
        {"index_id": ready_index["id"], "checkpoint_id": "ckpt_1", "weight": 0.001},
        {"index_id": other["id"], "checkpoint_id": "ckpt_2", "weight": 0.0005},
    ]


def test_a_sum_of_one_checkpoint_is_a_sum(client: TestClient, ready_index: dict[str, Any]) -> None:
    assert ask(client, ready_index, (ready_index["id"], 0.5)).json()["checkpoints"][0]["weight"] == 0.5


def test_tracin_without_checkpoints_says_what_to_send(client: TestClient, ready_index: dict[str, Any]) -> None:
    body = assert_problem(ask(client, ready_index), 422, "invalid_request")
    assert "checkpoints" in body["hint"]
    assert "hessian_free" in body["hint"]


def test_a_baseline_has_nothing_to_sum(client: TestClient, ready_index: dict[str, Any]) -> None:
    answer = ask(client, ready_index, (ready_index["id"], 1.0), method="embedding")
    assert "baseline" in assert_problem(answer, 422, "method_not_offered")["detail"]


def test_any_method_can_be_summed(client: TestClient, ready_index: dict[str, Any], make_ready: Make) -> None:
    weights = ((ready_index["id"], 1.0), (make_ready("ckpt_2")["id"], 1.0))
    assert ask(client, ready_index, *weights, method="exact").status_code == 202


@pytest.mark.parametrize(
    ("changes", "fields", "differing"),
    [
        ({"task": "causal_lm"}, {}, "task"),
        ({"label_names": ("access", "billing", "delivery")}, {}, "classes"),
        ({}, {"max_length": 99}, "gradient settings"),
    ],
)
def test_indexes_that_are_not_of_one_run_are_refused(
    client: TestClient,
    ready_index: dict[str, Any],
    make_ready: Make,
    store: Store,
    changes: dict[str, Any],
    fields: dict[str, Any],
    differing: str,
) -> None:
    other = make_ready("ckpt_2", **fields)
    store.checkpoints.update("ckpt_2", lambda found: found.model_copy(update=changes))
    body = assert_problem(ask(client, ready_index, (ready_index["id"], 1), (other["id"], 1)), 422, "invalid_request")
    assert body["differing"] == [differing]
    assert store.queue.waiting("query") == []


def test_indexes_of_other_rows_or_other_blocks_are_refused(
    client: TestClient, ready_index: dict[str, Any], make_ready: Make, store: Store
) -> None:
    rows = client.post("/v1/datasets", files={"file": ("r.jsonl", '{"text": "a", "label": "billing"}\n')}).json()["id"]
    other = make_ready("ckpt_2", dataset_id=rows)
    same = make_ready("ckpt_3")
    block = Block(name="a.lora_A.weight", shape=(2, 3), parameters=6)
    store.indexes.update(same["id"], lambda found: found.model_copy(update={"blocks": (block,)}))
    for index, differing in ((other, "data set"), (same, "blocks")):
        answer = ask(client, ready_index, (ready_index["id"], 1), (index["id"], 1))
        assert assert_problem(answer, 422, "invalid_request")["differing"] == [differing]


def test_every_index_of_a_sum_has_to_be_ready(
    client: TestClient, ready_index: dict[str, Any], make_ready: Make
) -> None:
    building, failed = make_ready("ckpt_2", state="queued"), make_ready("ckpt_3", state="failed")
    for index_id, status, code in (
        (building["id"], 409, "index_not_ready"),
        (failed["id"], 409, "index_failed"),
        ("idx_none", 404, "not_found"),
    ):
        assert_problem(ask(client, ready_index, (ready_index["id"], 1), (index_id, 1)), status, code)


def test_a_method_has_to_be_offered_by_every_index(
    client: TestClient, ready_index: dict[str, Any], make_ready: Make
) -> None:
    compact = make_ready("ckpt_2", storage="compact")
    answer = ask(client, ready_index, (ready_index["id"], 1), (compact["id"], 1), method="lissa")
    assert_problem(answer, 422, "method_not_offered")


def test_the_asked_index_is_named_once_and_weights_are_positive(
    client: TestClient, ready_index: dict[str, Any], make_ready: Make
) -> None:
    mine, other = ready_index["id"], make_ready("ckpt_2")["id"]
    for weights in ([(other, 1)], [(mine, 1), (mine, 2)], [(mine, 0)], [(mine, -1)], [(mine, 1)] * 33):
        assert_problem(ask(client, ready_index, *weights), 422, "invalid_request")
