"""Growing an index over HTTP: what is asked is part of the address, what does not fit is refused with a way on."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from influence.contracts.checkpoint import Checkpoint
from influence.store.store import Store

MORE = '{"text": "one more", "label": "access"}\n'


@pytest.fixture
def ask(client: TestClient, checkpoint: Checkpoint) -> Callable[..., Any]:
    def post(dataset_id: str, **fields: Any) -> Any:
        return client.post("/v1/indexes", json={"checkpoint_id": checkpoint.id, "dataset_id": dataset_id, **fields})

    return post


@pytest.fixture
def new_rows(client: TestClient) -> str:
    return str(client.post("/v1/datasets", files={"file": ("rows.jsonl", MORE)}).json()["id"])


@pytest.fixture
def make_old(ask: Callable[..., Any], dataset_id: str, store: Store) -> Callable[..., str]:
    """An index in a state."""

    def make(state: str = "succeeded", **fields: Any) -> str:
        made = ask(dataset_id, **{"storage": "compact", **fields}).json()
        store.indexes.update(made["id"], lambda found: found.model_copy(update={"state": state}))
        if state == "succeeded":
            store.jobs.succeed(made["job_id"])
        return str(made["id"])

    return make


def test_an_index_grows_from_another_and_is_an_index_of_its_own(
    ask: Callable[..., Any], make_old: Callable[..., str], new_rows: str, store: Store, client: TestClient
) -> None:
    old = make_old()
    answer = ask(new_rows, grow_from=old)
    assert answer.status_code == 202
    made = answer.json()
    assert (made["spec"]["grow_from"], made["spec"]["storage"], made["spec"]["rank"]) == (old, "compact", None)
    assert made["id"] != ask(new_rows, storage="compact").json()["id"]
    assert ("plan_index", {"index_id": made["id"], "job_id": made["job_id"]}) in store.queue.waiting("build")
    again = ask(new_rows, grow_from=old, rank=99)  # the basis is the old one's
    assert (again.status_code, again.json()["id"]) == (200, made["id"])
    assert client.delete(f"/v1/indexes/{old}").status_code == 204
    assert ask(new_rows, grow_from=old).json()["id"] == made["id"]


def test_nothing_grows_from_an_index_that_is_not_there_or_not_ready(
    ask: Callable[..., Any], make_old: Callable[..., str], new_rows: str
) -> None:
    assert_problem(ask(new_rows, grow_from="idx_none"), 404, "not_found")
    body = assert_problem(ask(new_rows, grow_from=make_old("running")), 409, "index_not_ready")
    assert body["job_id"] in body["hint"]
    assert_problem(ask(new_rows, grow_from=make_old("failed", max_length=9), max_length=9), 409, "index_failed")


def test_what_cannot_share_codes_is_refused_with_the_settings_to_send(
    ask: Callable[..., Any], make_old: Callable[..., str], new_rows: str
) -> None:
    short = make_old(max_length=64)
    body = assert_problem(ask(new_rows, grow_from=short), 422, "invalid_request")
    assert "max_length: 64" in body["hint"]
    assert body["settings"] == {"max_length": 64}
    assert ask(new_rows, grow_from=short, max_length=64).status_code == 202
    assert_problem(ask(new_rows, grow_from=make_old(storage="full")), 422, "invalid_request")
    assert_problem(ask(new_rows, grow_from=short, max_length=64, storage="full"), 422, "invalid_request")


def test_another_checkpoints_index_is_no_base(
    ask: Callable[..., Any], make_old: Callable[..., str], new_rows: str, store: Store
) -> None:
    old = make_old()
    store.indexes.update(
        old, lambda found: found.model_copy(update={"spec": found.spec.model_copy(update={"checkpoint_id": "ckpt_2"})})
    )
    body = assert_problem(ask(new_rows, grow_from=old), 422, "invalid_request")
    assert "ckpt_2" in body["detail"]
