"""/v1/checkpoints with a plain model that was trained itself."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.tiny import LABELS, make_causal, make_plain
from support.uploads.pickled import save as save_arguments

from influence.contracts.checkpoint import Checkpoint
from influence.store.store import Store

HEAD = ["classifier"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_plain(tmp_path_factory.mktemp("plain") / "model")


@pytest.fixture
def client(make_client: Callable[..., TestClient], plain: Path, tmp_path: Path) -> TestClient:
    return make_client(base_model_aliases={"tiny": str(plain)}, allowed_roots=[plain.parent, tmp_path])


def send(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/checkpoints", json={"base_model": "tiny", "trainable": HEAD, **body})


def test_a_plain_model_becomes_a_checkpoint(client: TestClient) -> None:
    answer = send(client, trainable=["*.layer.1", "classifier"])
    assert answer.status_code == 201, answer.text
    checkpoint = Checkpoint.model_validate(answer.json())
    assert (checkpoint.adapter, checkpoint.adapter_digest) == (None, None)
    assert checkpoint.trainable == ("*.layer.1", "classifier")
    assert (checkpoint.task, checkpoint.num_labels) == ("sequence_classification", 3)
    assert checkpoint.label_names == LABELS
    layer = 4 * (32 * 32 + 32) + 2 * (32 * 48) + 48 + 32 + 4 * 32
    assert (checkpoint.parameters, checkpoint.tensors) == (layer + 3 * 32 + 3, 18)


def test_the_same_content_is_the_same_checkpoint(client: TestClient, plain: Path) -> None:
    first = send(client, trainable=["bert.pooler", "classifier"]).json()
    again = send(client, trainable=["classifier", "bert.pooler", "classifier"], base_model=str(plain))
    form = {"base_model": "tiny", "trainable": '["bert.pooler", "classifier"]'}
    as_form = client.post("/v1/checkpoints", files={name: (None, value) for name, value in form.items()})
    assert (again.status_code, as_form.status_code) == (200, 200)
    assert again.json()["id"] == as_form.json()["id"] == first["id"]
    assert send(client).json()["id"] != first["id"]


def test_what_a_trainer_left_beside_a_plain_model_is_shown_as_it_came_last(
    client: TestClient, plain: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(plain, model)
    first = send(client, base_model=str(model)).json()
    assert first["training"] is None
    save_arguments(model, "transformers.training_args.TrainingArguments", per_device_train_batch_size=8)
    again = send(client, base_model=str(model))
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert client.get(f"/v1/checkpoints/{first['id']}").json()["training"]["batch_rows"] == 8


def test_either_an_adapter_or_trained_modules(client: TestClient) -> None:
    assert_problem(send(client, adapter="/a"), 422, "invalid_request")
    assert_problem(client.post("/v1/checkpoints", json={"base_model": "tiny"}), 422, "invalid_request")
    assert_problem(send(client, adapter_revision="main"), 422, "invalid_request")
    without = client.post("/v1/checkpoints", files={"base_model": (None, "tiny")})
    assert "'trainable'" in assert_problem(without, 422, "invalid_request")["detail"]
    both = client.post(
        "/v1/checkpoints",
        files={"adapter": ("a.zip", b"PK")},
        data={"base_model": "tiny", "trainable": '["classifier"]'},
    )
    assert "'adapter'" in assert_problem(both, 422, "invalid_request")["detail"]


@pytest.mark.parametrize("patterns", [[], ["[a-z]*"], ["a b"], ["x"] * 1 + [f"y{n}" for n in range(70)]])
def test_what_is_no_pattern_is_refused(client: TestClient, patterns: list[str], store: Store) -> None:
    assert_problem(send(client, trainable=patterns), 422, "invalid_request")
    assert store.checkpoints.all() == []


def test_a_pattern_that_fits_nothing_names_the_modules(client: TestClient) -> None:
    found = assert_problem(send(client, trainable=["classifier", "roberta"]), 422, "nothing_trainable")
    assert (found["pattern"], found["modules"]) == ("roberta", ["bert", "classifier"])


def test_a_head_that_is_not_in_the_files_is_refused(client: TestClient, plain: Path, tmp_path: Path) -> None:
    headless = Path(shutil.copytree(plain, tmp_path / "headless"))
    weights = load_file(plain / "model.safetensors")
    save_file({name: w for name, w in weights.items() if "classifier" not in name}, headless / "model.safetensors")
    config = (headless / "config.json").read_text().replace("BertForSequenceClassification", "BertModel")
    (headless / "config.json").write_text(config)
    asked = {"base_model": str(headless), "trainable": ["bert.pooler"]}
    assert (
        "random"
        in assert_problem(send(client, **asked, task="sequence_classification"), 422, "task_mismatch")["detail"]
    )
    assert "'task'" in assert_problem(send(client, **asked), 422, "task_mismatch")["hint"]


def test_a_task_that_the_model_was_not_trained_for_is_refused(client: TestClient, tmp_path: Path) -> None:
    assert_problem(send(client, task="causal_lm"), 422, "task_mismatch")
    causal = make_causal(tmp_path / "causal").base
    asked = {"base_model": str(causal), "trainable": ["model.layers.1"]}
    assert_problem(send(client, **asked, task="sequence_classification"), 422, "task_mismatch")
    assert send(client, **asked).json()["task"] == "causal_lm"


def test_label_names_have_to_be_as_many_as_the_heads_outputs(client: TestClient) -> None:
    assert_problem(send(client, label_names=["a", "b"]), 422, "task_mismatch")
    assert_problem(send(client, label_names=["a", "a", "b"]), 422, "invalid_request")
    assert send(client, label_names=["a", "b", "c"]).json()["label_names"] == ["a", "b", "c"]


def test_a_model_on_the_hub_needs_its_task_named(make_client: Callable[..., TestClient]) -> None:
    offline = make_client(hub_offline=True)
    assert_problem(send(offline, base_model="org/model"), 422, "task_mismatch")
    made = send(offline, base_model="org/model", task="sequence_classification")
    assert made.status_code == 201
    assert made.json()["parameters"] is None


def test_deleting_one_leaves_every_file(client: TestClient, plain: Path) -> None:
    made = send(client).json()
    assert client.delete(f"/v1/checkpoints/{made['id']}").status_code == 204
    assert (plain / "model.safetensors").is_file()


def test_an_index_of_it_is_planned(client: TestClient, make_client: Callable[..., TestClient], store: Store) -> None:
    rows = "".join(f'{{"text": "late parcel", "label": "{label}"}}\n' for label in LABELS)
    dataset = client.post("/v1/datasets", files={"file": ("rows.jsonl", rows)}).json()
    unknown = send(
        make_client(hub_offline=True), base_model="org/model", task="sequence_classification", label_names=LABELS
    )
    for made, storage in ((send(client), "full"), (unknown, "compact")):
        body = {"checkpoint_id": made.json()["id"], "dataset_id": dataset["id"]}
        assert client.post("/v1/indexes", json=body).json()["spec"]["storage"] == storage
