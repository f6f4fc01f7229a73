"""Sequence to sequence: T5 and BART, from prompt and completion to gradients, scores, answers and audits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.oracle import dense_datainf, loop_gradients
from support.problems import assert_problem
from support.rows import make_completion_rows, make_ticket_rows
from support.tiny import TinyCheckpoint, make_seq2seq
from support.trials.bench import WAIT, Bench
from support.trials.exactness import assert_rows_exact, load_tiny
from support.trials.shown import show

ROWS = 24


@pytest.fixture(params=["t5", "bart"])
def tiny(tmp_path: Path, request: pytest.FixtureRequest) -> TinyCheckpoint:
    return make_seq2seq(tmp_path / request.param, kind=request.param)


@pytest.fixture
def t5(tmp_path: Path) -> TinyCheckpoint:
    return make_seq2seq(tmp_path / "t5")


def test_gradients_are_those_of_one_row_at_a_time(tiny: TinyCheckpoint) -> None:
    loaded = load_tiny(tiny)

    def loss_of_transformers(model: Any, row: dict[str, Any]) -> Any:
        labels = loaded.tokenizer(text_target=row["completion"], return_tensors="pt")["input_ids"]
        return model(**loaded.tokenizer(row["prompt"], return_tensors="pt"), labels=labels).loss

    rows = [*make_completion_rows(6), {"id": "empty", "prompt": "refund late", "completion": ""}]
    assert_rows_exact(loaded, rows, loss_of_transformers)


def test_scores_equal_the_formula_written_out(bench: Bench, tiny: TinyCheckpoint) -> None:
    checkpoint, rows, asked = bench.checkpoint(tiny), make_completion_rows(ROWS), make_completion_rows(2, seed=5)
    assert (checkpoint["task"], checkpoint["num_labels"]) == ("seq2seq_lm", None)
    index = bench.index(checkpoint, bench.dataset(rows), storage="full")
    query = bench.query(index, examples=asked, k=3)
    loaded = load_tiny(tiny)
    truth = dense_datainf(loop_gradients(loaded, asked), loop_gradients(loaded, rows))
    found = bench.get(f"/v1/queries/{query['id']}/scores")["influence"]
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())
    assert "->" in show(query)


def test_the_answer_is_the_greedy_one_of_transformers_and_can_be_asked_about(
    bench: Bench, tiny: TinyCheckpoint
) -> None:
    index = bench.index(bench.checkpoint(tiny), bench.dataset(make_completion_rows(ROWS)), storage="compact", rank=4)
    prompt = "my parcel is lost where is it"
    (result,) = bench.query(index, examples=[{"prompt": prompt}], target="prediction")["results"]
    (same,) = bench.query(index, examples=[{"prompt": prompt, "completion": "late"}], target="prediction")["results"]
    assert same["prediction"] == result["prediction"]
    loaded = load_tiny(tiny)
    inputs = loaded.tokenizer(prompt, return_tensors="pt")
    model: Any = loaded.model
    made = model.generate(**inputs, max_new_tokens=64, do_sample=False, num_beams=1)
    assert result["prediction"] == loaded.tokenizer.decode(made[0], skip_special_tokens=True)
    assert result["example"]["completion"] == result["prediction"]
    assert 0 <= result["predicted_probability"] <= 1


def test_a_preview_shows_that_the_loss_falls_on_the_completion(bench: Bench, t5: TinyCheckpoint) -> None:
    rows = [{"prompt": "refund late", "completion": "sorry thanks"}]
    (shown,) = bench.preview(bench.checkpoint(t5), bench.dataset(rows))
    supervised = [token for token, carries in zip(shown["tokens"], shown["supervised"], strict=True) if carries]
    assert supervised == ["[CLS]", "[UNK]", "thanks", "[SEP]"]
    assert shown["tokens"][:2] == ["[CLS]", "refund"]


def test_an_audit_and_the_embeddings_of_rows(bench: Bench, tiny: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(tiny), bench.dataset(make_completion_rows(ROWS)))
    audit = bench.audit(index)
    assert [signal["name"] for signal in audit["signals"]] == ["loss", "self_influence"]
    same = make_completion_rows(ROWS)[3]
    (result,) = bench.query(index, examples=[same], method="embedding", k=1, order="helpful")["results"]
    assert result["helpful"][0]["row_id"] == same["id"]


def test_long_rows_are_cut_on_either_side_or_refused(bench: Bench, t5: TinyCheckpoint) -> None:
    long = " ".join(["refund"] * 20)
    rows = [{"prompt": long, "completion": "late"}, {"prompt": "late", "completion": long}]
    checkpoint, dataset = bench.checkpoint(t5), bench.dataset(rows)
    shown = bench.preview(checkpoint, dataset, max_length=8)
    assert all(row["truncated"] for row in shown)
    assert [sum(row["supervised"]) for row in shown] == [3, 8]
    assert bench.index(checkpoint, dataset, max_length=8)["truncated_rows"] == 2
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"], "max_length": 8, "on_too_long": "fail"}
    refused = bench.client.post("/v1/indexes", json=ids, headers=WAIT)
    assert len(assert_problem(refused, 422, "row_too_long")["row_ids"]) == 2


def test_rows_and_scopes_that_it_does_not_have_are_refused(bench: Bench, t5: TinyCheckpoint) -> None:
    checkpoint, tickets = bench.checkpoint(t5), bench.dataset(make_ticket_rows(4))
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": tickets["id"]}
    problem = assert_problem(bench.client.post("/v1/indexes", json=ids), 422, "rows_unfit")
    assert "prompt + completion for completion" in problem["hint"]
    whole = {**ids, "dataset_id": bench.dataset(make_completion_rows(4))["id"], "loss": "all"}
    assert_problem(bench.client.post("/v1/indexes", json=whole), 422, "invalid_request")
    assert_problem(bench.send_adapter(t5, task="causal_lm"), 422, "task_mismatch")


def test_an_evaluation_trains_the_kind_of_model_that_the_base_is(bench: Bench, tiny: TinyCheckpoint) -> None:
    evaluation = bench.evaluate(
        kind="lds",
        dataset_id=bench.dataset(make_completion_rows(40))["id"],
        base_model=str(tiny.base),
        subsets=8,
        seeds=[0],
        test_points=4,
        max_length=64,
        lora={"r": 2},
        recipe={"epochs": 1},
        methods=[{"method": "datainf"}],
    )
    assert evaluation["subject"]["task"] == "seq2seq_lm"


def test_a_plain_model_has_the_task_of_its_class(bench: Bench, t5: TinyCheckpoint) -> None:
    body = {"base_model": str(t5.base), "trainable": ["decoder.*.EncDecAttention.v"]}
    made = bench.client.post("/v1/checkpoints", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["task"] == "seq2seq_lm"
    assert bench.index(made.json(), bench.dataset(make_completion_rows(6)))["rows_indexed"] == 6
