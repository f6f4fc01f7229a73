"""A run's checkpoints in one code over HTTP: one index, asked like any, that answers with the sum over them."""

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.tiny import TinyCheckpoint
from support.trials.bench import Bench

from influence.evaluating.agreement import rank_correlations

ROWS = make_ticket_rows(80)
TEST = make_ticket_rows(3, seed=9)
RATES = {2: 0.04, 4: 0.02, 6: 0.01}
SETTINGS = {"max_length": 64, "batch_rows": 8}


def pack_run(tiny: TinyCheckpoint, config: dict[str, Any] | None = None) -> bytes:
    """A trainer's folder of three checkpoints; the second's adapter configuration may be another."""
    weights = load_file(tiny.adapter / "adapter_model.safetensors")
    content, buffer = json.loads((tiny.adapter / "adapter_config.json").read_text()), io.BytesIO()
    history = [{"step": step, "learning_rate": rate} for step, rate in RATES.items()]
    with zipfile.ZipFile(buffer, "w") as archive:
        for step in RATES:
            generator = torch.Generator().manual_seed(step)
            moved = {
                name: value + 0.1 * torch.randn(value.shape, generator=generator) for name, value in weights.items()
            }
            folder = f"out/checkpoint-{step}"
            own = content | (config or {}) if step == 4 else content
            archive.writestr(f"{folder}/adapter_config.json", json.dumps(own))
            archive.writestr(f"{folder}/adapter_model.safetensors", save(moved))
            archive.writestr(f"{folder}/trainer_state.json", json.dumps({"log_history": history}))
    return buffer.getvalue()


def send_run(bench: Bench, tiny: TinyCheckpoint, config: dict[str, Any] | None = None) -> dict[str, Any]:
    form = {"base_model": str(tiny.base), "label_names": '["billing", "access", "delivery"]'}
    files = {"run": ("run.zip", pack_run(tiny, config))}
    answer = bench.client.post("/v1/runs", data=form, files=files)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def join(bench: Bench, run: dict[str, Any], dataset: dict[str, Any], **fields: Any) -> Any:
    body = {"run_id": run["id"], "dataset_id": dataset["id"], "join": True, "metric": "optimizer", **SETTINGS}
    return bench.client.post("/v1/indexes", json={**body, **fields})


def scores_of(bench: Bench, query: dict[str, Any]) -> Any:
    return np.asarray(bench.get(f"/v1/queries/{query['id']}/scores")["influence"])


def test_the_answer_is_the_sum_over_the_runs_checkpoints(bench: Bench, tiny: TinyCheckpoint) -> None:
    run, dataset = send_run(bench, tiny), bench.dataset(ROWS)
    weights = [one["weight"] for one in run["checkpoints"]]
    truth = np.zeros((len(TEST), len(ROWS)))
    for one in run["checkpoints"]:
        full = bench.index({"id": one["checkpoint_id"]}, dataset, storage="full", **SETTINGS)
        query = bench.query(full, examples=TEST, method="preconditioned")
        truth += one["weight"] * scores_of(bench, query)
    made = join(bench, run, dataset, rank=32)
    assert made.status_code == 202, made.text
    index = bench.finished(made.json(), f"/v1/indexes/{made.json()['id']}")
    assert [one["weight"] for one in index["spec"]["joined"]] == weights
    assert index["spec"]["checkpoint_id"] == run["checkpoints"][-1]["checkpoint_id"]
    assert len(index["blocks"]) == 3 * len(full["blocks"])
    assert join(bench, run, dataset, rank=32).json()["id"] == index["id"]
    asked = bench.query(index, examples=TEST, method="auto", exact=True, k=5, include=["blocks"])
    assert asked["method"] == "preconditioned"
    assert asked["results"][0]["loss"] == pytest.approx(query["results"][0]["loss"], rel=1e-5)
    # The preconditioners are the sample's, which left out the rows that fidelity was measured with.
    assert rank_correlations(scores_of(bench, asked), truth).min() > 0.97
    shown = asked["results"][0]["helpful"][0]
    assert shown["influence"] == pytest.approx(truth[0, shown["row_index"]], rel=0.2)
    assert {name.split("/")[0] for name in shown["blocks"]} == {f"checkpoint-{step}" for step in RATES}
    assert bench.audit(index, method="preconditioned", signals=["self_influence", "loss"])["state"] == "succeeded"
    again = bench.query(index, examples=TEST, method="preconditioned", exact=False, include=["levels"])
    assert again["state"] == "succeeded"
    path = f"/v1/indexes/{index['id']}/queries"
    for several in ({"run_id": run["id"]}, {"checkpoints": [{"index_id": index["id"], "weight": 1.0}]}):
        refused = bench.client.post(path, json={"examples": TEST, "method": "preconditioned", **several})
        assert "their sum already" in assert_problem(refused, 422, "invalid_request")["detail"]
    ids = {"checkpoint_id": index["spec"]["checkpoint_id"], "dataset_id": dataset["id"], "grow_from": index["id"]}
    grown = bench.client.post("/v1/indexes", json={**ids, "metric": "optimizer", **SETTINGS})
    assert "joins several checkpoints" in assert_problem(grown, 422, "invalid_request")["detail"]


def test_a_joined_index_holds_all_of_its_checkpoints(bench: Bench, tiny: TinyCheckpoint) -> None:
    run, dataset = send_run(bench, tiny), bench.dataset(ROWS[:30])
    made = join(bench, run, dataset).json()
    bench.finished(made, f"/v1/indexes/{made['id']}")
    assert bench.client.delete(f"/v1/runs/{run['id']}").status_code == 204
    first = run["checkpoints"][0]["checkpoint_id"]
    assert_problem(bench.client.delete(f"/v1/checkpoints/{first}"), 409, "resource_in_use")


def test_what_cannot_share_a_code_is_refused_by_name(bench: Bench, tiny: TinyCheckpoint) -> None:
    run, dataset = send_run(bench, tiny), bench.dataset(ROWS[:10])
    for fields, word in (({"metric": "gradient"}, "metric"), ({"storage": "full"}, "storage")):
        problem = assert_problem(join(bench, run, dataset, **fields), 422, "invalid_request")
        assert problem["field"] == word
        assert "Leave 'join' out" in problem["hint"]
    ids = {"checkpoint_id": run["checkpoints"][0]["checkpoint_id"], "dataset_id": dataset["id"]}
    alone = bench.client.post("/v1/indexes", json={**ids, "join": True})
    assert "'run_id'" in json.dumps(alone.json())
    assert alone.status_code == 422
    other = send_run(bench, tiny, {"lora_alpha": 16})
    problem = assert_problem(join(bench, other, dataset), 422, "invalid_request")
    assert problem["differing"] == ["adapter"]
