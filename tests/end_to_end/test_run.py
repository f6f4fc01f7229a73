"""The folder that transformers' Trainer left, sent as it lies: its checkpoints, their indexes, and a sum over them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.problems import assert_problem
from support.tiny import make_causal
from support.uploads.local_service import LocalService, local_service, taken, zip_folder
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

TEXTS = ["refund my card", "the app is slow", "where is my parcel", "cancel the plan please", "login error again"]
POINT = {"text": "my refund is late"}


class PlainTrainer(Trainer):  # type: ignore[misc]
    """Its own loader asks a library called datasets, whose name a folder of tests has."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, collate_fn=as_batch)


def as_batch(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Base and output folder: checkpoints at steps 2, 4 and 6, at a rate that falls from 0.06 to 0.01."""
    folder = tmp_path_factory.mktemp("run")
    base = make_causal(folder / "made").base
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora)
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [dict(tokenizer(text)) for text in TEXTS]
    for row in rows:
        row["labels"] = list(row["input_ids"])
    arguments = TrainingArguments(
        str(folder / "out"),
        max_steps=6,
        save_steps=2,
        logging_steps=1,
        per_device_train_batch_size=1,
        learning_rate=0.06,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    PlainTrainer(model, arguments, train_dataset=rows).train()
    return base, folder / "out"


@pytest.fixture
def service(
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    wait_until: Callable[..., None],
    trained: tuple[Path, Path],
) -> Iterator[LocalService]:
    roots = [tmp_path, *trained]
    with local_service(server.url, store, tmp_path / "data", wait_until, roots) as running:
        yield running


def send(service: LocalService, base: Path, folder: Path) -> Any:
    return service.client.post(
        "/v1/runs", files={"run": ("run.zip", zip_folder(folder))}, data={"base_model": str(base)}
    )


def build(service: LocalService, run: dict[str, Any], dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """Indexes of all checkpoints, made by one call."""
    body = {"dataset_id": dataset["id"], "storage": "full", "max_length": 32}
    made = taken(service.client.post("/v1/indexes", json={"run_id": run["id"], **body}))
    assert made["spec"]["checkpoint_id"] == run["checkpoints"][-1]["checkpoint_id"]
    indexes = []
    for one in run["checkpoints"]:
        answer = service.client.post("/v1/indexes", json={"checkpoint_id": one["checkpoint_id"], **body})
        assert answer.status_code == 200, answer.text
        service.finish(answer.json()["job_id"])
        indexes.append(answer.json())
    return indexes


def test_a_sum_over_a_run_is_tracin_by_the_trainers_own_rates(
    service: LocalService, trained: tuple[Path, Path]
) -> None:
    base, folder = trained
    run = taken(send(service, base, folder))
    assert (run["weights_from"], run["warnings"]) == ("learning_rate", [])
    assert [(one["step"], one["folder"]) for one in run["checkpoints"]] == [
        (step, f"checkpoint-{step}") for step in (2, 4, 6)
    ]
    weights = [one["weight"] for one in run["checkpoints"]]
    assert weights == pytest.approx([0.055, 0.035, 0.015])
    indexes = build(service, run, service.dataset([{"text": text} for text in TEXTS]))
    loss, found = service.scores(indexes[0], POINT, method="tracin", run_id=run["id"])
    singles = [service.scores(index, POINT, method="hessian_free") for index in indexes]
    expected = sum(weight * np.array(scores) for weight, (_, scores) in zip(weights, singles, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
    assert loss == pytest.approx(singles[0][0], rel=1e-5)
    answer = service.query(indexes[2], examples=[POINT], method="tracin", run_id=run["id"])
    assert [one["weight"] for one in answer["checkpoints"]] == pytest.approx([weights[2], weights[0], weights[1]])


def test_a_run_is_addressed_read_and_deleted(service: LocalService, trained: tuple[Path, Path]) -> None:
    base, folder = trained
    run = taken(send(service, base, folder))
    named = service.client.post("/v1/runs", json={"base_model": str(base), "folder": str(folder)})
    assert (named.status_code, named.json()["id"]) == (200, run["id"])
    assert taken(service.client.get(f"/v1/runs/{run['id']}")) == run
    assert taken(service.client.get("/v1/runs"))["data"] == [run]
    held = run["checkpoints"][0]["checkpoint_id"]
    assert_problem(service.client.delete(f"/v1/checkpoints/{held}"), 409, "resource_in_use")
    assert service.client.delete(f"/v1/runs/{run['id']}").status_code == 204
    assert_problem(service.client.get(f"/v1/runs/{run['id']}"), 404, "not_found")
    assert service.client.delete(f"/v1/checkpoints/{held}").status_code == 204


def test_without_a_log_all_checkpoints_weigh_the_same_and_it_is_said(
    service: LocalService, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    base, folder = trained
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        for step in (2, 4):
            copy = tmp_path / "bare" / f"checkpoint-{step}" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((folder / f"checkpoint-{step}" / name).read_bytes())
    run = taken(send(service, base, tmp_path / "bare"))
    assert [one["weight"] for one in run["checkpoints"]] == [1.0, 1.0]
    assert run["weights_from"] == "equal"
    assert "No learning rates" in run["warnings"][0]


def test_what_cannot_be_summed_is_refused_by_name(service: LocalService, trained: tuple[Path, Path]) -> None:
    base, folder = trained
    run = taken(send(service, base, folder))
    dataset = service.dataset([{"text": text} for text in TEXTS])
    checkpoint = {"id": run["checkpoints"][0]["checkpoint_id"]}
    index = service.index(checkpoint, dataset, storage="full")
    path = f"/v1/indexes/{index['id']}/queries"
    problem = assert_problem(
        service.client.post(path, json={"examples": [POINT], "run_id": run["id"]}), 422, "invalid_request"
    )
    assert "2 checkpoints" in problem["detail"]
    assert "/v1/indexes" in problem["hint"]
    other = service.checkpoint(base, folder / "checkpoint-2", task="causal_lm")
    assert other["id"] == checkpoint["id"]
    assert_problem(send(service, base, folder / "checkpoint-2"), 422, "adapter_config_refused")
    refused = service.send_checkpoint(base, folder)
    assert "/v1/runs" in assert_problem(refused, 422, "adapter_config_refused")["hint"]


def test_a_checkpoint_that_was_not_written_to_its_end_is_called_by_its_folder(
    service: LocalService, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    base, out = trained
    cut_off = tmp_path / "out"
    shutil.copytree(out, cut_off)
    (cut_off / "checkpoint-6" / "adapter_model.safetensors").unlink()
    problem = assert_problem(send(service, base, cut_off), 422, "adapter_mismatch")
    assert problem["detail"].startswith("checkpoint-6: ")
    assert problem["folder"] == "checkpoint-6"
    shutil.rmtree(cut_off / "checkpoint-6")
    assert len(taken(send(service, base, cut_off))["checkpoints"]) == 2
