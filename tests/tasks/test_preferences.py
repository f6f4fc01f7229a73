"""Pairs of answers: direct preference and pairwise reward, from the file to gradients and scores."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.oracle import dense_datainf, loop_gradients
from support.problems import assert_problem
from support.rows import make_completion_rows
from support.tiny import TinyCheckpoint, make_causal, make_classifier, make_decoder_classifier, make_plain
from support.trials.bench import Bench, zip_adapter
from support.trials.exactness import assert_rows_exact, load_tiny
from support.trials.shown import show
from torch.nn.functional import log_softmax, logsigmoid

from influence.errors import RowMasked
from workers.loading.checkpoint import LoadedCheckpoint

CHATML = (
    "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }} [SEP] {% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
ROWS = 16


def pairs(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Prompts with two answers of other lengths."""
    good, bad = make_completion_rows(count, seed=seed), make_completion_rows(count, seed=seed + 100)
    answers = [(f" {one['completion']}", f" {two['completion']} a") for one, two in zip(good, bad, strict=True)]
    return [
        {"id": row["id"], "prompt": row["prompt"], "chosen": chosen, "rejected": rejected}
        for row, (chosen, rejected) in zip(good, answers, strict=True)
    ]


def talks(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": row["id"],
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "chosen": [{"role": "assistant", "content": row["chosen"].strip()}],
            "rejected": [{"role": "assistant", "content": row["rejected"].strip()}],
        }
        for row in pairs(count)
    ]


@pytest.fixture
def causal(tmp_path: Path) -> TinyCheckpoint:
    tiny = make_causal(tmp_path / "causal")
    file = tiny.base / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": CHATML}))
    return tiny


def answers_of(loaded: LoadedCheckpoint, row: dict[str, Any], name: str) -> tuple[list[int], int]:
    """Ids of prompt and answer as TRL makes them, and where the answer begins."""
    tokenizer = loaded.tokenizer
    if isinstance(row["prompt"], str):
        ids = tokenizer(row["prompt"] + row[name])["input_ids"]
        return ids, len(tokenizer(row["prompt"])["input_ids"]) - 1  # without the end that the tokenizer writes
    before = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
    return tokenizer.apply_chat_template([*row["prompt"], *row[name]], return_dict=False), len(before)


def log_likelihood(model: Any, ids: list[int], start: int) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    found = log_softmax(logits.double(), dim=-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])
    return found[start - 1 :].sum()


def preference_by_hand(loaded: LoadedCheckpoint, beta: float) -> Any:
    def loss(model: Any, row: dict[str, Any]) -> torch.Tensor:
        sides = [answers_of(loaded, row, name) for name in ("chosen", "rejected")]
        wanted = [parameter.requires_grad for parameter in model.parameters()]
        with torch.no_grad(), model.disable_adapter():
            base = [log_likelihood(model, *side) for side in sides]
        for parameter, requires_grad in zip(model.parameters(), wanted, strict=True):
            parameter.requires_grad_(requires_grad)
        own = [log_likelihood(model, *side) for side in sides]
        return -logsigmoid(beta * ((own[0] - base[0]) - (own[1] - base[1])))

    return loss


@pytest.mark.parametrize("rows", [pairs(7), talks(5)], ids=["texts", "messages"])
@pytest.mark.parametrize("beta", [None, 0.5])
def test_preference_gradients_are_those_of_one_pair_at_a_time(
    rows: list[dict[str, Any]], beta: float | None, causal: TinyCheckpoint
) -> None:
    loaded = load_tiny(causal, task="direct_preference", beta=beta)
    assert_rows_exact(loaded, rows, preference_by_hand(loaded, beta or 0.1))


@pytest.mark.parametrize("pad", [{"pad_token_id": 0}, {}], ids=["padded", "no padding id"])
def test_reward_gradients_are_those_of_one_pair_at_a_time(pad: dict[str, int], tmp_path: Path) -> None:
    loaded = load_tiny(make_decoder_classifier(tmp_path, num_labels=1, **pad), task="pairwise_reward")
    rows = [{**row, **({"margin": 0.5} if place % 2 else {})} for place, row in enumerate(pairs(7))]

    def loss(model: Any, row: dict[str, Any]) -> torch.Tensor:
        ids = [loaded.tokenizer(row["prompt"] + row[name])["input_ids"] for name in ("chosen", "rejected")]
        scores = [model(input_ids=torch.tensor([one])).logits[0, 0] for one in ids]
        return -logsigmoid(scores[0] - scores[1] - row.get("margin", 0.0))

    assert_rows_exact(loaded, rows, loss)


def test_rewards_that_training_kept_near_zero_have_the_loss_that_did_so(tmp_path: Path) -> None:
    tiny = make_decoder_classifier(tmp_path, num_labels=1, pad_token_id=0)
    loaded = load_tiny(tiny, task="pairwise_reward", center_rewards_coefficient=0.5)

    def loss(model: Any, row: dict[str, Any]) -> torch.Tensor:
        ids = [loaded.tokenizer(row["prompt"] + row[name])["input_ids"] for name in ("chosen", "rejected")]
        scores = [model(input_ids=torch.tensor([one])).logits[0, 0] for one in ids]
        return torch.add(-logsigmoid(scores[0] - scores[1]), 0.5 * (scores[0] + scores[1]) ** 2)

    assert_rows_exact(loaded, pairs(7), loss)


def test_the_factor_that_centres_rewards_is_that_of_training_or_of_the_request(bench: Bench, tmp_path: Path) -> None:
    tiny = make_decoder_classifier(tmp_path, num_labels=1, pad_token_id=0)
    settings = {"rlhf_type": "rm", "center_rewards_coefficient": 0.01}
    content = io.BytesIO(zip_adapter(tiny.adapter))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("args.json", json.dumps(settings))
    files = {"adapter": ("adapter.zip", content.getvalue())}
    sent = bench.client.post("/v1/checkpoints", data={"base_model": str(tiny.base)}, files=files)
    checkpoint, dataset = sent.json(), bench.dataset(pairs(4))
    assert checkpoint["task"] == "pairwise_reward"
    trained, other = (bench.index(checkpoint, dataset, **asked) for asked in ({}, {"center_rewards_coefficient": 0.5}))
    assert trained["spec"]["gradients"]["center_rewards_coefficient"] == 0.01
    assert any("center_rewards_coefficient 0.01" in warning for warning in other["warnings"])
    plain = bench.checkpoint(tiny, task="pairwise_reward")
    assert bench.index(plain, dataset)["spec"]["gradients"]["center_rewards_coefficient"] is None
    body = {"checkpoint_id": bench.checkpoint(tiny)["id"], "dataset_id": dataset["id"]}
    rated = bench.dataset([{"text": "late", "score": 0.5}] * 2, columns='{"text": "text", "score": "score"}')
    refused = bench.client.post(
        "/v1/indexes", json={**body, "dataset_id": rated["id"], "center_rewards_coefficient": 0.5}
    )
    assert assert_problem(refused, 422, "invalid_request")["field"] == "center_rewards_coefficient"


def test_an_encoder_may_be_a_reward_model(tmp_path: Path) -> None:
    loaded = load_tiny(make_classifier(tmp_path, labels=1), task="pairwise_reward")

    def loss(model: Any, row: dict[str, Any]) -> torch.Tensor:
        texts = [loaded.tokenizer(row["prompt"] + row[name], return_tensors="pt") for name in ("chosen", "rejected")]
        scores = [model(**one).logits[0, 0] for one in texts]
        return -logsigmoid(scores[0] - scores[1])

    assert_rows_exact(loaded, pairs(5), loss)


@pytest.mark.parametrize("storage", ["full", "compact"])
def test_preference_scores_equal_the_formula_written_out(storage: str, bench: Bench, causal: TinyCheckpoint) -> None:
    checkpoint = bench.checkpoint(causal, task="direct_preference")
    rows, asked = pairs(ROWS), pairs(2, seed=7)
    dataset = bench.dataset(rows)
    assert (dataset["kind"], set(dataset["columns"])) == ("preference", {"id", "prompt", "chosen", "rejected"})
    (shown, *_) = bench.preview(checkpoint, dataset)
    assert shown["rendered"].endswith(rows[0]["rejected"])
    index = bench.index(checkpoint, dataset, storage=storage)
    assert index["spec"]["gradients"]["beta"] == 0.1
    query = bench.query(index, examples=asked, k=3)
    result = query["results"][0]
    assert result["base_loss"] == pytest.approx(np.log(2), rel=1e-5)
    assert result["prediction"] is None
    assert "loss" in show(query)
    if storage == "full":
        loaded = load_tiny(causal, task="direct_preference")
        truth = dense_datainf(loop_gradients(loaded, asked), loop_gradients(loaded, rows))
        found = bench.get(f"/v1/queries/{query['id']}/scores")["influence"]
        np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())
    assert bench.query(index, examples=asked, method="embedding", k=3)["results"][0]["helpful"]
    assert [signal["name"] for signal in bench.audit(index)["signals"]] == ["loss", "self_influence"]


def test_reward_scores_come_from_one_pair_to_another(bench: Bench, tmp_path: Path) -> None:
    checkpoint = bench.checkpoint(make_classifier(tmp_path / "one", labels=1), task="pairwise_reward")
    dataset = bench.dataset([{**row, "margin": 0.25} for row in pairs(ROWS)])
    assert dataset["columns"]["margin"] == "margin"
    index = bench.index(checkpoint, dataset)
    (result,) = bench.query(index, examples=pairs(1, seed=9), k=2)["results"]
    assert len(result["helpful"]) + len(result["harmful"]) > 0
    rows = {"dataset_id": dataset["id"], "row_indexes": [0, 1]}
    assert len(bench.query(index, rows=rows, aggregate="mean")["results"]) == 1


def test_beta_is_part_of_the_address_and_of_preferences_alone(bench: Bench, causal: TinyCheckpoint) -> None:
    dataset, plain = bench.dataset(pairs(4)), bench.dataset(make_completion_rows(4))
    checkpoint = bench.checkpoint(causal, task="direct_preference")
    made = [bench.index(checkpoint, dataset, **fields)["id"] for fields in ({}, {"beta": 0.1}, {"beta": 0.3})]
    assert made[0] == made[1] != made[2]
    language = bench.checkpoint(causal)
    assert language["task"] == "causal_lm"
    body = {"checkpoint_id": language["id"], "dataset_id": plain["id"]}
    assert_problem(bench.client.post("/v1/indexes", json={**body, "beta": 0.1}), 422, "invalid_request")
    unfit = bench.client.post("/v1/indexes", json={**body, "dataset_id": dataset["id"]})
    assert "direct_preference" in assert_problem(unfit, 422, "rows_unfit")["hint"]


@pytest.mark.parametrize("asked", [{"target": "prediction"}, {"against": "x"}, {"target": {"span": [0, 1]}}])
def test_what_a_pair_does_not_answer_is_refused(asked: dict[str, Any], bench: Bench, causal: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(causal, task="direct_preference"), bench.dataset(pairs(4)))
    path = f"/v1/indexes/{index['id']}/queries"
    assert_problem(bench.client.post(path, json={"examples": pairs(1), **asked}), 422, "invalid_request")
    tokens = bench.client.post(path, json={"examples": pairs(1), "include": ["tokens"]})
    assert_problem(tokens, 422, "invalid_request")


def test_a_plain_model_has_no_reference(bench: Bench, tmp_path: Path) -> None:
    body = {"base_model": str(make_plain(tmp_path / "plain")), "trainable": ["classifier"]}
    answer = bench.client.post("/v1/checkpoints", json={**body, "task": "direct_preference"})
    assert_problem(answer, 422, "task_mismatch")


def test_an_answer_that_was_cut_off_whole_is_refused(causal: TinyCheckpoint) -> None:
    loaded = load_tiny(causal, task="direct_preference", max_length=4)
    with pytest.raises(RowMasked):
        loaded.task.tokenise([{"id": "r", "prompt": "refund my card please", "chosen": " late", "rejected": " lost"}])


def test_a_loss_that_couples_rows_is_refused_with_the_reason(bench: Bench, causal: TinyCheckpoint) -> None:
    file = causal.adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "task_type": "FEATURE_EXTRACTION"}))
    problem = assert_problem(bench.send_adapter(causal), 422, "task_mismatch")
    assert "compares the rows of a batch" in problem["detail"]
