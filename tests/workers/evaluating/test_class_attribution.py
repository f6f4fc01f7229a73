"""Class attribution end to end on a tiny model, and its figures against brute force and a float64 oracle."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.answered import present
from support.oracle import dense_datainf, loop_gradients
from support.service import add_dataset, running_worker
from support.tiny import make_causal
from support.work import submit_evaluation

from cli.samples.transformations import TransformationSettings, make_transformations
from influence.contracts.checkpoint import BaseModelRef
from influence.contracts.evaluation.experiment import ClassAttributionRequest, LoraShape, MethodChoice, TrainingRecipe
from influence.contracts.evaluation.record import Subject
from influence.errors import RowMasked
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.evaluating.kinds.attribution_scores import CURVE, judge, score_rows, with_loss_on_prompt
from workers.evaluating.kinds.class_attribution import ClassAttribution
from workers.evaluating.models.causal_model import make_fresh_model
from workers.evaluating.models.small_lm import END, SmallModel, train_tokenizer
from workers.loading.checkpoint import LoadedCheckpoint
from workers.rows import IGNORED, EncodedRow
from workers.runtime.state import Runtime
from workers.training.loop import train

TINY = SmallModel(layers=1, width=32, heads=2, feed_forward=32, vocabulary=300, epochs=1)
SHAPE = LoraShape(r=2, lora_alpha=4)
RECIPE = TrainingRecipe(epochs=2, batch_rows=8)
TRAIN, TEST = make_transformations(TransformationSettings(train_rows=40, test_rows=10))


SUBJECT = Subject(task="causal_lm", base_model=None, dataset_id="ds_none")


def request_for(dataset_id: str, **fields: Any) -> ClassAttributionRequest:
    made = {"kind": "class-attribution", "dataset_id": dataset_id, "lora": SHAPE, "recipe": RECIPE, **fields}
    return ClassAttributionRequest.model_validate(made)


@pytest.fixture
def worker(server: EmbeddedServer, store: Store, tmp_path: Path) -> Any:
    with running_worker(
        server.url, tmp_path / "data", kinds={"class-attribution": ClassAttribution(size=TINY)}
    ) as runtime:
        yield runtime


def send(worker: Runtime, rows: Sequence[dict[str, Any]]) -> str:
    return add_dataset(worker.store, worker.files, rows, "completion").id


def test_from_rows_to_a_report_with_both_losses(worker: Runtime, finished: Any) -> None:
    request = request_for(send(worker, TRAIN), evaluation_dataset_id=send(worker, TEST), seeds=(0, 1), test_points=10)
    asked = submit_evaluation(worker.store, request)
    assert finished(worker.store, asked.job_id).state == "succeeded", worker.store.evaluations.require(asked.id).error
    found = worker.store.evaluations.require(asked.id)
    assert found.pieces == 2
    report = present(found.report)
    methods, baselines, classes, models = report.tables
    assert methods.columns[:2] == ("method", "loss on")
    ((likeness, *figures_of_likeness),) = baselines.rows
    assert likeness == "embedding"
    assert len(figures_of_likeness) == 12
    assert [row[:2] for row in methods.rows] == [
        (name, loss)
        for loss in ("completion", "prompt")
        for name in ("datainf", "hessian_free", "cosine", "exact", "joint")
    ]
    for row in methods.rows:
        for place in range(2, 14, 3):
            figures: Any = row[place : place + 3]
            mean, low, high = figures
            assert 0 <= low <= mean <= high <= 1
    assert [row[1:3] for row in classes.rows] == [(4, 1)] * 10
    assert [row[0] for row in models.rows] == [0, 1]
    assert {picture.name for picture in report.pictures} == {"auc", "found", "found-by-size"}
    reading = " ".join(report.reading)
    assert "100% of the test prompts hold the name of their class" in reading
    assert "2 were made" in reading
    assert report.figures["recall_by_chance"] == pytest.approx(0.1)


LOSSES = ("base_loss", "train_loss", "test_loss_before", "test_loss")


def figures_of(result: dict[str, Any]) -> Any:
    """All figures of a piece, one after another."""
    scopes = [scope for by_title in result["scopes"].values() for scope in by_title.values()]
    return np.concatenate([np.ravel(values) for scope in scopes for values in scope.values()])


def test_a_piece_computed_again_in_other_batches_has_the_same_result(worker: Runtime) -> None:
    request = request_for(send(worker, TRAIN), methods=[{"method": "datainf"}], test_points=4)
    asked = submit_evaluation(worker.store, request, cancelled=True)
    kind, seen = ClassAttribution(size=TINY), list[tuple[int, int]]()
    first = kind.run(worker, asked, {"seed": 3}, lambda done, total: seen.append((done, total)))
    worker.token_budget.tokens //= 4  # as on a machine that is slower or has less memory
    again, other = (kind.run(worker, asked, {"seed": seed}, lambda _done, _total: None) for seed in (3, 4))
    computed = {"scopes", *LOSSES}
    assert {name: first[name] for name in first.keys() - computed} == {
        name: again[name] for name in again.keys() - computed
    }
    assert [again[name] for name in LOSSES] == pytest.approx([first[name] for name in LOSSES], rel=1e-4)
    assert [other[name] for name in LOSSES] != pytest.approx([first[name] for name in LOSSES], rel=1e-4)
    # Rounding may turn two scores that are all but equal.
    assert np.isclose(figures_of(again), figures_of(first), atol=1e-5).mean() > 0.95
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert (done[-1], set(totals)) == (totals[0], {totals[0]})
    assert totals[0] == 3 + 10 + 10  # steps of the base made here and of the fine-tuning, gradients under both losses


def test_the_test_rows_are_the_same_for_every_seed_and_none_is_trained_on(worker: Runtime) -> None:
    rows = send(worker, TRAIN)
    request = request_for(rows, rows=20, methods=[{"method": "hessian_free"}])
    asked = submit_evaluation(worker.store, request, cancelled=True)
    results = [ClassAttribution(size=TINY).run(worker, asked, {"seed": seed}, lambda *_: None) for seed in (0, 1)]
    assert results[0]["test_rows"] == results[1]["test_rows"]
    assert len(results[0]["test_rows"]) == 4  # a tenth of 40
    assert results[0]["train_rows"] == 20
    assert set(results[0]["train_classes"].values()) == {2}


def test_a_named_base_model_is_fine_tuned_under_a_fresh_adapter(worker: Runtime, tmp_path: Path) -> None:
    tiny = make_causal(tmp_path / "causal")
    base = BaseModelRef(name="tiny", kind="path", location=str(tiny.base))
    words = ("refund", "parcel", "card")
    rows = [
        {"id": f"r{n}", "prompt": f"where is my {words[n % 3]}", "completion": " late lost", "class": words[n % 3]}
        for n in range(30)
    ]
    asked = submit_evaluation(worker.store, request_for(send(worker, rows)), cancelled=True, base_model=base)
    result = ClassAttribution(size=TINY).run(worker, asked, {"seed": 0}, lambda *_: None)
    assert result["base_loss"] is None
    assert result["test_loss"] < result["test_loss_before"]
    assert set(result["scopes"]) == {"completion", "prompt"}
    summed = submit_evaluation(
        worker.store, request_for(send(worker, rows), reduction="sum"), cancelled=True, base_model=base
    )
    of_sums = ClassAttribution(size=TINY).run(worker, summed, {"seed": 0}, lambda *_: None)
    assert of_sums["test_loss_before"] > 1.5 * result["test_loss_before"]  # answers of two words and more


@pytest.mark.parametrize("scope", ["completion", "prompt"])
def test_scores_equal_the_formula_written_out_under_both_losses(worker: Runtime, scope: str) -> None:
    rows, asked = TRAIN[:20], TEST[:3]
    request = request_for(send(worker, rows))
    fresh = make_fresh_model(worker, request, SUBJECT, rows, size=TINY, seed=0, watch=lambda *_: None)
    device = torch.device("cpu")
    train(fresh.model, fresh.task, fresh.task.tokenise(rows), RECIPE, device=device)
    turn: Callable[[EncodedRow], EncodedRow] = with_loss_on_prompt if scope == "prompt" else lambda row: row
    encoded, tested = ([turn(row) for row in fresh.task.tokenise(part)] for part in (rows, asked))
    choices = [MethodChoice(method="datainf"), MethodChoice(method="datainf", damping_scale=2.0)]
    found = score_rows(
        worker, fresh.model, fresh.task, (encoded, tested), choices, lambda _count: None, batch_rows=RECIPE.batch_rows
    )
    turned: Any = Turned(fresh.task, turn)
    loaded = LoadedCheckpoint(fresh.model, None, turned)
    gradients = loop_gradients(loaded, asked), loop_gradients(loaded, rows)
    for choice, scale in zip(choices, (0.1, 2.0), strict=True):
        truth = -dense_datainf(*gradients, scale=scale)
        np.testing.assert_allclose(found[choice.title], truth, atol=1e-4 * np.abs(truth).max())


def test_gradients_of_sums_are_asked_for_beside_those_of_means(worker: Runtime) -> None:
    rows, asked = TRAIN[:20], TEST[:3]
    summed = request_for(send(worker, rows), reduction="sum")
    for request in (request_for(send(worker, rows)), summed):
        fresh = make_fresh_model(worker, request, SUBJECT, rows, size=TINY, seed=0, watch=lambda *_: None)
        fresh.model.eval()
        encoded, tested = fresh.task.tokenise(rows), fresh.task.tokenise(asked)
        usual, *choices = (
            MethodChoice.model_validate({"method": "hessian_free", **how})
            for how in ({}, {"reduction": "mean"}, {"reduction": "sum"})
        )
        found = score_rows(
            worker, fresh.model, fresh.task, (encoded, tested), [usual, *choices], lambda _count: None, batch_rows=8
        )
        means, sums = (found[choice.title] for choice in choices)
        np.testing.assert_allclose(found[usual.title], sums if request is summed else means, rtol=1e-4, atol=1e-9)
        tokens, asked_tokens = (
            np.asarray([sum(label != IGNORED for label in row.labels) for row in part]) for part in (encoded, tested)
        )
        assert len(set(tokens.tolist())) > 3
        truth = means * tokens * asked_tokens[:, None]
        np.testing.assert_allclose(sums, truth, rtol=1e-3, atol=1e-5 * np.abs(truth).max())


class Turned:
    """A task whose loss falls where it is turned to."""

    def __init__(self, task: Any, turn: Callable[[EncodedRow], EncodedRow]) -> None:
        self._turn = turn
        self._tokenise = task.tokenise
        self.collate, self.row_losses = task.collate, task.row_losses

    def tokenise(self, rows: Any) -> list[EncodedRow]:
        return [self._turn(row) for row in self._tokenise(rows)]


def test_prompt_and_completion_share_all_tokens_between_them(worker: Runtime) -> None:
    request = request_for(send(worker, TRAIN))
    task = make_fresh_model(worker, request, SUBJECT, TRAIN, size=TINY, seed=0, watch=lambda *_: None).task
    for row in task.tokenise(TRAIN[:10]):
        turned = with_loss_on_prompt(row)
        carried = [(a != IGNORED) + (b != IGNORED) for a, b in zip(row.labels, turned.labels, strict=True)]
        assert carried == [1] * row.length
        assert with_loss_on_prompt(turned).labels == row.labels


def test_a_row_without_a_prompt_is_refused_by_name() -> None:
    row = EncodedRow("r7", {"input_ids": [5, 6], "attention_mask": [1, 1]}, [5, 6], 2)
    with pytest.raises(RowMasked, match="r7"):
        with_loss_on_prompt(row)
    with pytest.raises(RowMasked):
        with_loss_on_prompt(replace(row, labels=[IGNORED, 6]))


def test_figures_are_those_of_pairs_and_counts() -> None:
    scores = np.array([[3.0, 2.0, 1.0, 0.0], [-5.0, 1.0, 2.0, 3.0]])
    found = judge(scores, ["a", "b", "a", "b"], ["a", "a"])
    assert found["auc"] == [0.75, 0.25]  # pairs (a above b): 3>2, 3>0, 1>0 of 4; then 2>1 of 4
    assert found["recall"] == [0.5, 0.5]
    assert found["auc_by_size"] == [0.75, 0.75]
    assert found["recall_by_size"] == [0.5, 0.5]
    assert found["curve"][0] == 0.0
    assert found["curve"][-1] == 1.0
    assert found["curve"][CURVE.index(0.5)] == 0.5


def test_the_tokenizer_writes_any_text_and_is_the_same_each_time() -> None:
    texts = [row["prompt"] + row["completion"] for row in TRAIN]
    tokenizer = train_tokenizer(texts, 320)
    assert tokenizer.get_vocab() == train_tokenizer(texts, 320).get_vocab()
    assert len(tokenizer) == 320
    odd = "Zoë's  naïve 猫\n"
    assert tokenizer.decode(tokenizer(odd)["input_ids"]) == odd
    assert tokenizer.eos_token == END


def test_nothing_left_to_ask_or_to_train_on_is_said(worker: Runtime, finished: Any) -> None:
    lonely = [*TRAIN[:10], {"id": "x", "prompt": "p q", "completion": "c", "class": "alone"}]
    stranger = [{"id": "y", "prompt": "p", "completion": "c", "class": "unheard of"}]
    cases = [
        (request_for(send(worker, TRAIN), evaluation_dataset_id=send(worker, stranger)), "rows_unfit"),
        (request_for(send(worker, TRAIN), rows=8), "invalid_request"),
    ]
    for request, code in cases:
        job = finished(worker.store, submit_evaluation(worker.store, request).job_id)
        assert (job.state, job.error["code"]) == ("failed", code)
    request = request_for(send(worker, lonely), methods=[{"method": "cosine"}])
    asked = submit_evaluation(worker.store, request)
    assert finished(worker.store, asked.job_id).state == "succeeded", worker.store.evaluations.require(asked.id).error
