"""An index that workers share out answers as one that a single worker holds, to the bit, whoever comes and goes."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.answered import present
from support.rows import make_ticket_rows
from support.service import (
    QUICK,
    add_checkpoint,
    add_dataset,
    idle_runtime,
    running_worker,
    submit_index,
    submit_query,
)
from support.tiny import TinyCheckpoint
from support.work import make_part_work

from app.queries.scores import find_scores
from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.errors import NotFound, NoWorker
from influence.store import keys
from influence.store.data.scans import PART_ACTOR
from influence.store.embedded import EmbeddedServer
from influence.store.passes import PARTS_VERSION
from influence.store.queue import make_broker
from influence.store.store import Store
from influence.store.work import cancel
from influence.store.workers import own_broker
from workers.indexes.open import open_hot
from workers.indexes.partitions.part import compute_part
from workers.indexes.partitions.partitioned import PartitionedIndex
from workers.process.worker import WorkerProcess
from workers.runtime.state import Runtime

ROWS = 90
TEST = make_ticket_rows(2, seed=9)
Answered = Callable[[Store, Query], Query]


@pytest.fixture
def index(server: EmbeddedServer, store: Store, tmp_path: Path, classifier: TinyCheckpoint, finished: Any) -> Index:
    """Of three shards, none of which ends where a part does."""
    with running_worker(server.url, tmp_path / "data", shard_seconds=1e-3) as builder:
        checkpoint = add_checkpoint(store, builder.files, classifier, "sequence_classification")
        dataset = add_dataset(store, builder.files, make_ticket_rows(ROWS), "classification")
        asked = submit_index(store, checkpoint, dataset, storage="compact")
        assert finished(store, asked.job_id).state == "succeeded", store.indexes.require(asked.id).error
    return store.indexes.require(asked.id)


@pytest.fixture
def start(server: EmbeddedServer, tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """A worker, without `parts` one with room for all."""
    with ExitStack() as running:

        def begin(index: Index, parts: int = 0, **settings: Any) -> Runtime:
            if parts:
                rows = -(-ROWS // parts)
                settings |= {"memory_budget_bytes": 1000, "partition_bytes": int(rows * present(index.row_bytes)) + 1}
            return running.enter_context(running_worker(server.url, tmp_path / "data", **settings))

        yield begin


def what_it_says(store: Store, query: Query) -> tuple[Any, bytes]:
    """All of an answer that is not about time."""
    return [result.model_dump() for result in present(query.results)], find_scores(store, query).tobytes()


@pytest.fixture
def alone(index: Index, server: EmbeddedServer, store: Store, tmp_path: Path, answered: Answered) -> Callable[..., Any]:
    """What a worker says that holds the index whole."""

    def ask(**fields: Any) -> tuple[Any, bytes]:
        with running_worker(server.url, tmp_path / "data"):
            return what_it_says(store, answered(store, submit_query(store, index.id, examples=TEST, **fields)))

    return ask


def open_partitioned(runtime: Runtime, index: Index, parts: int) -> PartitionedIndex:
    hot = open_hot(runtime, index, index.job_id)
    assert isinstance(hot, PartitionedIndex)
    assert len(hot.fan_out.parts) == parts
    return hot


@pytest.mark.parametrize("method", ["datainf", "cosine", "joint"])
def test_one_two_and_seven_parts_say_the_same_to_the_bit(
    index: Index, start: Callable[..., Runtime], store: Store, answered: Answered, alone: Any, method: str
) -> None:
    expected = alone(method=method, exact=False)
    for parts in (1, 2, 7):
        workers = [start(index, parts) for _ in range(2)]
        query = answered(store, submit_query(store, index.id, examples=TEST, method=method, exact=False))
        assert what_it_says(store, query) == expected, parts
        open_partitioned(workers[0], index, parts)
        for worker in workers:
            worker.stopping.set()


#: What a query may ask: lists, scales, notes and parts of scores are those of one who holds all rows.
ASKED: list[dict[str, Any]] = [
    {"order": "absolute", "exact": False, "k": 7},
    {"order": "harmful", "exact": False, "k": ROWS},
    {"order": "helpful", "method": "cosine", "exact": True, "k": 4},
    {"order": "both", "exact": True, "k": 3, "include": ["tokens", "levels"]},
    {"aggregate": "mean", "exact": True, "k": 5, "include": ["blocks", "tokens"]},
    {"examples": make_ticket_rows(20, seed=5), "exact": True, "k": 2},
]


def test_whatever_is_asked_parts_say_the_same_to_the_bit(
    index: Index,
    start: Callable[..., Runtime],
    store: Store,
    answered: Answered,
    server: EmbeddedServer,
    tmp_path: Path,
) -> None:
    def ask() -> list[tuple[Any, bytes]]:
        asked = [{"examples": TEST, **fields} for fields in ASKED]
        return [what_it_says(store, answered(store, submit_query(store, index.id, **fields))) for fields in asked]

    whole = start(index)
    expected = ask()
    whole.stopping.set()
    for parts in (3, 8):
        # One: which gradients a worker computes in one batch depends on its queries before, and their last digits do.
        worker = start(index, parts)
        for found, one, fields in zip(ask(), expected, ASKED, strict=True):
            assert found == one, (parts, fields)
        worker.stopping.set()


def test_rows_own_influence_is_the_same_in_small_parts_but_for_rounding(
    index: Index, start: Callable[..., Runtime], store: Store, answered: Answered
) -> None:
    """It is a product of all rows of a step, whose last digits may depend on how many they are; large parts begin where
    steps do."""

    def ask() -> tuple[list[list[str]], Any]:
        query = answered(store, submit_query(store, index.id, examples=TEST, method="relative", exact=True, k=4))
        shown = [[row.row_id for row in result.helpful] for result in present(query.results)]
        return shown, find_scores(store, query)

    whole = start(index)
    shown, scores = ask()
    whole.stopping.set()
    start(index, 3)
    shown_by_parts, scores_by_parts = ask()
    assert shown_by_parts == shown
    np.testing.assert_allclose(scores_by_parts, scores, rtol=1e-5, atol=1e-6 * np.abs(scores).max())


def test_scores_stay_with_the_parts_until_somebody_asks_for_them(
    index: Index, start: Callable[..., Runtime], store: Store, answered: Answered
) -> None:
    worker = start(index, 4)
    query = answered(store, submit_query(store, index.id, examples=TEST, exact=True, k=3))
    assert store.scores.read(query.id, len(TEST), ROWS) is None
    recipe = present(store.scores.read_recipe(query.id))
    assert recipe.bounds[-1].tolist() == [69, 90]
    assert find_scores(store, query).shape == (len(TEST), ROWS)
    worker.stopping.set()
    store.workers.withdraw(worker.name)
    with pytest.raises(NoWorker):
        find_scores(store, query)
    # Built anew: its vectors would be asked of other codes.
    store.indexes.update(index.id, lambda current: current.model_copy(update={"job_id": "job_other"}))
    with pytest.raises(NotFound):
        find_scores(store, query)
    store.indexes.update(index.id, lambda current: current.model_copy(update={"job_id": index.job_id}))
    store.scores.delete(query.id)
    assert store.scores.read_recipe(query.id) is None


def test_re_ranked_answers_with_blocks_are_those_of_one_worker(
    index: Index, start: Callable[..., Runtime], store: Store, answered: Answered, alone: Any
) -> None:
    asked: dict[str, Any] = {"exact": True, "include": ["blocks"], "k": 3}
    expected = alone(**asked)
    start(index, 7)
    start(index, 7)
    assert what_it_says(store, answered(store, submit_query(store, index.id, examples=TEST, **asked))) == expected


def test_all_that_audits_sweeps_and_groups_ask_is_answered(
    index: Index, start: Callable[..., Runtime], server: EmbeddedServer, tmp_path: Path
) -> None:
    with idle_runtime(server.url, tmp_path / "data") as single:
        whole = open_hot(single, index, index.job_id)
        parted = open_partitioned(start(index, 4), index, 4)
        assert np.array_equal(parted.row_indexes, whole.row_indexes)
        assert np.array_equal(parted.losses, whole.losses)
        rng = np.random.default_rng(0)
        test = {
            block.name: torch.from_numpy(rng.normal(size=(3, block.parameters)).astype(np.float32))
            for block in index.blocks
        }
        for scale in (None, 1.0):
            assert np.array_equal(
                parted.scorer("datainf", scale, keep=False)(test), whole.scorer("datainf", scale, keep=False)(test)
            )
        for rows in (slice(0, 90), slice(20, 70), slice(88, 2000)):
            found, expected = (hot.self_influence("datainf", None, rows) for hot in (parted, whole))
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        directions = zip(parted.directions("datainf", None, test), whole.directions("datainf", None, test), strict=True)
        assert all(torch.equal(found, expected) for found, expected in directions)


@pytest.fixture
def ask_beside(
    index: Index, start: Callable[..., Runtime], store: Store, wait_until: Callable[..., None]
) -> Callable[[str], Query]:
    """Ask while a worker of that name is announced beside another, up to where it has been asked for its parts."""

    def ask(name: str) -> Query:
        start(index, 7)
        announce(store, name)
        query = submit_query(store, index.id, examples=TEST, exact=False)
        wait_until(lambda: parts_waiting(store, name), "it was asked for its parts")
        return query

    return ask


def test_what_was_asked_of_a_worker_that_is_gone_is_taken_over(
    ask_beside: Callable[[str], Query], store: Store, answered: Answered, alone: Any
) -> None:
    expected = alone(exact=False)
    query = ask_beside("gone")
    store.workers.withdraw("gone")
    assert what_it_says(store, answered(store, query)) == expected
    # What was still being sent when it went ends by itself.
    left = store.connections.state.ttl(f"{keys.QUEUE_NAMESPACE}:{keys.own_queue('gone')}.msgs")
    assert left == -2 or 0 < left <= keys.SCAN_SECONDS


def test_a_worker_that_was_killed_over_a_part_does_it_when_it_is_started_again(
    ask_beside: Callable[[str], Query],
    store: Store,
    server: EmbeddedServer,
    tmp_path: Path,
    answered: Answered,
    alone: Any,
) -> None:
    expected = alone(exact=False)
    query = ask_beside("killed")
    # It takes them, and nothing is heard of them any more.
    queue, broker = keys.own_queue("killed"), make_broker(store.connections.state)
    broker.broker_id = own_broker("killed")
    assert next(iter(broker.consume(queue, prefetch=100, timeout=10))) is not None
    with idle_runtime(server.url, tmp_path / "data") as made:
        again = replace(made, name="killed")
        thread = threading.Thread(target=WorkerProcess(again, pace=QUICK).run)
        thread.start()
        try:
            assert what_it_says(store, answered(store, query)) == expected
        finally:
            again.stopping.set()
            thread.join()


def test_a_worker_that_comes_is_asked_for_its_share(
    index: Index, start: Callable[..., Runtime], store: Store, answered: Answered, alone: Any
) -> None:
    expected = alone(exact=False)
    first = start(index, 7)
    answered(store, submit_query(store, index.id, examples=TEST, exact=False))
    before = store.scans.holders(index.build, 7)
    second = start(index, 7)
    query = answered(store, submit_query(store, index.id, examples=TEST, exact=False))
    after = store.scans.holders(index.build, 7)
    assert set(before.values()) == {first.name}
    assert sorted(name == second.name for name in after.values()) == [False] * 4 + [True] * 3
    assert what_it_says(store, query) == expected


def test_a_part_that_is_delivered_twice_counts_once(
    index: Index, store: Store, server: EmbeddedServer, tmp_path: Path
) -> None:
    vectors = np.ones((1, 4), np.float32)
    store.scans.begin("scan_a", vectors)
    first = np.zeros((1, 3), np.float32)
    work = make_part_work(index, vectors, "score", 3)
    store.scans.answer("scan_a", 0, first)
    with idle_runtime(server.url, tmp_path / "data") as runtime:
        compute_part(runtime, work)  # answered already: nothing is loaded, and nothing written
    (outcome,) = store.scans.outcomes("scan_a").values()
    assert np.array_equal(present(store.scans.take("scan_a", 0, outcome)), first)
    store.scans.refuse("scan_a", 0, {"code": "internal"})
    assert store.scans.outcomes("scan_a") == {0: outcome}
    store.scans.end("scan_a", vectors)
    with idle_runtime(server.url, tmp_path / "data") as runtime:
        compute_part(runtime, work)  # the pass is over
    assert not store.scans.is_answered("scan_a", 0)


def test_a_part_by_itself_is_taken_as_versions_before_ask_for_it(
    index: Index, start: Callable[..., Runtime], store: Store, wait_until: Callable[..., None]
) -> None:
    worker = start(index, 7)
    vectors = np.ones((1, 4), np.float32)
    work = make_part_work(index, vectors, "self_influence", 3, "datainf")
    asked = work.model_copy(update={"scan_id": "scan_old", "rows": (0, 3)})
    store.scans.begin("scan_old", vectors)
    store.queue.send_to(worker.name, PART_ACTOR, [asked.model_dump(mode="json")])
    wait_until(lambda: store.scans.is_answered("scan_old", 0), "it is answered")
    (outcome,) = store.scans.outcomes("scan_old").values()
    assert outcome.problem is None
    assert outcome.shape == (3,)


def test_cancelling_ends_a_pass_that_waits_for_others_and_leaves_nothing(
    index: Index, start: Callable[..., Runtime], store: Store, wait_until: Callable[..., None]
) -> None:
    working, state = start(index, 7), store.connections.state
    announce(store, "silent")
    query = submit_query(store, index.id, examples=TEST, exact=False)
    # Of seven parts the one that stands first by its name has one more; the last is a row short.
    wait_until(
        lambda: parts_waiting(store, "silent") == 4 and done_of(store, query) >= 3 * 13 - 1, "all others are done"
    )
    assert working.name in store.scans.holders(index.build, 7).values()
    assert present(store.jobs.require(query.job_id).progress).phase == "scanning"
    cancel(store, query.job_id)
    wait_until(lambda: not list(state.scan_iter(match="datainf:scan:*")), "nothing is left")
    assert store.queries.require(query.id).state == "cancelled"
    store.workers.withdraw("silent")


def done_of(store: Store, query: Query) -> int:
    progress = store.jobs.require(query.job_id).progress
    return 0 if progress is None or progress.phase != "scanning" else progress.done


def announce(store: Store, name: str) -> None:
    store.workers.announce(name, {"name": name, "takes_parts": PARTS_VERSION})


def parts_waiting(store: Store, name: str) -> int:
    """Parts that a worker was asked for, and how many messages: one for each pass."""
    texts = store.connections.state.hvals(f"{keys.QUEUE_NAMESPACE}:{keys.own_queue(name)}.msgs")
    assert len(texts) <= 1
    return sum(len(json.loads(text)["kwargs"]["works"]) for text in texts)
