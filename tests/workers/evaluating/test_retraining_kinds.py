"""Every kind that trains again, end to end on a tiny classifier: from the request to the report."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from support.rows import make_ticket_rows
from support.service import add_dataset, submit_index, submit_query, submit_sweep
from support.tiny import LABELS, TinyCheckpoint
from support.work import submit_evaluation

from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.evaluation.experiment import EvaluationRequest, MethodChoice
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.index import Calibration
from influence.errors import InvalidRequest
from influence.evaluating.draws import draw_subsets
from workers.evaluating.experiment_rows import read_setting
from workers.evaluating.kinds.lds_baselines import read_baselines
from workers.evaluating.registry import KINDS
from workers.evaluating.run import Trail, epochs_of, train_on
from workers.runtime.state import Runtime

TINY: dict[str, Any] = {
    "max_length": 32,
    "lora": {"r": 2, "lora_alpha": 4, "target_modules": ["query", "value"]},
    "recipe": {"epochs": 2, "batch_rows": 8, "learning_rate": 0.02},
    "test_points": 6,
}
Ask = Callable[..., Evaluation]


@pytest.fixture
def rows(worker: Runtime) -> Dataset:
    made = make_ticket_rows(40, seed=1)
    return add_dataset(worker.store, worker.files, made, "classification")


@pytest.fixture
def ask(worker: Runtime, classifier: TinyCheckpoint, finished: Any) -> Ask:
    """Send a request and wait for its end."""

    def send(**fields: Any) -> Evaluation:
        common = {name: value for name, value in TINY.items() if name != "lora" or "trainable" not in fields}
        request: Any = TypeAdapter(EvaluationRequest).validate_python({**common, **fields})
        base = BaseModelRef(name="tiny", kind="path", location=str(classifier.base))
        dataset_id = fields.get("dataset_id")
        asked = submit_evaluation(
            worker.store,
            request,
            task="sequence_classification",
            base_model=base,
            dataset_id=dataset_id or "ds_none",
            num_labels=len(LABELS),
            label_names=LABELS,
        )
        finished(worker.store, asked.job_id)
        return worker.store.evaluations.require(asked.id)

    return send


def table_of(evaluation: Evaluation) -> list[dict[str, Any]]:
    assert evaluation.state == "succeeded", evaluation.error
    assert evaluation.report is not None
    table = evaluation.report.tables[0]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_lds_judges_methods_storages_and_checkpoints_side_by_side(ask: Ask, rows: Dataset) -> None:
    methods = [
        {"method": "datainf"},
        {"method": "exact", "storage": "compact", "rank": 4},
        {"method": "hessian_free", "checkpoints": 2},
        {"method": "ekfac"},
    ]
    found = ask(kind="lds", dataset_id=rows.id, rows=24, subsets=5, seeds=[0, 1], methods=methods, flip_share=0.1)
    table = table_of(found)
    assert [row["method"] for row in table] == [
        "datainf",
        "exact, compact rank 4",
        "hessian_free, 2 checkpoints",
        "ekfac",
    ]
    assert all(row["LDS low"] <= row["LDS"] <= row["LDS high"] for row in table)
    assert all(row["LDS"] == pytest.approx(np.mean([row["seed 0"], row["seed 1"]])) for row in table)
    assert table[0]["over datainf"] is None


def test_modules_of_the_base_model_itself_are_trained_and_judged(worker: Runtime, ask: Ask, rows: Dataset) -> None:
    trainable = ["*.layer.1.output.dense", "bert.pooler"]
    methods = [{"method": "datainf"}, {"method": "proximal", "storage": "compact", "rank": 4}]
    found = ask(kind="lds", dataset_id=rows.id, rows=24, subsets=4, methods=methods, trainable=trainable)
    assert [row["method"] for row in table_of(found)] == ["datainf", "proximal, compact rank 4"]
    setting = read_setting(worker, found, seed=0)
    trail = Trail(
        worker, found.request.recipe, found.request.methods or (), setting.train, setting.test, lambda _: None
    )
    trained = train_on(worker, found, setting.train, seed=0, watch=lambda _done, _total: None, on_epoch=trail)
    changed = {name for name, weight in trained.loaded.model.named_parameters() if weight.requires_grad}
    parts = ("bert.encoder.layer.1.output.dense", "bert.pooler.dense")
    assert changed >= {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}
    assert not any("lora" in name for name, _ in trained.loaded.model.named_parameters())
    predicted = worker.store.evaluation_data.results(found.id)[0]["predicted"]["datainf"]
    subsets = draw_subsets(24, 4, 0.5, seed=0)
    expected = np.stack([trail.influence["datainf"][:, subset].sum(axis=1) for subset in subsets])
    assert np.asarray(predicted) == pytest.approx(expected, rel=1e-3, abs=1e-4 * np.abs(expected).max())


def test_what_lds_predicts_is_the_summed_influence_of_a_subset(worker: Runtime, ask: Ask, rows: Dataset) -> None:
    found = ask(kind="lds", dataset_id=rows.id, rows=24, subsets=4, methods=[{"method": "exact"}])
    setting = read_setting(worker, found, seed=0)
    trail = Trail(
        worker, found.request.recipe, found.request.methods or (), setting.train, setting.test, lambda _: None
    )
    train_on(worker, found, setting.train, seed=0, watch=lambda _done, _total: None, on_epoch=trail)
    subsets = draw_subsets(24, 4, 0.5, seed=0)
    kept = worker.store.evaluation_data.results(found.id)[0]
    expected = np.stack([trail.influence["exact"][:, subset].sum(axis=1) for subset in subsets])
    assert np.asarray(kept["predicted"]["exact"]) == pytest.approx(
        expected, rel=1e-3, abs=1e-4 * np.abs(expected).max()
    )


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        ([-0.17, -0.25, -0.09], "0.170 more than 'proximal' (0.090 to 0.250)"),
        ([0.01, -0.02, 0.04], "no method here can be told to say more than which rows have a high loss"),
        ([0.2, 0.1, 0.3], None),
    ],
)
def test_what_needs_no_gradient_and_says_more_is_said(ahead: list[float], told: str | None) -> None:
    sentences = read_baselines({"loss": {"lds": 0.258, "ahead": ahead, "best_method": "proximal"}})
    assert [told in sentence for sentence in sentences if told] == ([True] if told else [])
    assert len(sentences) == (told is not None)


def test_baselines_without_gradients_are_held_against_the_same_trainings(
    worker: Runtime, ask: Ask, rows: Dataset
) -> None:
    methods = [{"method": "datainf"}, {"method": "cosine"}]
    found = ask(kind="lds", dataset_id=rows.id, rows=24, subsets=6, methods=methods)
    assert found.report is not None
    table = found.report.tables[-1]
    lines: dict[Any, dict[str, Any]] = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert set(lines) == {"embedding", "loss"}
    lds = found.report.figures["lds"]
    best = max(lds, key=lambda name: lds[name]["lds"])
    for name, line in lines.items():
        assert line["best method"] == best
        assert line["ahead"] == pytest.approx(lds[best]["lds"] - line["LDS"], abs=1e-9)
        assert line["ahead low"] <= line["ahead"] <= line["ahead high"]
        assert found.report.figures["baselines"][name]["lds"] == line["LDS"]
    assert any("Similarity of embeddings" in sentence for sentence in found.report.reading)
    assert set(lds) == {"datainf", "cosine"}  # 'auto' and sweeps look there
    setting = read_setting(worker, found, seed=0)
    trained = train_on(worker, found, setting.train, seed=0, watch=lambda _done, _total: None)
    losses = trained.losses(worker, setting.train)
    kept = np.asarray(worker.store.evaluation_data.results(found.id)[0]["baselines"]["loss"])
    subsets = draw_subsets(24, 6, 0.5, seed=0)
    np.testing.assert_allclose(kept, np.repeat((subsets @ losses)[:, None], kept.shape[1], axis=1), rtol=1e-3)


def test_a_piece_computed_again_gives_the_same(worker: Runtime, ask: Ask, rows: Dataset) -> None:
    found = ask(kind="lds", dataset_id=rows.id, rows=24, subsets=4, methods=[{"method": "datainf"}])
    plan = worker.store.evaluation_data.plan(found.id) or []
    kept = worker.store.evaluation_data.results(found.id)
    again = KINDS["lds"].run(worker, found, plan[2], lambda _done, _total: None)
    assert np.asarray(again["losses"]) == pytest.approx(np.asarray(kept[2]["losses"]), rel=1e-4)


def test_leaving_out_compares_methods_with_random_rows(ask: Ask, rows: Dataset) -> None:
    found = ask(
        kind="leave-out",
        dataset_id=rows.id,
        rows=24,
        counts=[4, 8],
        repeats=2,
        methods=[{"method": "datainf"}],
        flip_share=0.25,
    )
    table = table_of(found)
    assert [(row["rows left out"], row["chosen by"]) for row in table] == [
        (4, "at random"),
        (4, "datainf"),
        (8, "at random"),
        (8, "datainf"),
    ]
    assert found.report is not None
    dropped = found.report.figures["flipped_dropped"]["datainf, seed 0"]
    assert 0 <= dropped["4"] <= dropped["8"] <= 6


def test_leaving_out_more_rows_than_there_are_is_refused(ask: Ask, rows: Dataset) -> None:
    found = ask(kind="leave-out", dataset_id=rows.id, rows=24, counts=[24], repeats=1)
    assert found.state == "failed"
    assert found.error is not None
    assert found.error["code"] == "invalid_request"
    assert "below 24" in found.error["hint"]


def test_wrong_labels_are_looked_for_by_every_signal_and_by_the_loss(ask: Ask, rows: Dataset) -> None:
    methods = [{"method": "datainf"}, {"method": "cosine"}]
    found = ask(kind="mislabelled", dataset_id=rows.id, rows=30, flip_share=0.2, seeds=[0, 1], methods=methods)
    table = table_of(found)
    assert {row["signal"] for row in table} == {
        "datainf",
        "datainf, self-influence",
        "cosine",
        "training loss (baseline)",
    }
    assert [row["AUC"] for row in table] == sorted((row["AUC"] for row in table), reverse=True)
    assert all(0 <= row["AUC low"] <= row["AUC high"] <= 1 for row in table)
    assert found.report is not None
    assert {picture.name for picture in found.report.pictures} == {"recall", "precision"}


def test_flipping_nothing_is_refused(ask: Ask, rows: Dataset) -> None:
    found = ask(kind="mislabelled", dataset_id=rows.id, rows=20, flip_share=0.01)
    assert found.state == "failed"
    assert found.error is not None
    assert "flip_share" in found.error["hint"]


def test_correlation_stands_for_every_rank_and_method(ask: Ask, rows: Dataset) -> None:
    methods = [{"method": "datainf", "damping_scale": 0.1}, {"method": "exact", "damping_scale": 10.0}]
    found = ask(kind="correlation", dataset_id=rows.id, rows=24, ranks=[1, 2], methods=methods)
    table = table_of(found)
    assert [(row["rank"], row["method"]) for row in table] == [
        (1, "datainf x0.1"),
        (1, "exact x10"),
        (2, "datainf x0.1"),
        (2, "exact x10"),
    ]
    assert all(-1 <= row["Spearman, a test point"] <= 1 for row in table)


def test_a_method_compared_with_itself_alone_is_refused(ask: Ask, rows: Dataset) -> None:
    found = ask(kind="correlation", dataset_id=rows.id, rows=24, methods=[{"method": "exact", "damping_scale": 0.1}])
    assert found.state == "failed"
    assert found.error is not None
    assert (found.error["code"], "'methods'" in found.error["hint"]) == ("invalid_request", True)


def test_calibrating_an_index_says_whether_its_scores_have_a_size(
    worker: Runtime, ask: Ask, checkpoint: Checkpoint, rows: Dataset, finished: Any
) -> None:
    index = submit_index(worker.store, checkpoint, rows, storage="full")
    assert finished(worker.store, index.job_id).state == "succeeded"
    test = add_dataset(worker.store, worker.files, make_ticket_rows(12, seed=9), "classification")
    found = ask(kind="calibrate", index_id=index.id, evaluation_dataset_id=test.id, subsets=8)
    table = table_of(found)
    expected = ["datainf", "hessian_free", "exact", "joint", "proximal", "preconditioned"]
    assert [row["method"] for row in table] == expected
    assert all(row["scale low"] <= row["scale high"] for row in table)
    for row in table:
        holds = row["scale low"] > 0 and 0.8 <= row["held-out slope"] <= 1.25
        assert (row["usable"] == "yes") == holds
    kept = worker.store.indexes.require(index.id).calibrations
    assert [(one.method, one.scale, one.slope, one.evaluation_id) for one in kept] == [
        (row["method"], row["scale"], row["held-out slope"], found.id) for row in table
    ]
    assert kept[0].left_out_share == pytest.approx(0.1)


@pytest.mark.parametrize("is_useful", [True, False])
def test_an_answer_states_changes_of_loss_only_where_its_index_was_calibrated_to_some_use(
    worker: Runtime, checkpoint: Checkpoint, rows: Dataset, finished: Any, answered: Any, is_useful: bool
) -> None:
    index = submit_index(worker.store, checkpoint, rows, storage="full")
    assert finished(worker.store, index.job_id).state == "succeeded"
    calibration = Calibration(
        evaluation_id="eval_x",
        method="exact",
        damping_scale=3.0,
        scale=0.5,
        low=0.1 if is_useful else -0.1,
        high=0.9,
        correlation=0.8,
        is_useful=is_useful,
    )
    worker.store.indexes.update(index.id, lambda found: found.model_copy(update={"calibrations": (calibration,)}))
    for fields in ({"method": "exact"}, {"method": "exact", "damping_scale": 1.0}, {"method": "datainf"}):
        query = answered(worker.store, submit_query(worker.store, index.id, examples=make_ticket_rows(1), **fields))
        row = query.results[0].helpful[0]
        expected = 0.5 * row.score if is_useful and fields == {"method": "exact"} else None
        assert row.predicted_change == (None if expected is None else pytest.approx(expected))
        assert (query.calibration is None) == (expected is None)


def test_lds_of_an_index_asks_the_index_itself(
    worker: Runtime, ask: Ask, checkpoint: Checkpoint, rows: Dataset, finished: Any
) -> None:
    index = submit_index(worker.store, checkpoint, rows, storage="compact", rank=4)
    assert finished(worker.store, index.job_id).state == "succeeded"
    test = add_dataset(worker.store, worker.files, make_ticket_rows(12, seed=9), "classification")
    methods = [{"method": "joint", "damping_scale": 5.0}]
    found = ask(kind="lds", index_id=index.id, evaluation_dataset_id=test.id, subsets=4, methods=methods)
    (row,) = table_of(found)
    assert row["method"] == "joint x5"
    sweep = submit_sweep(
        worker.store, index.id, "joint", (1.0, 5.0), default=1.0, evaluation_id=found.id, examples=make_ticket_rows(2)
    )
    assert finished(worker.store, sweep.job_id).state == "succeeded", worker.store.sweeps.require(sweep.id).error
    result = worker.store.sweeps.require(sweep.id).result
    assert result is not None
    assert result.rows[1].lds == pytest.approx(row["LDS"], abs=1e-6)


def test_an_index_without_test_points_is_refused(
    worker: Runtime, ask: Ask, checkpoint: Checkpoint, rows: Dataset, finished: Any
) -> None:
    index = submit_index(worker.store, checkpoint, rows, storage="full")
    assert finished(worker.store, index.job_id).state == "succeeded"
    found = ask(kind="lds", index_id=index.id, subsets=4)
    assert found.state == "failed"
    assert found.error is not None
    assert "evaluation_dataset_id" in found.error["hint"]


@pytest.mark.parametrize(
    ("checkpoints", "epochs", "numbers"), [(1, 6, {6}), (3, 6, {2, 4, 6}), (3, 10, {4, 7, 10}), (9, 2, {1, 2})]
)
def test_checkpoints_are_spread_over_the_epochs(checkpoints: int, epochs: int, numbers: set[int]) -> None:
    assert epochs_of(MethodChoice(method="exact", checkpoints=checkpoints), epochs) == numbers


def test_checkpoints_that_are_named_are_those() -> None:
    early = MethodChoice(method="exact", epochs=(1, 3))
    assert epochs_of(early, 6) == {1, 3}
    assert early.title == "exact, after epoch 1 + 3"
    assert early.sums
    assert not MethodChoice(method="exact", epochs=(2,)).sums
    with pytest.raises(ValidationError, match="either 'checkpoints' or 'epochs'"):
        MethodChoice(method="exact", epochs=(2,), checkpoints=3)


def test_two_trainings_per_subset_show_the_ceiling_and_every_methods_share(ask: Ask, rows: Dataset) -> None:
    methods = [{"method": "datainf"}, {"method": "preconditioned", "epochs": [1]}]
    found = ask(kind="lds", dataset_id=rows.id, rows=24, subsets=6, retrain_seeds=2, methods=methods)
    assert found.report is not None
    table, ceiling, _ = found.report.tables
    assert found.pieces == 13
    columns = dict(zip(table.columns, zip(*table.rows, strict=True), strict=True))
    assert columns["method"] == ("datainf", "preconditioned, after epoch 1")
    figures = found.report.figures["ceiling"]
    assert figures["trainings"] == 2
    if figures["mean"] is None:
        assert "do not agree at all" in " ".join(found.report.reading)
        assert columns["share of ceiling"] == (None, None)
    else:
        assert [row[2] for row in ceiling.rows] == [figures["one"], figures["mean"]]
        shares = [score / figures["mean"] for score in columns["LDS"]]
        assert list(columns["share of ceiling"]) == pytest.approx(shares)


def test_repeats_train_from_seeds_of_their_own_and_the_same_seed_is_asked_for_by_name(
    worker: Runtime, ask: Ask, rows: Dataset
) -> None:
    found = ask(kind="lds", dataset_id=rows.id, rows=24, subsets=4, retrain_seeds=2, methods=[{"method": "datainf"}])
    results = worker.store.evaluation_data.results(found.id)
    assert not np.allclose(results[1]["losses"], results[5]["losses"], rtol=1e-3)
    fixed = ask(kind="lds", dataset_id=rows.id, rows=24, subsets=4, same_seed=True, methods=[{"method": "datainf"}])
    assert fixed.report is not None
    assert "the same seeds" in fixed.report.reading[-1]
    others = worker.store.evaluation_data.results(fixed.id)
    assert np.allclose(results[1]["losses"], others[1]["losses"], rtol=1e-3)
    assert not np.allclose(results[2]["losses"], others[2]["losses"], rtol=1e-3)


def test_rows_without_classes_cannot_be_flipped(worker: Runtime, ask: Ask) -> None:
    request: Any = TypeAdapter(EvaluationRequest).validate_python({**TINY, "kind": "lds", "dataset_id": "ds_a"})
    asked = submit_evaluation(worker.store, request, cancelled=True)
    with pytest.raises(InvalidRequest, match="classifier"):
        read_setting(worker, asked, seed=0, flip_share=0.1)
