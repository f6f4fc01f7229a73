"""Sums over several checkpoints of one run: each by its own gradients, added row by row."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint, make_classifier, poison_word

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.errors import RowsUnfit
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.queries.scored.influence import Influence
from workers.runtime.state import Runtime

ROWS = make_ticket_rows(60)
TEST = make_ticket_rows(2, seed=9)
WEIGHTS = (0.5, 2.0)

Summed = list[tuple[Index, float]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[TinyCheckpoint]:
    """Two checkpoints of one shape."""
    return [make_classifier(tmp_path_factory.mktemp(f"checkpoint{seed}"), seed=seed) for seed in (3, 4)]


@pytest.fixture
def small(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Runtime]:
    """A worker that keeps one model at a time."""
    with running_worker(server.url, tmp_path / "data", hot_models=1) as runtime:
        yield runtime


@pytest.fixture
def summed(small: Runtime, run: list[TinyCheckpoint], finished: Any) -> Callable[..., Summed]:
    """Indexes of both checkpoints with their weights."""

    def build(storages: Sequence[str], run: Sequence[TinyCheckpoint] = run, **fields: Any) -> Summed:
        dataset = add_dataset(small.store, small.files, ROWS, "classification")
        made = []
        for tiny, storage, weight in zip(run, storages, WEIGHTS, strict=True):
            checkpoint = add_checkpoint(small.store, small.files, tiny, "sequence_classification")
            index = submit_index(small.store, checkpoint, dataset, storage=storage, **fields)
            job = finished(small.store, index.job_id)
            assert job.state == "succeeded", job.error
            made.append((small.store.indexes.require(index.id), weight))
        return made

    return build


@pytest.fixture
def ask(small: Runtime, answered: Any) -> Callable[..., tuple[Query, Any]]:
    """The answered query and all its influence (m, rows)."""

    def ask_sum(parts: Summed, **fields: Any) -> tuple[Query, Any]:
        several = parts if len(parts) > 1 else ()
        query = answered(small.store, submit_query(small.store, parts[0][0].id, several, examples=TEST, **fields))
        return query, small.store.scores.read(query.id, len(query.results), len(ROWS))

    return ask_sum


def assert_near(found: Any, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.nanmax(np.abs(expected)))


@pytest.mark.parametrize("storages", [("full", "full"), ("compact", "compact"), ("full", "compact")])
def test_a_sum_is_the_weighted_sum_of_its_parts(summed: Any, ask: Any, small: Runtime, storages: Any) -> None:
    parts = summed(storages)
    for method, alone in (("tracin", "hessian_free"), ("exact", "exact"), ("cosine", "cosine")):
        query, found = ask(parts, method=method, exact=False)
        singles = [ask([part], method=alone, exact=False)[1] for part in parts]
        assert_near(found, sum(weight * one for weight, one in zip(WEIGHTS, singles, strict=True)), 1e-5)
        assert [one.weight for one in query.checkpoints] == list(WEIGHTS)
        assert query.storage == (storages[0] if len(set(storages)) == 1 else "mixed")
    assert len(small.models._hot) == 1


def test_a_sum_over_codes_is_exact_where_people_look(summed: Any, ask: Any) -> None:
    full, compact = summed(("full", "full")), summed(("compact", "compact"))
    _, truth = ask(full, method="tracin")
    for parts in (compact, [full[0], compact[1]]):
        query, _ = ask(parts, method="tracin", exact=True, k=5, include=["blocks"])
        for result, true in zip(query.results, truth, strict=True):
            for row in result.helpful + result.harmful:
                assert row.exact
                assert row.influence == pytest.approx(true[row.row_index], rel=1e-3)
                assert sum(row.blocks.values()) == pytest.approx(row.influence, rel=1e-3)


def test_a_sum_over_codes_says_when_it_is_not_exact(summed: Any, ask: Any) -> None:
    query, _ = ask(summed(("compact", "compact")), method="tracin", exact=False, k=5)
    assert "send exact true" in query.notes[0]
    assert not any(row.exact for result in query.results for row in result.helpful)


def test_shares_of_blocks_add_up_over_checkpoints(summed: Any, ask: Any) -> None:
    query, _ = ask(summed(("full", "full")), method="datainf", k=3, include=["blocks"])
    for row in query.results[1].helpful + query.results[1].harmful:
        assert sum(row.blocks.values()) == pytest.approx(row.influence, rel=1e-3)


def test_a_mean_over_test_points_is_a_mean_under_each_checkpoint(summed: Any, ask: Any) -> None:
    parts = summed(("full", "full"))
    _, each = ask(parts, method="tracin")
    query, mean = ask(parts, method="tracin", aggregate="mean")
    assert query.results[0].example["test_points"] == 2
    assert_near(mean[0], each.mean(axis=0), 1e-5)


def test_the_asked_checkpoints_answer_is_the_target_under_all(
    summed: Any, ask: Any, answered: Any, small: Runtime
) -> None:
    parts = summed(("full", "full"))
    query, found = ask(parts, method="tracin", target="prediction")
    answers = [{**row, "label": result.predicted_label} for row, result in zip(TEST, query.results, strict=True)]
    assert [result.example["label"] for result in query.results] == [answer["label"] for answer in answers]
    labelled = submit_query(small.store, parts[0][0].id, parts, examples=answers, method="tracin")
    answered(small.store, labelled)
    assert_near(found, small.store.scores.read(labelled.id, len(TEST), len(ROWS)), 1e-6)


def test_a_row_that_one_checkpoint_left_out_has_no_sum(
    summed: Any, ask: Any, run: list[TinyCheckpoint], tmp_path: Path
) -> None:
    poisoned = make_classifier(tmp_path / "poisoned", seed=4)
    poison_word(poisoned, "parcel")
    parts = summed(("full", "full"), run=(run[0], poisoned), on_non_finite="skip")
    bad = [number for number, row in enumerate(ROWS) if "parcel" in row["text"].split()]
    query, found = ask(parts, method="tracin", k=60)
    assert 0 < len(bad) < len(ROWS)
    assert query.rows_scored == len(ROWS) - len(bad)
    assert np.flatnonzero(np.isnan(found[0])).tolist() == bad
    assert not {row.row_index for row in query.results[0].helpful} & set(bad)
    singles = [ask([part], method="hessian_free")[1] for part in parts]
    assert_near(found, sum(weight * one for weight, one in zip(WEIGHTS, singles, strict=True)), 1e-5)


def test_indexes_that_share_no_row_have_no_sum() -> None:
    one, other = (Influence(np.array(rows), np.ones((1, 2), np.float32)) for rows in ([0, 1], [2, 3]))
    with pytest.raises(RowsUnfit, match="all of these indexes"):
        one + other
