"""A grown index is what a rebuild with the same basis would be, for the price of the new rows."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.answered import present
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, reopen_index, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint, make_classifier, poison_word

from influence.compact.coded_rows import CodedRows
from influence.compact.encoder import Projected
from influence.compact.moments import Moments
from influence.compact.packing import unpack_moments
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import Index
from influence.contracts.job import Job
from influence.errors import Cancelled
from influence.store import keys
from influence.store.data.chunks import DamagedChunk
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import drop_unwanted
from workers.building.compact_rows import CompactRows, read_compact_rows
from workers.building.finish import finish_index
from workers.building.plan import plan_index
from workers.building.shard import compute_shard
from workers.indexes.compact import CompactIndex
from workers.runtime.basis_sample import MOMENTS, shard_moments
from workers.runtime.row_stream import stream_rows
from workers.runtime.state import Runtime

Rows = list[dict[str, Any]]
#: One test poisons the embedding of this word.
POISON = "crash"
TEST = [row for row in make_ticket_rows(12, seed=9) if POISON not in row["text"].split()][:3]
OLD = make_ticket_rows(150)
NEW = [{**row, "id": f"n{row['id']}"} for row in make_ticket_rows(40, seed=5)]
SHUFFLED = [OLD[place] for place in np.random.default_rng(3).permutation(len(OLD))]


@pytest.fixture
def build(worker: Runtime, checkpoint: Checkpoint, finished: Callable[..., Job]) -> Callable[..., Index]:
    """Build an index of rows, from another one where `grow_from` is given; it has to succeed."""

    def make(rows: Rows, **fields: Any) -> Index:
        dataset = add_dataset(worker.store, worker.files, rows, "classification")
        index = submit_index(worker.store, checkpoint, dataset, storage="compact", **fields)
        job = finished(worker.store, index.job_id)
        assert job.state == "succeeded", job.error
        return worker.store.indexes.require(index.id)

    return make


@pytest.fixture
def worker(server: EmbeddedServer, store: Store, tmp_path: Path) -> Any:
    with running_worker(server.url, tmp_path / "data", shard_seconds=1e-3) as runtime:
        yield runtime


def project_rows(worker: Runtime, index: Index, rows: Rows) -> tuple[list[torch.Tensor], Projected]:
    """Gradients of rows and their exact codes in the index's basis, computed here and now."""
    model = worker.models.get(worker.store.checkpoints.require(index.spec.checkpoint_id), index.spec.gradients)
    encoder, _ = worker.encoders.get(worker.store.index_data, index)
    gradients = [torch.empty(len(rows), block.parameters) for block in index.blocks]
    for positions, found in stream_rows(worker, model, model.task.tokenise(rows)):
        for block, values in zip(gradients, found.blocks.values(), strict=True):
            block[positions] = values.float()
    return gradients, encoder.project(gradients)


def stored_rows(worker: Runtime, index: Index) -> CompactRows:
    data = worker.store.index_data
    commits = data.commits(index.build)
    width = worker.encoders.get(data, index)[0].layout.width
    return read_compact_rows(data, index.build, [commits[s] for s in range(index.shards)], width, len(index.blocks))


def stored_moments(worker: Runtime, index: Index) -> Moments:
    return unpack_moments(worker.store.index_data.read_parts(index.build, MOMENTS))


def assert_equals_rebuild(worker: Runtime, index: Index, rows: Rows) -> None:
    """Codes, moments, damping and scores are those of all rows computed anew in the same basis, in float32."""
    encoder, _ = worker.encoders.get(worker.store.index_data, index)
    gradients, projected = project_rows(worker, index, rows)
    codes, rebuilt = stored_rows(worker, index).codes, encoder.encode(projected)
    np.testing.assert_allclose(codes.scales, rebuilt.scales, rtol=1e-5)
    steps = np.abs(codes.values.astype(int) - rebuilt.values.astype(int))
    assert steps.max() <= 1  # another batch's rounding moves a number across the edge between two steps
    assert (steps > 0).mean() < 1e-3
    moments, truth = stored_moments(worker, index), encoder.sum_moments(projected)
    assert moments.rows == truth.rows == len(rows)
    np.testing.assert_allclose(moments.energy, truth.energy, rtol=1e-5)
    for sums, wanted in zip([*moments.weighted, *moments.plain], [*truth.weighted, *truth.plain], strict=True):
        np.testing.assert_allclose(sums, wanted, atol=1e-6 * np.abs(wanted).max(initial=0))
    assert index.damping is not None
    lambdas = [0.1 * float((block * block).sum(1).mean()) / block.shape[1] for block in gradients]
    np.testing.assert_allclose(list(index.damping.values()), lambdas, rtol=1e-5)
    test, _ = project_rows(worker, index, TEST)
    places, losses = np.arange(len(rows)), np.zeros(len(rows), np.float32)
    grown, anew = CodedRows(encoder, moments, codes), CodedRows(encoder, truth, rebuilt)
    indexes = [CompactIndex(coded, places, losses) for coded in (grown, anew)]
    points = {str(number): block for number, block in enumerate(test)}
    scores = [compact.scorer("datainf", None)(points) for compact in indexes]
    np.testing.assert_allclose(scores[0], scores[1], atol=2e-3 * np.abs(scores[1]).max())


@pytest.mark.parametrize(
    ("rows", "reused", "computed", "removed"),
    [
        (OLD + NEW, 150, 40, 0),
        (OLD[30:120], 90, 0, 60),
        (SHUFFLED, 150, 0, 0),
        (OLD + OLD[:20], 150, 20, 0),
        (SHUFFLED[:100] + NEW + SHUFFLED[60:70], 100, 50, 50),
    ],
    ids=["grown", "shrunk", "reordered", "rows twice", "all at once"],
)
def test_a_grown_index_equals_a_rebuild_with_the_same_basis(
    worker: Runtime, build: Callable[..., Index], rows: Rows, reused: int, computed: int, removed: int
) -> None:
    old = build(OLD)
    # Ids are no content: a new version may name its rows anew.
    rows = [{**row, "id": f"v2-{place}"} for place, row in enumerate(rows)]
    index = build(rows, grow_from=old.id)
    assert index.shards > 1
    assert index.growth is not None
    assert (index.growth.rows_reused, index.growth.rows_computed, index.growth.rows_removed) == (
        reused,
        computed,
        removed,
    )
    commits = worker.store.index_data.commits(index.build)
    assert sum(commit.computed or 0 for commit in commits.values()) == computed
    assert index.growth.basis_age == pytest.approx(computed / len(rows))
    assert_equals_rebuild(worker, index, rows)


def test_rows_outside_the_sample_keep_their_bytes_or_are_subtracted(
    worker: Runtime, build: Callable[..., Index]
) -> None:
    many = make_ticket_rows(1_300)
    old = build(many, rank=4)
    sampled = worker.encoders.get(worker.store.index_data, old)[1].rows
    others = np.setdiff1d(np.arange(len(many)), sampled)
    assert len(others) > 100
    gone = [*others[::2].tolist(), *sampled[:20].tolist()]
    stay = np.random.default_rng(3).permutation(np.setdiff1d(np.arange(len(many)), gone))
    rows = [many[place] for place in stay] + NEW
    index = build(rows, grow_from=old.id)
    assert index.growth is not None
    assert index.growth.rows_removed == len(gone)
    before, after = stored_rows(worker, old), stored_rows(worker, index)
    for name in ("values", "scales", "norms"):
        np.testing.assert_array_equal(getattr(after.codes, name)[: len(stay)], getattr(before.codes, name)[stay])
    np.testing.assert_array_equal(after.losses[: len(stay)], before.losses[stay])
    assert_equals_rebuild(worker, index, rows)


def test_generations_add_up(worker: Runtime, build: Callable[..., Index]) -> None:
    first = build(OLD)
    second = build(OLD[50:] + NEW[:20], grow_from=first.id)
    third = build(OLD[100:] + NEW, grow_from=second.id)
    assert third.growth is not None
    assert (third.growth.rows_reused, third.growth.rows_reused_late) == (70, 20)
    assert third.growth.basis_age == pytest.approx(40 / 90)
    fourth = build(OLD[120:] + NEW, grow_from=third.id)
    assert fourth.growth is not None
    assert (fourth.growth.rows_reused, fourth.growth.rows_reused_late) == (70, 40)
    assert fourth.growth.basis_age == pytest.approx(40 / 70)
    assert first.fidelity is not None
    assert third.growth.baseline == first.fidelity["residual"]
    assert_equals_rebuild(worker, fourth, OLD[120:] + NEW)


def test_the_grown_index_stands_alone(worker: Runtime, build: Callable[..., Index], answered: Any) -> None:
    old = build(OLD)
    index = build(OLD + NEW, grow_from=old.id)
    before = answered(worker.store, submit_query(worker.store, index.id, examples=TEST, exact=False))
    worker.store.index_data.delete(old.id)
    worker.store.indexes.delete(old.id)
    worker.hot_indexes.forget(index.id)
    worker.store.connections.state.delete(keys.row_state(index.build, 0, "values", 0))
    after = answered(worker.store, submit_query(worker.store, index.id, examples=TEST, exact=False))
    one, other = (present(worker.store.scores.read(query.id, len(TEST), index.rows)) for query in (before, after))
    np.testing.assert_allclose(one, other, atol=2e-3 * np.abs(one).max())
    assert_equals_rebuild(worker, index, OLD + NEW)


def test_rows_of_a_lost_old_shard_are_computed_and_count_once(worker: Runtime, build: Callable[..., Index]) -> None:
    old = build(OLD)
    worker.store.connections.state.delete(keys.row_state(old.build, 1, "values", 0))
    index = build(OLD + NEW, grow_from=old.id)
    assert index.growth is not None
    assert index.growth.rows_computed == len(NEW)
    assert_equals_rebuild(worker, index, OLD + NEW)


def test_strange_rows_are_reported_as_drift(build: Callable[..., Index]) -> None:
    plain = [{**row, "label": "billing"} for row in OLD]
    old = build(plain, rank=2)
    alike = build([*plain, *[{**row, "label": "billing"} for row in NEW]], grow_from=old.id)
    strange = build([*plain, *[{**row, "label": "access"} for row in NEW]], grow_from=old.id)
    assert alike.growth is not None
    assert strange.growth is not None
    assert alike.growth.residual is not None
    assert strange.growth.residual is not None
    assert strange.growth.residual > alike.growth.residual
    assert any("build the index anew" in warning for warning in strange.warnings)
    assert not alike.growth.warnings


def test_a_data_set_that_shares_nothing_is_refused(
    worker: Runtime, build: Callable[..., Index], checkpoint: Checkpoint, finished: Callable[..., Job]
) -> None:
    old = build(OLD)
    dataset = add_dataset(worker.store, worker.files, NEW, "classification")
    index = submit_index(worker.store, checkpoint, dataset, storage="compact", grow_from=old.id)
    job = finished(worker.store, index.job_id)
    assert job.error is not None
    assert job.error["code"] == "invalid_request"
    assert "grow_from" in job.error["hint"]


def test_an_old_index_that_went_away_is_named(
    worker: Runtime, classifier: TinyCheckpoint, finished: Callable[..., Job]
) -> None:
    checkpoint = add_checkpoint(worker.store, worker.files, classifier, "sequence_classification")
    dataset = add_dataset(worker.store, worker.files, OLD, "classification")
    index = submit_index(worker.store, checkpoint, dataset, storage="compact", grow_from="idx_gone")
    job = finished(worker.store, index.job_id)
    assert job.error is not None
    assert job.error["code"] == "conflict"
    assert "idx_gone" in job.error["detail"]


def test_a_plan_killed_halfway_and_shards_delivered_twice_change_nothing(
    worker: Runtime, build: Callable[..., Index], checkpoint: Checkpoint, finished: Callable[..., Job]
) -> None:
    old = build(OLD)
    rows = OLD[40:] + NEW
    dataset = add_dataset(worker.store, worker.files, rows, "classification")
    index = submit_index(worker.store, checkpoint, dataset, storage="compact", grow_from=old.id)
    assert finished(worker.store, index.job_id).state == "succeeded"
    first = worker.store.indexes.require(index.id)
    # As a worker that died before its record was written, and one that died before its messages were taken, leave it.
    worker.store.index_data.delete_parts(index.build, MOMENTS)
    worker.store.connections.state.delete(keys.commits(index.build))
    plan_index(worker, reopen_index(worker.store, index.id, shards=0, rows_per_shard=0, growth=None, bytes=None))
    planned = worker.store.indexes.require(index.id)
    for shard in [*range(planned.shards), *range(planned.shards)]:
        compute_shard(worker, planned, shard)
    with suppress(Cancelled):  # the worker beside this test may have finished it: whoever comes later is told so
        finish_index(worker, planned)
    with pytest.raises(Cancelled):
        finish_index(worker, planned)
    second = worker.store.indexes.require(index.id)
    assert second.growth == first.growth
    assert second.state == "succeeded"
    assert_equals_rebuild(worker, second, rows)


def test_an_index_is_finished_while_another_run_removes_what_its_shards_left(
    worker: Runtime, build: Callable[..., Index], checkpoint: Checkpoint
) -> None:
    """The sum is written before; a run that read in between took the parts for damaged, and the build for failed."""
    index = build(OLD)
    data = worker.store.index_data
    data.write_parts(index.build, shard_moments(0), data.read_parts(index.build, MOMENTS))
    keys_of_values = keys.index_state(index.build, f"{shard_moments(0)}.*", 0)[:-1] + "*"
    worker.store.connections.state.delete(*worker.store.connections.state.keys(keys_of_values))
    with pytest.raises(DamagedChunk):
        data.read_parts(index.build, shard_moments(0))
    finish_index(worker, reopen_index(worker.store, index.id, bytes=None))
    assert worker.store.indexes.require(index.id).state == "succeeded"


def test_rows_that_were_left_out_count_as_new(worker: Runtime, tmp_path: Path, finished: Callable[..., Job]) -> None:
    poisoned = make_classifier(tmp_path / "poisoned")
    poison_word(poisoned, POISON)
    checkpoint = add_checkpoint(worker.store, worker.files, poisoned, "sequence_classification")
    built, source = [], None
    for rows in (OLD, OLD[20:] + NEW):
        dataset = add_dataset(worker.store, worker.files, rows, "classification")
        index = submit_index(
            worker.store, checkpoint, dataset, storage="compact", on_non_finite="skip", grow_from=source
        )
        job = finished(worker.store, index.job_id)
        assert job.state == "succeeded", job.error
        built.append(worker.store.indexes.require(index.id))
        source = index.id
    bad = [row for row in OLD[20:] + NEW if POISON in row["text"].split()]
    good = [row for row in OLD[20:] + NEW if row not in bad]
    index = built[1]
    assert index.skipped_rows == tuple(row["id"] for row in bad)
    assert index.growth is not None
    assert index.growth.rows_reused == sum(row in good for row in OLD)
    assert index.growth.rows_computed == sum(row in good for row in NEW)
    assert index.growth.rows_removed == sum(POISON not in row["text"].split() for row in OLD[:20])
    assert_equals_rebuild(worker, index, good)


def test_what_a_cancelled_plan_wrote_is_removed_but_not_what_a_newer_build_did(
    worker: Runtime, build: Callable[..., Index]
) -> None:
    old = build(OLD)
    index = build(OLD + NEW, grow_from=old.id)
    worker.store.jobs.delete(index.job_id)
    newer = worker.store.indexes.update(
        index.id, lambda found: found.model_copy(update={"job_id": "job_newer", "state": "running"})
    )
    data = worker.store.index_data
    data.write_parts(newer.build, MOMENTS, {"ranks": np.ones(2)})
    drop_unwanted(worker.store, index)
    assert not data.read_parts(index.build, MOMENTS)
    assert data.read_parts(newer.build, MOMENTS)
    drop_unwanted(worker.store, newer)
    assert not data.read_parts(newer.build, MOMENTS)
