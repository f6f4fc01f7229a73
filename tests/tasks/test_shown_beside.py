"""What an answer shows beside the rows: what the model itself says, and what its base alone would have lost."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from support.rows import make_completion_rows, make_ticket_rows
from support.tiny import LABELS, TinyCheckpoint, make_causal, make_classifier, make_plain, make_seq2seq
from support.trials.bench import Bench
from support.trials.exactness import load_tiny
from support.trials.shown import show
from transformers import AutoModelForCausalLM

from workers.gradients.adapters import adapter_off
from workers.queries.predictions import MAX_SHOWN_TEXTS

ROWS = make_completion_rows(20)


@pytest.fixture
def causal(tmp_path: Path) -> TinyCheckpoint:
    return make_causal(tmp_path / "causal")


def test_a_language_models_answer_and_its_bases_loss_stand_beside_the_reference(
    bench: Bench, causal: TinyCheckpoint
) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS))
    query = bench.query(index, examples=[ROWS[0]])
    (result,) = query["results"]
    loaded = load_tiny(causal)
    asked = loaded.tokenizer(ROWS[0]["prompt"], return_tensors="pt")["input_ids"][:, :-1]
    model: Any = loaded.model
    made = model.generate(
        input_ids=asked, attention_mask=torch.ones_like(asked), max_new_tokens=64 - asked.shape[1], do_sample=False
    )
    words = loaded.tokenizer.decode(made[0, asked.shape[1] :], skip_special_tokens=True)
    assert result["prediction"] == words
    assert result["example"]["completion"] == ROWS[0]["completion"]
    base = AutoModelForCausalLM.from_pretrained(causal.base, dtype=torch.float64)
    batch = loaded.task.collate(loaded.task.tokenise([ROWS[0]]))
    truth = loaded.task.row_losses(base, batch).item()
    assert result["base_loss"] == pytest.approx(truth, rel=1e-4)
    assert result["base_loss"] != pytest.approx(result["loss"], rel=1e-3)
    assert f"{result['base_loss']:.4g} without the adapter" in show(query)


def test_an_encoder_decoders_answer_is_shown(bench: Bench, tmp_path: Path) -> None:
    index = bench.index(bench.checkpoint(make_seq2seq(tmp_path / "t5")), bench.dataset(ROWS))
    (result,) = bench.query(index, examples=[ROWS[0]])["results"]
    assert result["prediction"] is not None
    assert result["base_loss"] is not None


def test_many_test_points_are_answered_without_texts(bench: Bench, causal: TinyCheckpoint) -> None:
    dataset = bench.dataset(ROWS)
    index = bench.index(bench.checkpoint(causal), dataset)
    many = {"dataset_id": dataset["id"], "row_indexes": [*range(MAX_SHOWN_TEXTS + 1)]}
    results = bench.query(index, rows=many, k=1)["results"]
    assert {result["prediction"] for result in results} == {None}
    assert all(result["base_loss"] is not None for result in results)
    (mean,) = bench.query(index, rows=many, k=1, aggregate="mean")["results"]
    truth = sum(result["base_loss"] for result in results) / len(results)
    assert mean["base_loss"] == pytest.approx(truth, rel=1e-5)


def test_a_row_that_asks_nothing_has_no_answer(bench: Bench, causal: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset([{"text": row["prompt"]} for row in ROWS]))
    (result,) = bench.query(index, examples=[{"text": "refund my card"}])["results"]
    assert result["prediction"] is None


def test_a_head_that_came_with_the_adapter_has_no_base(bench: Bench, tmp_path: Path) -> None:
    """The base's files of this one hold a head; those of the other do not, as with most base models."""
    rows = [{**row, "label": LABELS.index(row["label"])} for row in make_ticket_rows(20)]
    dataset = bench.dataset(rows)
    whole, headless = make_classifier(tmp_path / "whole"), make_classifier(tmp_path / "headless")
    weights = load_file(headless.base / "model.safetensors")
    kept = {name: values for name, values in weights.items() if "classifier" not in name}
    save_file(kept, headless.base / "model.safetensors", metadata={"format": "pt"})
    known, unknown = (
        bench.query(bench.index(bench.checkpoint(tiny), dataset), examples=rows[:1])["results"][0]
        for tiny in (whole, headless)
    )
    assert known["base_loss"] is not None
    assert unknown["base_loss"] is None
    assert (known["predicted_label"] is None, unknown["predicted_label"] is None) == (False, False)


def test_a_plain_model_has_no_base(bench: Bench, tmp_path: Path) -> None:
    base = str(make_plain(tmp_path / "plain"))
    made = bench.client.post("/v1/checkpoints", json={"base_model": base, "trainable": ["classifier"]}).json()
    index = bench.index(made, bench.dataset(make_ticket_rows(20)))
    (result,) = bench.query(index, examples=make_ticket_rows(1))["results"]
    assert result["base_loss"] is None


def test_switching_the_adapter_off_changes_nothing_afterwards(causal: TinyCheckpoint) -> None:
    model: Any = load_tiny(causal).model
    assert isinstance(model, PeftModel)
    frozen = next(parameter for parameter in model.parameters() if parameter.requires_grad)
    frozen.requires_grad_(False)
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    ids = torch.tensor([[1, 7, 8]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        with adapter_off(model):
            assert not torch.equal(model(input_ids=ids).logits, before)
        torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=0, atol=0)
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
