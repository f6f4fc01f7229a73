"""Indexes over HTTP: content-addressed, built once, cancelled without a trace."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import ShardCommit
from influence.store import keys
from influence.store.store import Store


def ask(client: TestClient, checkpoint: Checkpoint, dataset_id: str, **fields: Any) -> Any:
    return client.post("/v1/indexes", json={"checkpoint_id": checkpoint.id, "dataset_id": dataset_id, **fields})


def send_rows(client: TestClient, text: str) -> str:
    return str(client.post("/v1/datasets", files={"file": ("rows.jsonl", text)}).json()["id"])


def test_a_new_index_is_a_job_on_the_queue(
    client: TestClient, checkpoint: Checkpoint, dataset_id: str, store: Store
) -> None:
    answer = ask(client, checkpoint, dataset_id)
    made = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{made['job_id']}"
    assert int(answer.headers["retry-after"]) >= 1
    assert (made["state"], made["rows"], made["spec"]["storage"]) == ("queued", 12, "full")
    assert store.queue.waiting("build") == [("plan_index", {"index_id": made["id"], "job_id": made["job_id"]})]
    assert client.get(answer.headers["location"]).json()["resource"] == f"/v1/indexes/{made['id']}"


def test_the_same_request_is_the_same_index_without_work(
    client: TestClient, checkpoint: Checkpoint, index: dict[str, Any], dataset_id: str, store: Store
) -> None:
    again = ask(client, checkpoint, dataset_id, rank=99)  # rank has no effect on full storage
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["job_id"]) == (index["id"], index["job_id"])
    assert len(store.queue.waiting("build")) == 1
    assert ask(client, checkpoint, dataset_id, max_length=64).json()["id"] != index["id"]


@pytest.mark.parametrize("accident", ["failed", "job lost", "job cancelled"])
def test_a_dead_build_is_started_again_by_the_same_request(
    client: TestClient, checkpoint: Checkpoint, index: dict[str, Any], dataset_id: str, store: Store, accident: str
) -> None:
    if accident == "failed":
        failed = {"state": "failed", "error": {"code": "non_finite_gradients"}}
        store.indexes.update(index["id"], lambda found: found.model_copy(update=failed))
        store.jobs.fail(index["job_id"], {"code": "non_finite_gradients"})
        assert client.get(f"/v1/indexes/{index['id']}").json()["error"]["code"] == "non_finite_gradients"
    elif accident == "job lost":
        store.jobs.delete(index["job_id"])
    else:
        store.jobs.cancel(index["job_id"])
    again = ask(client, checkpoint, dataset_id)
    assert again.status_code == 202
    assert again.json()["id"] == index["id"]
    assert again.json()["job_id"] != index["job_id"]
    assert (again.json()["state"], again.json()["error"]) == ("queued", None)
    assert len(store.queue.waiting("build")) == 2


def test_progress_of_the_job_shows_in_the_index(client: TestClient, index: dict[str, Any], store: Store) -> None:
    store.jobs.start(index["job_id"])
    store.jobs.set_phase(index["job_id"], "gradients", total=12)
    store.jobs.set_done(index["job_id"], 5, shard=0)
    for shown in (
        client.get(f"/v1/indexes/{index['id']}").json(),
        client.get("/v1/indexes").json()["data"][0],
    ):
        assert (shown["state"], shown["progress"]["phase"], shown["progress"]["done"]) == ("running", "gradients", 5)


def test_full_storage_that_does_not_fit_is_refused_with_figures_and_auto_turns_compact(
    make_client: Callable[..., TestClient], checkpoint: Checkpoint, dataset_id: str
) -> None:
    tight = make_client(storage_budget_bytes=12 * 1000 * 4 - 1)
    body = assert_problem(ask(tight, checkpoint, dataset_id, storage="full"), 422, "does_not_fit")
    assert (body["needed_bytes"], body["budget_bytes"]) == (48_000, 47_999)
    assert ask(tight, checkpoint, dataset_id, storage="full", storage_dtype="float16").status_code == 202
    many = send_rows(tight, "".join(f'{{"text": "parcel {row}", "label": {row % 3}}}\n' for row in range(400)))
    spec = ask(tight, checkpoint, many, rank=8).json()["spec"]
    assert (spec["storage"], spec["rank"]) == ("compact", 8)


def test_auto_does_not_turn_to_codes_that_take_more_with_their_basis_than_all_gradients(
    make_client: Callable[..., TestClient], checkpoint: Checkpoint, dataset_id: str
) -> None:
    tight = make_client(storage_budget_bytes=12 * 1000 * 2 - 1)
    body = assert_problem(ask(tight, checkpoint, dataset_id, storage_dtype="float16"), 422, "does_not_fit")
    assert body["compact_bytes"] >= body["needed_bytes"] == 24_000
    assert body["hint"] == "Raise the budget. Codes of so few rows take as much with their basis."
    # Who asks for codes gets them.
    assert ask(tight, checkpoint, dataset_id, storage="compact").status_code == 202


def test_factors_are_part_of_the_index_and_of_full_storage_only(
    make_client: Callable[..., TestClient], checkpoint: Checkpoint, index: dict[str, Any], dataset_id: str
) -> None:
    rich = ask(make_client(), checkpoint, dataset_id, kronecker=True).json()
    assert rich["spec"]["kronecker"]
    assert rich["id"] != index["id"]
    many = send_rows(make_client(), "".join(f'{{"text": "parcel {row}", "label": 0}}\n' for row in range(400)))
    for client, fields in ((make_client(), {"storage": "compact"}), (make_client(storage_budget_bytes=1), {})):
        body = assert_problem(ask(client, checkpoint, many, kronecker=True, **fields), 422, "invalid_request")
        assert "'full'" in body["hint"]


@pytest.mark.parametrize(
    ("rows", "status", "code"),
    [
        ('{"text": "a", "label": 3}\n', 422, "label_out_of_range"),
        ('{"text": "a", "label": "biling"}\n', 422, "label_unknown"),
        ('{"text": "a", "label": "1"}\n', 422, "label_unknown"),
        ('{"text": "a"}\n', 422, "rows_unfit"),
        ('{"prompt": "a", "completion": "b"}\n', 422, "rows_unfit"),
    ],
)
def test_rows_that_cannot_fit_the_checkpoint_are_refused_before_any_work(
    client: TestClient, checkpoint: Checkpoint, store: Store, rows: str, status: int, code: str
) -> None:
    assert_problem(ask(client, checkpoint, send_rows(client, rows)), status, code)
    assert store.queue.waiting("build") == []


def test_numbers_are_not_taken_for_names_that_are_numbers(
    client: TestClient, checkpoint: Checkpoint, store: Store
) -> None:
    stars = checkpoint.model_copy(update={"id": "ckpt_stars", "label_names": ("1", "2", "3")})
    store.checkpoints.create(stars)
    for name, content in (("a.csv", "text,label\na,1\nb,2\n"), ("a.jsonl", '{"text": "a", "label": 1}\n')):
        sent = client.post("/v1/datasets", files={"file": (name, content)}).json()["id"]
        body = assert_problem(ask(client, stars, sent), 422, "label_unknown")
        assert "'label_names'" in body["hint"]
        assert ask(client, checkpoint, sent).status_code == 202
    named: dict[str, Any] = {
        "files": {"file": ("a.csv", "text,label\na,1\nb,2\n")},
        "data": {"label_names": '["1", "2", "3"]'},
    }
    sent = client.post("/v1/datasets", **named).json()["id"]
    assert ask(client, stars, sent).status_code == 202


def test_truth_values_are_not_taken_for_names_in_another_order(
    client: TestClient, checkpoint: Checkpoint, store: Store
) -> None:
    truths = checkpoint.model_copy(update={"id": "ckpt_truths", "label_names": ("True", "False"), "num_labels": 2})
    store.checkpoints.create(truths)
    sent = send_rows(client, '{"text": "a", "label": true}\n{"text": "b", "label": false}\n')
    assert_problem(ask(client, truths, sent), 422, "label_unknown")
    assert ask(client, checkpoint, sent).status_code == 202


def test_a_prompt_set_apart_decides_where_the_loss_falls(
    client: TestClient, checkpoint: Checkpoint, store: Store
) -> None:
    writer = checkpoint.model_copy(
        update={"id": "ckpt_lm", "task": "causal_lm", "label_names": None, "num_labels": None}
    )
    store.checkpoints.create(writer)
    talk = '[{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]'
    apart, whole = (
        send_rows(client, f'{{"prompt": {talk}}}\n'),
        send_rows(client, '{"messages": [{"role": "assistant", "content": "a"}]}\n'),
    )
    assert ask(client, writer, apart).json()["spec"]["gradients"]["loss"] == "completion"
    assert ask(client, writer, whole).json()["spec"]["gradients"]["loss"] == "assistant"
    assert ask(client, writer, apart, loss="all").json()["spec"]["gradients"]["loss"] == "all"


def test_a_label_close_to_a_known_one_is_suggested(client: TestClient, checkpoint: Checkpoint) -> None:
    rows = send_rows(client, '{"text": "a", "label": "biling"}\n')
    body = assert_problem(ask(client, checkpoint, rows), 422, "label_unknown")
    assert "Did you mean 'billing'?" in body["hint"]


def test_a_loss_scope_that_the_rows_lack_is_refused(
    client: TestClient, checkpoint: Checkpoint, dataset_id: str
) -> None:
    assert_problem(ask(client, checkpoint, dataset_id, loss="assistant"), 422, "invalid_request")


def test_unknown_checkpoint_or_data_set_is_not_found(
    client: TestClient, checkpoint: Checkpoint, dataset_id: str
) -> None:
    assert_problem(ask(client, checkpoint, "ds_none"), 404, "not_found")
    answer = client.post("/v1/indexes", json={"checkpoint_id": "ckpt_none", "dataset_id": dataset_id})
    assert_problem(answer, 404, "not_found")


def write_shard(store: Store, index_id: str) -> None:
    array, build = np.zeros((2, 3), dtype=np.float32), store.indexes.require(index_id).build
    store.index_data.write_gradients(build, 0, 0, array)
    store.index_data.write_rows(build, 0, "norms", array)
    store.index_data.commit(build, ShardCommit(shard=0, rows=2, bytes=1, seconds=1.0, chunks=1))


def left_behind(store: Store, index_id: str) -> list[bytes]:
    return [name for name in store.connections.state.scan_iter(match="*") if index_id.encode() in name]


def test_cancelling_a_build_leaves_nothing_behind(client: TestClient, index: dict[str, Any], store: Store) -> None:
    store.jobs.start(index["job_id"])
    write_shard(store, index["id"])
    for _ in range(2):
        answer = client.delete(f"/v1/jobs/{index['job_id']}")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert_problem(client.get(f"/v1/indexes/{index['id']}"), 404, "not_found")
    assert left_behind(store, index["id"]) == []


def test_deleting_an_index_in_build_cancels_it(client: TestClient, index: dict[str, Any], store: Store) -> None:
    write_shard(store, index["id"])
    assert client.delete(f"/v1/indexes/{index['id']}").status_code == 204
    assert store.jobs.require(index["job_id"]).state == "cancelled"
    assert left_behind(store, index["id"]) == []
    assert store.connections.state.exists(keys.job(index["job_id"]))
