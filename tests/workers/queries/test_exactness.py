"""Rows that are called exact are: every method on both storages against float64, from the request to the answer."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.answered import present
from support.oracle import loop_gradients
from support.rows import make_ticket_rows
from support.service import add_dataset, submit_index, submit_query

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import GradientSettings, Index
from influence.contracts.query import Query
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.codes.exactness import EXACT_WITHIN, why_inexact
from influence.methods.registry import METHODS
from workers.loading.checkpoint import load_checkpoint
from workers.loading.options import LoadOptions
from workers.runtime.state import Runtime

ROWS, TEST = make_ticket_rows(150), make_ticket_rows(3, seed=9)
WITHOUT_CURVATURE = {name for name, method in METHODS.items() if method.on_codes and not method.on_codes.has_curvature}


@pytest.fixture
def build(worker: Runtime, checkpoint: Checkpoint, finished: Any) -> Any:
    """Builds an index of the rows."""

    def make(**fields: Any) -> Index:
        dataset = add_dataset(worker.store, worker.files, ROWS, "classification")
        made = submit_index(worker.store, checkpoint, dataset, **fields)
        assert finished(worker.store, made.job_id).state == "succeeded", worker.store.indexes.require(made.id).error
        return worker.store.indexes.require(made.id)

    return make


@pytest.fixture
def true_influence(worker: Runtime, checkpoint: Checkpoint) -> Any:
    """Influence (3, n) by a method, from float64 gradients of one row at a time."""
    loaded = load_checkpoint(
        checkpoint,
        worker.files.adapter(present(checkpoint.adapter_digest)),
        GradientSettings(max_length=64),
        LoadOptions(cache_dir=worker.files.hub),
    )
    train, test = loop_gradients(loaded, ROWS), loop_gradients(loaded, TEST)
    blocks = {str(number): TrainBlock.of(block) for number, block in enumerate(train)}
    points = {str(number): block for number, block in enumerate(test)}

    def score(name: str) -> NDArray[np.float64]:
        method = METHODS[name]
        return np.asarray(method.apply(method.prepare(blocks), points).influence)

    return score


def errors_of(query: Query, truth: NDArray[np.float64]) -> list[float]:
    """Relative errors of the rows that are called exact."""
    return [
        abs(row.influence / influence[row.row_index] - 1)
        for result, influence in zip(query.results or (), truth, strict=True)
        for row in result.helpful + result.harmful
        if row.exact
    ]


def test_every_row_of_full_storage_is_exact(worker: Runtime, build: Any, answered: Any, true_influence: Any) -> None:
    index = build(storage="full")
    for name in (name for name, method in METHODS.items() if not method.needs_factors):
        query = answered(worker.store, submit_query(worker.store, index.id, examples=TEST, method=name, k=5))
        errors = errors_of(query, true_influence(name))
        assert len(errors) == 3 * 2 * 5
        assert max(errors) < 2e-3, name
        assert query.notes == ()


@pytest.mark.parametrize("rank", [2, 32])
def test_rows_of_compact_storage_are_called_exact_where_they_are(
    worker: Runtime, build: Any, answered: Any, true_influence: Any, rank: int
) -> None:
    index = build(storage="compact", rank=rank)
    assert index.fidelity is not None
    called = set()
    for name in index.fidelity["reranked"]:
        asked = submit_query(worker.store, index.id, examples=TEST, method=name, k=5, exact=True)
        query = answered(worker.store, asked)
        errors, figure = errors_of(query, true_influence(name)), index.fidelity["reranked"][name]
        if errors:
            called.add(name)
            assert max(errors) < EXACT_WITHIN, name
            assert query.notes == ()
        else:
            assert figure["worst"] > EXACT_WITHIN
            assert f"off by {figure['median']:.1%} in the median" in query.notes[0]
        assert query.fidelity["reranked"][name] == figure
    assert called >= WITHOUT_CURVATURE
    if rank == 2:
        assert not called & {"exact", "proximal", "joint"}
    else:
        assert called >= {"datainf", "relative"}


def test_a_damping_that_was_not_measured_is_not_called_exact(worker: Runtime, build: Any, answered: Any) -> None:
    index = build(storage="compact", rank=32)
    asked = submit_query(worker.store, index.id, examples=TEST, damping_scale=5.0, exact=True, k=5)
    query = answered(worker.store, asked)
    assert not any(row.exact for result in query.results or () for row in result.helpful)
    assert "at damping_scale 0.1 alone" in query.notes[0]


def test_an_index_that_did_not_measure_or_outgrew_its_basis_calls_no_solve_exact(build: Any) -> None:
    index, method = build(storage="compact", rank=32), METHODS["datainf"]
    assert why_inexact(index, method, 0.1) is None
    assert "did not measure" in str(why_inexact(index.model_copy(update={"fidelity": None}), method, 0.1))
    growth = {"grown_from": "idx_1", "grown_from_job": "job_1", "rows_reused": 1, "rows_reused_late": 0}
    grown = index.model_validate(
        {
            **index.model_dump(),
            "growth": {**growth, "rows_computed": 1, "rows_removed": 0, "baseline": 0.1, "warnings": ("stale",)},
        }
    )
    assert "outgrown" in str(why_inexact(grown, method, 0.1))
    assert all(why_inexact(grown, METHODS[name], 1.0) is None for name in WITHOUT_CURVATURE)
