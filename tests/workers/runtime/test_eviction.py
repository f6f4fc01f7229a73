"""Indexes and recomputed gradients leave a worker's memory under its budgets, and answers stay the same."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.runtime.kept.gradient_cache import GradientCache
from workers.runtime.state import Runtime

ROWS = 40
TEST = make_ticket_rows(2, seed=9)
#: One index of full storage fits, two do not.
BUDGET = 150_000
Answered = Callable[[Store, Query], Query]


@pytest.fixture
def small(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Runtime]:
    with running_worker(server.url, tmp_path / "data", memory_budget_bytes=BUDGET) as runtime:
        yield runtime


@pytest.fixture
def uncached(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Runtime]:
    with running_worker(server.url, tmp_path / "data", gradient_cache_bytes=0) as runtime:
        yield runtime


@pytest.fixture
def build(classifier: TinyCheckpoint, finished: Any) -> Callable[..., Index]:
    def make(worker: Runtime, **fields: Any) -> Index:
        checkpoint = add_checkpoint(worker.store, worker.files, classifier, "sequence_classification")
        dataset = add_dataset(worker.store, worker.files, make_ticket_rows(ROWS), "classification")
        index = submit_index(worker.store, checkpoint, dataset, **fields)
        assert finished(worker.store, index.job_id).state == "succeeded", worker.store.indexes.require(index.id).error
        return worker.store.indexes.require(index.id)

    return make


def ask(runtime: Runtime, index: Index, answered: Answered, **fields: Any) -> Any:
    query = answered(runtime.store, submit_query(runtime.store, index.id, examples=TEST, **fields))
    return runtime.store.scores.read(query.id, len(TEST), ROWS)


def assert_near(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_index_not_asked_for_longest_leaves_and_is_read_again(
    small: Runtime, build: Callable[..., Index], answered: Answered
) -> None:
    first, second = (build(small, storage="full", gradients={"max_length": length}) for length in (64, 32))
    before = ask(small, first, answered)
    assert small.hot_indexes.holds(first)
    ask(small, second, answered)
    assert not small.hot_indexes.holds(first)
    assert small.hot_indexes.bytes <= BUDGET
    assert_near(ask(small, first, answered), before)


def test_an_index_that_leaves_while_a_query_reads_it_is_whole_for_the_query(
    small: Runtime, build: Callable[..., Index], answered: Answered
) -> None:
    first, second = (build(small, storage="full", gradients={"max_length": length}) for length in (64, 32))
    ask(small, first, answered)
    hot: Any = small.hot_indexes.get(first, lambda: pytest.fail("the index is hot"))
    score = hot.scorer("datainf", None)
    test = {name: block.shards[0][:2] for name, block in hot.blocks.items()}
    before = score(test)
    ask(small, second, answered)
    assert not small.hot_indexes.holds(first)
    assert_near(score(test), before)


def test_exact_scores_need_no_gradients_that_were_kept(
    uncached: Runtime, build: Callable[..., Index], answered: Answered
) -> None:
    compact = build(uncached, storage="compact")
    once, again = (ask(uncached, compact, answered, exact=True) for _ in range(2))
    assert uncached.gradient_cache.bytes == 0
    assert_near(once, again)


IDENTITY: dict[str, Any] = {"id": "idx_a", "job_id": "job_1"}
INDEX = Index.model_construct(**IDENTITY)
OTHER_BUILD = Index.model_construct(**IDENTITY | {"job_id": "job_2"})


class Gradients:
    """Makes a row's gradient of its number, and remembers which were made."""

    def __init__(self) -> None:
        self.made: list[list[int]] = []
        self.confirmed = 0

    def __call__(self, rows: list[int]) -> torch.Tensor:
        self.made.append(rows)
        return torch.tensor(rows, dtype=torch.float32)[:, None].expand(-1, 4)

    def confirm(self) -> None:
        self.confirmed += 1


def test_gradients_leave_in_order_and_are_computed_again() -> None:
    cache, compute = GradientCache(3 * 16), Gradients()
    cache.get(INDEX, [1, 2, 3], compute, compute.confirm)
    cache.get(INDEX, [1], compute, compute.confirm)
    cache.get(INDEX, [4], compute, compute.confirm)
    assert cache.missing(INDEX, [1, 2, 3, 4]) == [2]
    assert cache.bytes == 3 * 16
    found = cache.get(INDEX, [2, 1, 4], compute, compute.confirm)
    assert found[:, 0].tolist() == [2, 1, 4]
    assert compute.made == [[1, 2, 3], [4], [2]]
    assert compute.confirmed == 3


def test_more_rows_than_fit_are_answered_in_order() -> None:
    cache, compute = GradientCache(2 * 16), Gradients()
    rows = list(range(10))
    assert cache.get(INDEX, rows, compute, compute.confirm)[:, 0].tolist() == rows
    assert cache.bytes == 2 * 16
    assert cache.get(INDEX, rows[::-1], compute, compute.confirm)[:, 0].tolist() == rows[::-1]


def test_a_row_larger_than_the_budget_is_not_kept() -> None:
    cache, compute = GradientCache(15), Gradients()
    assert cache.get(INDEX, [7], compute, compute.confirm)[0].tolist() == [7, 7, 7, 7]
    assert cache.bytes == 0


def test_an_index_built_anew_has_gradients_of_its_own() -> None:
    cache, compute = GradientCache(1000), Gradients()
    cache.get(INDEX, [1], compute, compute.confirm)
    assert cache.missing(OTHER_BUILD, [1]) == [1]
    cache.get(OTHER_BUILD, [1], compute, compute.confirm)
    cache.forget("idx_b")
    assert cache.bytes == 2 * 16
    cache.forget("idx_a")
    assert cache.bytes == 0
