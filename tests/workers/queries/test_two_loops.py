"""A query goes over its indexes twice and pays for neither models nor test gradients twice."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs
from support.answered import present
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint, make_classifier

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.queries.scored.influence import Influence
from workers.runtime.state import Runtime

ROWS = make_ticket_rows(60)
TEST = make_ticket_rows(3, seed=9)
WEIGHTS = (1.0, 0.5, 0.25)
LOADED, COMPUTED = "checkpoint loaded", "test gradients computed"
#: Of three test points under one tiny checkpoint: about 7 kB.
ROOM_FOR_TWO = 16_000

Summed = list[tuple[Index, float]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[TinyCheckpoint]:
    """Three checkpoints of one shape."""
    return [make_classifier(tmp_path_factory.mktemp(f"checkpoint{seed}"), seed=seed) for seed in (3, 4, 5)]


@pytest.fixture
def start(server: EmbeddedServer, store: Store, tmp_path: Path) -> Callable[..., Any]:
    """A worker with the default of two hot models, told how much it may keep of test gradients."""

    def begin(test_gradient_bytes: int) -> Any:
        return running_worker(server.url, tmp_path / "data", test_gradient_bytes=test_gradient_bytes, hot_models=2)

    return begin


def build(worker: Runtime, run: Sequence[TinyCheckpoint], finished: Any, storages: Sequence[str]) -> Summed:
    dataset = add_dataset(worker.store, worker.files, ROWS, "classification")
    made = []
    for tiny, storage, weight in zip(run, storages, WEIGHTS, strict=True):
        checkpoint = add_checkpoint(worker.store, worker.files, tiny, "sequence_classification")
        index = submit_index(worker.store, checkpoint, dataset, storage=storage)
        assert finished(worker.store, index.job_id).state == "succeeded"
        made.append((worker.store.indexes.require(index.id), weight))
    return made


def ask(worker: Runtime, summed: Summed, answered: Any, **fields: Any) -> tuple[Query, Any, Counter[str]]:
    """The answered query, its influence, and what its worker did for it: all models are cold before."""
    worker.models._hot.forget(lambda _key: True)
    with capture_logs() as logs:
        query = answered(worker.store, submit_query(worker.store, summed[0][0].id, summed, examples=TEST, **fields))
    influence = worker.store.scores.read(query.id, len(query.results), len(ROWS))
    return query, influence, Counter(entry["event"] for entry in logs)


def test_three_checkpoints_of_codes_cost_four_loads_and_three_passes(
    start: Any, run: list[TinyCheckpoint], finished: Any, answered: Any
) -> None:
    with start(256 << 20) as worker:
        summed = build(worker, run, finished, ["compact"] * 3)
        query, _, counts = ask(worker, summed, answered, method="tracin", exact=True, k=3, include=["blocks"])
    assert all(row.exact and row.blocks for result in present(query.results) for row in result.helpful)
    assert counts[LOADED] == 4
    assert counts[COMPUTED] == 3


def test_shares_of_whole_gradients_need_no_model_again(
    start: Any, run: list[TinyCheckpoint], finished: Any, answered: Any
) -> None:
    with start(256 << 20) as worker:
        summed = build(worker, run, finished, ["full"] * 3)
        query, _, counts = ask(worker, summed, answered, method="tracin", k=3, include=["blocks"])
    assert all(row.blocks for result in present(query.results) for row in result.harmful)
    assert (counts[LOADED], counts[COMPUTED]) == (3, 3)


@pytest.mark.parametrize("storage", ["compact", "full"])
def test_what_the_bound_does_not_hold_is_computed_again_to_the_same_answer(
    start: Any, run: list[TinyCheckpoint], finished: Any, answered: Any, storage: str
) -> None:
    fields = {"method": "tracin", "exact": True, "k": 3, "include": ["blocks"]}
    found, summed = {}, Summed()
    for room in (256 << 20, ROOM_FOR_TWO, 0):
        with start(room) as worker:
            summed = summed or build(worker, run, finished, [storage] * 3)
            found[room] = ask(worker, summed, answered, **fields)
    # The last index is still at hand when the way back begins, whatever the bound.
    assert [counts[COMPUTED] for _, _, counts in found.values()] == [3, 3, 5]
    assert all(counts[LOADED] <= 4 for _, _, counts in found.values())
    _, truth, _ = found[256 << 20]
    for query, influence, _ in found.values():
        np.testing.assert_allclose(influence, truth, rtol=0, atol=1e-5 * np.abs(truth).max())
        for row in present(query.results)[0].helpful:
            assert sum(present(row.blocks).values()) == pytest.approx(row.influence, rel=1e-3)


def test_one_index_computes_its_test_gradients_once_whatever_the_bound(
    start: Any, run: list[TinyCheckpoint], finished: Any, answered: Any
) -> None:
    with start(0) as worker:
        summed = build(worker, run, finished, ["compact", "full", "full"])
        query = submit_query(worker.store, summed[0][0].id, examples=TEST, exact=True, include=["blocks"])
        with capture_logs() as logs:
            answered(worker.store, query)
    assert [entry["event"] for entry in logs].count(COMPUTED) == 1


def test_a_longer_sum_keeps_no_more_test_gradients(
    start: Any, run: list[TinyCheckpoint], finished: Any, answered: Any
) -> None:
    with start(ROOM_FOR_TWO) as worker:
        summed = build(worker, run, finished, ["full"] * 3)
        one_more = [*summed, *build(worker, run, finished, ["compact"] * 3)]
        _, _, counts = ask(worker, summed, answered, method="tracin", include=["blocks"])
        _, _, more = ask(worker, one_more, answered, method="tracin", exact=True, include=["blocks"])
    # Two are kept, the last is at hand, the one before is still there for other queries; the rest are computed twice.
    assert counts[COMPUTED] == 3
    assert more[COMPUTED] == 6 + 2


def test_another_method_about_the_same_points_takes_their_gradients(
    start: Any, run: list[TinyCheckpoint], finished: Any, answered: Any
) -> None:
    methods = {"datainf": 0.1, "tracin": None, "exact": 1.0}
    with start(256 << 20) as worker:
        summed = build(worker, run, finished, ["full"] * 3)
        asked = summed[0][0].id
        with capture_logs() as logs:
            queries = [
                answered(
                    worker.store, submit_query(worker.store, asked, examples=TEST, method=name, damping_scale=scale)
                )
                for name, scale in methods.items()
            ]
        kept = [worker.store.scores.read(query.id, len(TEST), len(ROWS)) for query in queries]
    assert Counter(entry["event"] for entry in logs)[COMPUTED] == 1
    for query, scores in zip(queries, kept, strict=True):
        with start(0) as worker:  # which keeps nothing
            fresh = answered(
                worker.store, submit_query(worker.store, asked, **query.request.model_dump(exclude_unset=True))
            )
            found = worker.store.scores.read(fresh.id, len(TEST), len(ROWS))
        np.testing.assert_allclose(scores, found, rtol=0, atol=1e-5 * np.abs(found).max())
        for told, again in zip(present(query.results), present(fresh.results), strict=True):
            assert (told.example, told.predicted_label) == (again.example, again.predicted_label)
            assert [told.loss, told.base_loss] == pytest.approx([again.loss, again.base_loss], rel=1e-5)


def test_long_rows_count_among_the_bytes_that_are_kept(
    start: Any, run: list[TinyCheckpoint], finished: Any, answered: Any
) -> None:
    """Their gradients are small: without their text the bound would hold nothing back."""
    with start(1 << 20) as worker:
        asked = build(worker, run, finished, ["full"] * 3)[0][0].id
        for number in range(4):
            long = [{"text": f"{number} " + "late parcel " * 40_000, "label": 0}]
            answered(worker.store, submit_query(worker.store, asked, examples=long))
            assert worker.kept_points.bytes < 1 << 20
        assert len(worker.kept_points.queries()) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"examples": make_ticket_rows(3, seed=10)},
        {"target": "prediction"},
        {"against": "delivery"},
        {"include": ["tokens"]},
        {"aggregate": "mean"},
    ],
)
def test_other_points_are_computed_for_themselves(
    start: Any, run: list[TinyCheckpoint], finished: Any, answered: Any, changes: dict[str, Any]
) -> None:
    with start(256 << 20) as worker:
        asked = build(worker, run, finished, ["full"] * 3)[0][0].id
        answered(worker.store, submit_query(worker.store, asked, examples=TEST))
        with capture_logs() as logs:
            answered(worker.store, submit_query(worker.store, asked, **({"examples": TEST} | changes)))
    assert [entry["event"] for entry in logs].count(COMPUTED) == 1


def test_indexes_are_opened_forwards_and_then_backwards(
    start: Any, run: list[TinyCheckpoint], finished: Any, answered: Any
) -> None:
    with start(0) as worker:
        summed = build(worker, run, finished, ["compact"] * 3)
        worker.models._hot.forget(lambda _key: True)
        with capture_logs() as logs:
            query = submit_query(worker.store, summed[0][0].id, summed, examples=TEST, method="tracin", exact=True)
            answered(worker.store, query)
    opened = [entry["index_id"] for entry in logs if entry["event"] == COMPUTED]
    first, second, third = (index.id for index, _ in summed)
    assert opened == [first, second, third, second, first]


def test_influence_adds_only_rows_that_both_have() -> None:
    one, other = (
        Influence(np.array(rows), np.full((1, 3), value, np.float32))
        for rows, value in (([0, 1, 2], 1), ([1, 2, 3], 2))
    )
    total = one + other
    assert total.row_indexes.tolist() == [1, 2]
    assert total.values.tolist() == [[3, 3]]
