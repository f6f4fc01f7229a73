"""A plain model that was trained itself, from rows to scores through the real queue, store and engine."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.answered import present
from support.oracle import dense_datainf, loop_gradients
from support.rows import make_ticket_rows
from support.service import add_dataset, submit_index, submit_query
from support.tiny import make_plain

from app.intake.plain import accept_plain
from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import GradientSettings
from influence.contracts.preview import Preview, PreviewRequest
from influence.contracts.work import PREVIEW
from influence.store.work import accept
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions
from workers.runtime.state import Runtime

ROWS = 30
TRAINED = ("classifier", "*.layer.1.attention.output.LayerNorm")


@pytest.fixture
def plain(worker: Runtime, tmp_path: Path) -> Checkpoint:
    model = make_plain(tmp_path / "model")
    base = BaseModels(aliases={"plain": str(model)}, allowed_roots=[]).resolve("plain")
    made = accept_plain(base, TRAINED)
    worker.store.checkpoints.create(made)
    return made


def load(worker: Runtime, checkpoint: Checkpoint) -> LoadedCheckpoint:
    return load_checkpoint(
        checkpoint,
        None,
        GradientSettings(max_length=64),
        LoadOptions(cache_dir=worker.files.hub),
    )


def test_scores_equal_the_formula_written_out(worker: Runtime, plain: Checkpoint, finished: Any, answered: Any) -> None:
    rows = make_ticket_rows(ROWS)
    dataset = add_dataset(worker.store, worker.files, rows, "classification")
    index = submit_index(worker.store, plain, dataset, storage="full")
    assert finished(worker.store, index.job_id).state == "succeeded", worker.store.indexes.require(index.id).error
    blocks = [block.name for block in worker.store.indexes.require(index.id).blocks]
    assert blocks == ["bert.encoder.layer.1.attention.output.LayerNorm.weight", "classifier.weight"]
    test = make_ticket_rows(2, seed=9)
    query = answered(worker.store, submit_query(worker.store, index.id, examples=test))
    loaded = load(worker, plain)
    truth = dense_datainf(loop_gradients(loaded, test), loop_gradients(loaded, rows))
    found = present(worker.store.scores.read(query.id, 2, ROWS))
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())


def test_a_compact_index_of_it_answers(worker: Runtime, plain: Checkpoint, finished: Any, answered: Any) -> None:
    dataset = add_dataset(worker.store, worker.files, make_ticket_rows(ROWS), "classification")
    index = submit_index(worker.store, plain, dataset, storage="compact", rank=4)
    assert finished(worker.store, index.job_id).state == "succeeded", worker.store.indexes.require(index.id).error
    query = answered(
        worker.store, submit_query(worker.store, index.id, examples=make_ticket_rows(1, seed=9), exact=True)
    )
    assert all(row.exact for row in query.results[0].helpful)


def test_rows_can_be_previewed_with_it(worker: Runtime, plain: Checkpoint, finished: Any) -> None:
    dataset = add_dataset(worker.store, worker.files, make_ticket_rows(3), "classification")
    request = PreviewRequest(checkpoint_id=plain.id, max_length=64)
    preview = Preview(**PREVIEW.begin(), dataset_id=dataset.id, checkpoint_id=plain.id, request=request)
    accept(worker.store, preview)
    assert finished(worker.store, preview.job_id).state == "succeeded"
    shown = worker.store.previews.require(preview.id).rows
    assert shown is not None
    assert [row.row_id for row in shown] == ["t0", "t1", "t2"]
