"""Gradients of all that was trained, or of LoRA factors alone: another index, but where there is no difference."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.store.store import Store


def add(store: Store, name: str, **fields: Any) -> str:
    made = Checkpoint(
        id=name,
        base_model=BaseModelRef(name="tiny", kind="hub", location="tiny"),
        task="sequence_classification",
        num_labels=3,
        label_names=("billing", "access", "delivery"),
        created_at=now(),
        **{"adapter": {}, "adapter_digest": "a", "parameters": 1000, "lora_parameters": 100, "tensors": 4, **fields},
    )
    store.checkpoints.create(made)
    return made.id


def ask(client: TestClient, checkpoint_id: str, dataset_id: str, **fields: Any) -> Any:
    return client.post("/v1/indexes", json={"checkpoint_id": checkpoint_id, "dataset_id": dataset_id, **fields})


def test_factors_alone_make_another_index(client: TestClient, store: Store, dataset_id: str) -> None:
    checkpoint_id = add(store, "ckpt_wholes")
    whole, factors = (ask(client, checkpoint_id, dataset_id, **fields) for fields in ({}, {"parts": "lora"}))
    assert whole.json()["id"] != factors.json()["id"]
    assert factors.json()["spec"]["gradients"]["parts"] == "lora"


def test_without_whole_tensors_both_are_one_index(client: TestClient, store: Store, dataset_id: str) -> None:
    checkpoint_id = add(store, "ckpt_factors", lora_parameters=1000)
    ids = {ask(client, checkpoint_id, dataset_id, **fields).json()["id"] for fields in ({}, {"parts": "lora"})}
    assert len(ids) == 1


def test_plain_model_has_no_factors(client: TestClient, store: Store, dataset_id: str) -> None:
    checkpoint_id = add(store, "ckpt_plain", adapter=None, adapter_digest=None, trainable=("classifier",))
    assert_problem(ask(client, checkpoint_id, dataset_id, parts="lora"), 422, "invalid_request")


def test_index_that_is_too_large_says_what_leaving_whole_tensors_out_saves(
    make_client: Any, store: Store, dataset_id: str
) -> None:
    small = make_client(storage_budget_bytes=12 * 4 * 500)
    checkpoint_id = add(store, "ckpt_wholes")
    problem = assert_problem(ask(small, checkpoint_id, dataset_id, storage="full"), 422, "does_not_fit")
    assert "leave the 900 parameters in whole tensors out with parts 'lora'" in problem["hint"].lower()
    assert ask(small, checkpoint_id, dataset_id, storage="full", parts="lora").status_code == 202


@pytest.mark.parametrize("parts", ["heads", None, 3])
def test_other_parts_are_refused(parts: Any, client: TestClient, store: Store, dataset_id: str) -> None:
    assert_problem(ask(client, add(store, "ckpt_wholes"), dataset_id, parts=parts), 422, "invalid_request")
