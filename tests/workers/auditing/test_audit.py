"""Audits through the real queue, store and engine: every column against float64, whatever happens on the way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.answered import present
from support.audits import make_audit, submit_audit
from support.oracle import dense_datainf, loop_gradients
from support.rows import make_completion_rows, make_ticket_rows
from support.service import add_checkpoint, add_dataset, idle_runtime, running_worker, submit_index, submit_query
from support.tiny import LABELS, TinyCheckpoint, make_causal, make_classifier, poison_word

from influence.contracts.audit import Audit
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.index import GradientSettings, Index
from influence.contracts.work import AUDIT
from influence.errors import WorkerDied
from influence.evaluating.agreement import average_ranks, spearman
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import address, cancel, send
from workers.auditing.labels import judge_labels
from workers.auditing.stages import AuditedIndex
from workers.auditing.turn import audit_index
from workers.indexes.open import open_index
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions
from workers.process.actors import work_on
from workers.process.reaper import resubmit_lost_work
from workers.runtime.state import Runtime

ROWS, EVALUATION = 60, make_ticket_rows(9, seed=4)
DTYPES = {
    "row_index": "int64",
    "loss": "float32",
    "label": "int32",
    "predicted": "int32",
    "probability": "float32",
    "other_probability": "float32",
    "self_influence": "float32",
    "influence": "float32",
    "suspicion": "float32",
}


def load(runtime: Runtime, checkpoint: Checkpoint) -> LoadedCheckpoint:
    return load_checkpoint(
        checkpoint,
        runtime.files.adapter(present(checkpoint.adapter_digest)),
        GradientSettings(max_length=64),
        LoadOptions(cache_dir=runtime.files.hub),
    )


def build(runtime: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, **fields: Any) -> Index:
    made = submit_index(runtime.store, checkpoint, dataset, **fields)
    assert finished(runtime.store, made.job_id).state == "succeeded", runtime.store.indexes.require(made.id).error
    return runtime.store.indexes.require(made.id)


def read_table(store: Store, audit_id: str) -> tuple[Audit, dict[str, Any]]:
    audit = store.audits.require(audit_id)
    assert audit.state == "succeeded", audit.error
    table = store.audit_data.read_columns(
        audit.id, audit.rows_audited or 0, {name: DTYPES[name] for name in audit.columns}
    )
    assert table is not None
    return audit, table


def add_evaluation(runtime: Runtime, rows: list[dict[str, Any]] = EVALUATION) -> dict[str, Any]:
    return {"dataset_id": add_dataset(runtime.store, runtime.files, rows, "classification").id}


@pytest.mark.parametrize("storage", ["full", "compact"])
def test_every_column_equals_its_definition(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, storage: str
) -> None:
    index = build(worker, checkpoint, dataset, finished, storage=storage)
    made = submit_audit(worker.store, index, checkpoint, evaluation=add_evaluation(worker))
    assert finished(worker.store, made.job_id).state == "succeeded"
    audit, table = read_table(worker.store, made.id)
    rows, loaded = make_ticket_rows(ROWS), load(worker, checkpoint)
    labels = np.array([LABELS.index(row["label"]) for row in rows])
    batch = loaded.task.collate(loaded.task.tokenise(rows))
    chances = loaded.model(**batch.inputs).logits.detach().double().softmax(-1).numpy()
    own = chances[np.arange(ROWS), labels]
    others = np.where(np.eye(3, dtype=bool)[labels], 0, chances).max(axis=1)
    np.testing.assert_array_equal(table["row_index"], np.arange(ROWS))
    np.testing.assert_array_equal(table["label"], labels)
    np.testing.assert_array_equal(table["predicted"], chances.argmax(axis=1))
    np.testing.assert_allclose(table["probability"], own, atol=1e-5)
    np.testing.assert_allclose(table["other_probability"], others, atol=1e-5)
    np.testing.assert_allclose(table["loss"], -np.log(own), rtol=1e-4)
    train, test = loop_gradients(loaded, rows), loop_gradients(loaded, EVALUATION)
    influence, own_influence = dense_datainf(test, train).mean(axis=0), -np.diag(dense_datainf(train, train))
    if storage == "full":
        np.testing.assert_allclose(table["influence"], influence, atol=1e-4 * np.abs(influence).max())
        np.testing.assert_allclose(table["self_influence"], own_influence, rtol=1e-3)
    else:
        assert spearman(table["influence"], influence) > 0.98
        assert spearman(table["self_influence"], own_influence) > 0.99
    assert audit.accuracy == pytest.approx(np.mean(chances.argmax(axis=1) == labels))
    assert audit.evaluation_rows == len(EVALUATION)
    assert audit.confusion is not None
    assert np.asarray(audit.confusion.counts).sum() == ROWS
    assert audit.classes is not None
    assert {found.label: found.rows for found in audit.classes} == {
        name: int((labels == place).sum()) for place, name in enumerate(LABELS)
    }


def test_suspicion_is_the_rank_of_the_mean_rank(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any
) -> None:
    index = build(worker, checkpoint, dataset, finished, storage="full")
    made = submit_audit(
        worker.store, index, checkpoint, signals=["loss", "self_influence"], weights={"self_influence": 0.5}
    )
    finished(worker.store, made.job_id)
    audit, table = read_table(worker.store, made.id)
    mean = average_ranks(table["loss"]) + 0.5 * average_ranks(table["self_influence"])
    np.testing.assert_allclose(table["suspicion"], (average_ranks(mean) - 1) / (ROWS - 1), atol=1e-6)
    assert "predicted" not in table
    assert (audit.accuracy, audit.confusion) == (None, None)
    assert audit.classes is not None
    assert audit.classes[0].most_suspicious[0].row_id.startswith("t")


@pytest.mark.parametrize(("method", "storage"), [("ekfac", "full"), ("proximal", "full"), ("proximal", "compact")])
def test_influence_is_that_of_a_query_by_the_same_method(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, answered: Any, method: str, storage: str
) -> None:
    index = build(worker, checkpoint, dataset, finished, storage=storage, kronecker=method == "ekfac")
    made = submit_audit(worker.store, index, checkpoint, method=method, evaluation=add_evaluation(worker))
    assert finished(worker.store, made.job_id).state == "succeeded"
    _, table = read_table(worker.store, made.id)
    asked: dict[str, Any] = {"examples": EVALUATION, "aggregate": "mean", "method": method, "exact": False}
    query = answered(worker.store, submit_query(worker.store, index.id, **asked))
    influence = worker.store.scores.read(query.id, 1, ROWS)
    assert influence is not None
    np.testing.assert_allclose(table["influence"], influence[0], atol=1e-4 * np.abs(influence).max())
    assert (table["self_influence"] >= 0).all()
    assert table["self_influence"].std() > 0


@pytest.mark.parametrize(("rank", "least"), [(1, 0.98), (4, 0.995), (16, 0.999)])
def test_self_influence_from_codes_orders_rows_as_from_full_gradients(
    worker: Runtime, checkpoint: Checkpoint, finished: Any, rank: int, least: float
) -> None:
    dataset = add_dataset(worker.store, worker.files, make_ticket_rows(300), "classification")
    found = []
    for fields in ({"storage": "full"}, {"storage": "compact", "rank": rank}):
        index = build(worker, checkpoint, dataset, finished, **fields)
        made = submit_audit(worker.store, index, checkpoint, signals=["self_influence"])
        finished(worker.store, made.job_id)
        found.append(read_table(worker.store, made.id)[1]["self_influence"])
    assert spearman(*found) > least


def test_language_models_are_audited_without_classes(worker: Runtime, finished: Any, tmp_path: Path) -> None:
    checkpoint = add_checkpoint(worker.store, worker.files, make_causal(tmp_path / "causal"), "causal_lm")
    rows = make_completion_rows(30)
    index = build(
        worker, checkpoint, add_dataset(worker.store, worker.files, rows, "completion"), finished, storage="full"
    )
    test = make_completion_rows(3, seed=7)
    evaluation = {"dataset_id": add_dataset(worker.store, worker.files, test, "completion").id}
    made = submit_audit(worker.store, index, checkpoint, evaluation=evaluation)
    finished(worker.store, made.job_id)
    audit, table = read_table(worker.store, made.id)
    assert set(table) == {"row_index", "loss", "self_influence", "influence", "suspicion"}
    assert (audit.classes, audit.confusion, audit.accuracy) == (None, None, None)
    loaded = load(worker, checkpoint)
    truth = dense_datainf(loop_gradients(loaded, test), loop_gradients(loaded, rows)).mean(axis=0)
    np.testing.assert_allclose(table["influence"], truth, atol=1e-4 * np.abs(truth).max())


def test_the_mean_of_a_large_evaluation_set_is_summed_in_pieces(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.auditing.evaluation._MOST_ROWS", 16)
    rows = make_ticket_rows(50, seed=3)
    index = build(worker, checkpoint, dataset, finished, storage="full")
    chosen = {**add_evaluation(worker, rows), "row_indexes": [*range(0, 50, 2), 0, 0]}
    made = submit_audit(worker.store, index, checkpoint, evaluation=chosen, signals=["influence"])
    finished(worker.store, made.job_id)
    audit, table = read_table(worker.store, made.id)
    loaded = load(worker, checkpoint)
    test = loop_gradients(loaded, [rows[place] for place in chosen["row_indexes"]])
    truth = dense_datainf(test, loop_gradients(loaded, make_ticket_rows(ROWS))).mean(axis=0)
    np.testing.assert_allclose(table["influence"], truth, atol=1e-4 * np.abs(truth).max())
    assert audit.evaluation_rows == 27


@pytest.fixture
def slow_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every turn does one small piece of every stage at most."""
    monkeypatch.setattr("workers.runtime.time_slices.SLICE_SECONDS", -1.0)
    for module in ("labels", "evaluation"):
        monkeypatch.setattr(f"workers.auditing.{module}._MOST_ROWS", 16)
        monkeypatch.setattr(f"workers.auditing.{module}._FEWEST_ROWS", 16)
    monkeypatch.setattr("workers.auditing.self_influence._FEWEST_ROWS", 16)
    monkeypatch.setattr("workers.auditing.self_influence._MULTIPLICATIONS", 1)


@pytest.fixture
def halted(
    server: EmbeddedServer, store: Store, tmp_path: Path, classifier: TinyCheckpoint, finished: Any, slow_turns: None
) -> Iterator[tuple[Runtime, Audit]]:
    """An audit whose turns the test takes itself: its index was built by a worker that has ended."""
    with running_worker(server.url, tmp_path / "data") as worker:
        checkpoint = add_checkpoint(store, worker.files, classifier, "sequence_classification")
        dataset = add_dataset(store, worker.files, make_ticket_rows(ROWS), "classification")
        index = build(worker, checkpoint, dataset, finished, storage="full")
        evaluation = add_evaluation(worker, make_ticket_rows(40, seed=4))
    audit = make_audit(store, index, checkpoint, evaluation=evaluation)
    store.jobs.start(audit.job_id)
    with idle_runtime(server.url, tmp_path / "data") as idle:
        yield idle, audit


@pytest.mark.parametrize("loss", ["none", "part", "sum"])
def test_an_audit_in_turns_is_the_same_as_in_one(halted: tuple[Runtime, Audit], loss: str) -> None:
    worker, audit = halted
    store, phases = worker.store, list[str]()
    while store.audits.require(audit.id).state != "succeeded":
        audit_index(worker, audit)
        phases.append(store.jobs.require(audit.job_id).progress.phase)
        if loss == "part" and len(phases) == 3:
            store.connections.state.hset(keys.audit_parts(audit.id, "labels.16"), "1", b"damaged")
        if loss == "sum" and store.audit_data.sum_rows(audit.id) == 32:
            store.connections.state.delete(keys.audit_sum(audit.id, 32, 0))
            loss = "lost"
    assert len(phases) == {"none": 9, "part": 10, "lost": 11}[loss]
    assert list(dict.fromkeys(phases)) == ["predictions", "evaluation gradients", "self-influence"][: len(set(phases))]
    _, table = read_table(store, audit.id)
    loaded = load(worker, store.checkpoints.require(store.indexes.require(audit.index_id).spec.checkpoint_id))
    train, test = loop_gradients(loaded, make_ticket_rows(ROWS)), loop_gradients(loaded, make_ticket_rows(40, seed=4))
    truth = dense_datainf(test, train).mean(axis=0)
    np.testing.assert_allclose(table["influence"], truth, atol=1e-4 * np.abs(truth).max())
    np.testing.assert_allclose(table["loss"], -np.log(table["probability"]), rtol=1e-4)
    left = {name.decode() for name in store.connections.state.scan_iter(match=keys.audit_pattern(audit.id))}
    assert left == {keys.audit_column(audit.id, column, 0) for column in table}


def test_pieces_follow_the_speed_at_which_the_index_was_built(halted: tuple[Runtime, Audit]) -> None:
    worker, audit = halted
    opened = open_index(worker, audit.index_id, audit.job_id, audit.method)
    for rate in (100.0, 300.0):
        index = opened.index.model_copy(update={"timings": {"rows_per_second": rate}})
        audited = AuditedIndex(worker, audit, index, opened.model, opened.hot)
        assert audited.rows_in(2.0, least=1, most=1000) == 2 * rate


def test_turns_put_one_message_behind_those_who_wait(halted: tuple[Runtime, Audit]) -> None:
    worker, audit = halted
    message = address(worker.store, audit)
    worker.store.queue.submit("answer_query", query_id="qry_other")
    audit_index(worker, audit)
    assert worker.store.queue.waiting("query")[-1] == message
    # A second message of the same audit, delivered twice, ends instead of going on beside the first.
    send(worker.store, audit)
    audit_index(worker, audit)
    assert worker.store.queue.waiting("query").count(message) == 2


def test_a_turn_that_was_lost_is_submitted_again(halted: tuple[Runtime, Audit]) -> None:
    worker, audit = halted
    assert resubmit_lost_work(worker.store) == 1
    assert worker.store.queue.waiting("query") == [address(worker.store, audit)]
    assert resubmit_lost_work(worker.store) == 0


def test_an_audit_that_kills_its_workers_fails_in_the_end(halted: tuple[Runtime, Audit]) -> None:
    worker, audit = halted
    audit_index(worker, audit)
    for _ in range(5):  # slices that never come to their end
        worker.store.jobs.attempts.count(audit.job_id, 0)
    with pytest.raises(WorkerDied, match="5 times"):
        audit_index(worker, audit)


def test_a_worker_that_dies_after_the_summary_leaves_nothing_to_compute(halted: tuple[Runtime, Audit]) -> None:
    worker, audit = halted
    worker.store.audits.update(audit.id, lambda found: found.model_copy(update={"state": "succeeded"}))
    worker.store.audit_data.commit_part(audit.id, "labels", 0, np.zeros(3))
    work_on(worker, AUDIT, audit_index, audit_id=audit.id, job_id=audit.job_id)
    assert worker.store.jobs.state(audit.job_id) == "succeeded"
    assert list(worker.store.connections.state.scan_iter(match=keys.audit_pattern(audit.id))) == []


def test_a_cancelled_audit_leaves_nothing_behind(halted: tuple[Runtime, Audit]) -> None:
    worker, audit = halted

    def cancel_at_once(runtime: Runtime, audit: Audit) -> None:
        cancel(runtime.store, audit.job_id)
        audit_index(runtime, audit)

    audit_index(worker, audit)
    work_on(worker, AUDIT, cancel_at_once, audit_id=audit.id, job_id=audit.job_id)
    assert worker.store.audits.require(audit.id).state == "cancelled"
    assert list(worker.store.connections.state.scan_iter(match=keys.audit_pattern(audit.id))) == []
    assert resubmit_lost_work(worker.store) == 0


def test_an_evaluation_row_that_the_head_does_not_know_fails_the_audit_by_name(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any
) -> None:
    index = build(worker, checkpoint, dataset, finished, storage="full")
    rows = [*make_ticket_rows(3), {"id": "odd-one", "text": "late parcel", "label": 7}]
    made = submit_audit(worker.store, index, checkpoint, evaluation=add_evaluation(worker, rows))
    job = finished(worker.store, made.job_id)
    assert (job.state, job.error["code"]) == ("failed", "label_out_of_range")
    assert "odd-one" in worker.store.audits.require(made.id).error["detail"]  # type: ignore[index]


@pytest.mark.parametrize("storage", ["full", "compact"])
def test_rows_that_the_index_left_out_are_named_and_not_audited(
    worker: Runtime, finished: Any, tmp_path: Path, storage: str
) -> None:
    tiny = make_classifier(tmp_path / "poisoned")
    poison_word(tiny, "refund")
    checkpoint = add_checkpoint(worker.store, worker.files, tiny, "sequence_classification")
    rows = make_ticket_rows(ROWS)
    dataset = add_dataset(worker.store, worker.files, rows, "classification")
    index = build(worker, checkpoint, dataset, finished, storage=storage, on_non_finite="skip")
    made = submit_audit(worker.store, index, checkpoint)
    finished(worker.store, made.job_id)
    audit, table = read_table(worker.store, made.id)
    bad = [place for place, row in enumerate(rows) if "refund" in row["text"].split()]
    kept = np.setdiff1d(np.arange(ROWS), bad)
    assert 0 < len(bad) < ROWS / 2
    assert (audit.rows, audit.rows_audited) == (ROWS, len(kept))
    assert audit.not_audited == tuple(f"t{place}" for place in bad)
    np.testing.assert_array_equal(table["row_index"], kept)
    np.testing.assert_array_equal(table["label"], [LABELS.index(rows[place]["label"]) for place in kept])
    np.testing.assert_allclose(table["loss"], -np.log(table["probability"]), rtol=1e-4)


def test_queries_are_answered_between_the_turns_of_audits(
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    classifier: TinyCheckpoint,
    finished: Any,
    answered: Any,
    slow_turns: None,
) -> None:
    with running_worker(server.url, tmp_path / "data", query_threads=1, query_batch=1) as worker:
        checkpoint = add_checkpoint(store, worker.files, classifier, "sequence_classification")
        rows = make_ticket_rows(400)
        index = build(
            worker, checkpoint, add_dataset(store, worker.files, rows, "classification"), finished, storage="compact"
        )
        audits = [submit_audit(store, index, checkpoint) for _ in range(2)]
        answered(store, submit_query(store, index.id, examples=make_ticket_rows(1, seed=9)))
        # One thread for both: the query came last, and was not last.
        assert [store.jobs.state(audit.job_id) for audit in audits] == ["running", "running"]
        for audit in audits:
            assert finished(store, audit.job_id).state == "succeeded"
    tables = [read_table(store, audit.id)[1] for audit in audits]
    np.testing.assert_allclose(tables[0]["self_influence"], tables[1]["self_influence"], rtol=1e-5)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 1000))
def test_a_label_is_judged_by_its_own_and_the_best_other_probability(classes: int, rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    chances = torch.randn(rows, classes, generator=generator).softmax(-1)
    labels = torch.randint(classes, (rows,), generator=generator)
    for row, (predicted, own, other) in enumerate(judge_labels(chances, labels).tolist()):
        others = [float(chance) for place, chance in enumerate(chances[row]) if place != labels[row]]
        assert predicted == int(chances[row].argmax())
        assert own == float(chances[row, labels[row]])
        assert other == max(others, default=0.0)
