"""A deleted index leaves the memory of every worker process at once, and is never answered from there."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint
from support.work import make_part_work

from influence.contracts.index import Index
from influence.errors import Cancelled, NotFound
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import delete
from workers.indexes.open import open_hot
from workers.indexes.partitions.looks import EVERYWHERE, Look
from workers.indexes.partitions.part import open_part
from workers.indexes.partitions.ranked import look_at_part
from workers.process import worker
from workers.queries.answer import answer_query
from workers.queries.row_gradients import read_row_gradients
from workers.queries.scored.opened import IndexTerm, OpenedIndexes
from workers.runtime.deletions import forget, forget_deleted
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch

ROWS = make_ticket_rows(60)
TEST = make_ticket_rows(2, seed=9)
Wait = Callable[..., None]


@pytest.fixture
def two(
    server: EmbeddedServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Runtime, Runtime]]:
    """Two worker processes' insides; their housekeeping looks once, at their start, and never again."""
    monkeypatch.setattr(worker, "REAP_SECONDS", float("inf"))
    with running_worker(server.url, tmp_path / "data") as one, running_worker(server.url, tmp_path / "data") as other:
        yield one, other


@pytest.fixture
def build(
    store: Store, two: tuple[Runtime, Runtime], classifier: TinyCheckpoint, finished: Any
) -> Callable[..., Index]:
    def make(**fields: Any) -> Index:
        checkpoint = add_checkpoint(store, two[0].files, classifier, "sequence_classification")
        dataset = add_dataset(store, two[0].files, ROWS, "classification")
        index = submit_index(store, checkpoint, dataset, **fields)
        assert finished(store, index.job_id).state == "succeeded", store.indexes.require(index.id).error
        return store.indexes.require(index.id)

    return make


def held_bytes(runtime: Runtime) -> int:
    kept = runtime.hot_indexes.bytes + runtime.gradient_cache.bytes + runtime.kept_points.bytes
    return kept + len(runtime.encoders.builds())


def ask_both(two: tuple[Runtime, Runtime], index: Index, answered: Any) -> None:
    """Let both processes answer, so that both have all of the index in memory."""
    for runtime in two:
        query = answered(runtime.store, submit_query(runtime.store, index.id, examples=TEST, exact=True))
        with suppress(Cancelled):  # it is answered already
            answer_query(runtime, query)


@pytest.mark.parametrize("storage", ["full", "compact"])
def test_a_deletion_frees_the_memory_of_every_process(
    store: Store, two: Any, build: Callable[..., Index], answered: Any, wait_until: Wait, storage: str
) -> None:
    index = build(storage=storage)
    ask_both(two, index, answered)
    assert all(held_bytes(runtime) for runtime in two)
    delete(store, index)
    # Without a look by housekeeping, and without a query.
    wait_until(lambda: not any(held_bytes(runtime) for runtime in two), "both have let it go")


def test_what_a_deleted_query_asked_about_leaves_memory(
    store: Store, two: Any, build: Callable[..., Index], answered: Any, wait_until: Wait
) -> None:
    index = build(storage="full")
    query = answered(store, submit_query(store, index.id, examples=TEST))
    for runtime in two:  # both processes have its points, whichever of them answered
        with suppress(Cancelled):
            answer_query(runtime, query)
    assert all(runtime.kept_points.queries() == {query.id} for runtime in two)
    delete(store, query)
    wait_until(lambda: not any(runtime.kept_points.bytes for runtime in two), "both have let the points go")
    assert all(runtime.hot_indexes.bytes for runtime in two)


def test_a_query_whose_deletion_was_not_heard_is_found_by_a_look(
    store: Store, two: Any, build: Callable[..., Index], answered: Any
) -> None:
    index = build(storage="full")
    query = answered(store, submit_query(store, index.id, examples=TEST))
    for runtime in two:
        with suppress(Cancelled):
            answer_query(runtime, query)
    store.queries.delete_data(query.data_id)
    store.queries.delete(query.id)  # as a lifetime ends: without a word
    for runtime in two:
        forget_deleted(runtime)
        assert not runtime.kept_points.bytes


class DeletesAfter(Stopwatch):
    """Calls `then` when a phase of a query's work is over."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        super().__init__()
        self._name, self._then = name, then

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        with super().phase(name):
            yield
        if name == self._name:
            self._then()


@pytest.fixture
def delete_heard(store: Store, two: Any, wait_until: Wait) -> Callable[[Index], None]:
    """Delete an index that is hot, and return once all worker processes have heard of it."""

    def do(index: Index) -> None:
        assert all(runtime.hot_indexes.holds(index) for runtime in two)
        delete(store, index)
        wait_until(lambda: not any(runtime.hot_indexes.holds(index) for runtime in two), "both have heard")

    return do


@pytest.mark.parametrize("what", ["index", "query"])
def test_test_points_computed_during_a_deletion_are_not_kept(
    store: Store,
    two: Any,
    build: Callable[..., Index],
    answered: Any,
    delete_heard: Any,
    wait_until: Wait,
    what: str,
) -> None:
    index = build(storage="full")
    ask_both(two, index, answered)
    other = TEST[:1]  # another question: its points are not kept yet
    query = answered(store, submit_query(store, index.id, examples=other))
    for runtime in two:
        runtime.kept_points.forget(query.id)

    def delete_it() -> None:
        if what == "index":
            delete_heard(index)
        else:
            delete(store, query)

    before = two[0].kept_points.bytes
    opened = OpenedIndexes(two[0], query, [IndexTerm(index, 1.0)], DeletesAfter("test_gradients", delete_it))
    with pytest.raises(NotFound):
        list(opened.each())
    assert two[0].kept_points.bytes == (0 if what == "index" else before)
    assert query.id not in two[0].kept_points.queries()


def test_row_gradients_computed_during_a_deletion_are_not_kept(
    two: Any, build: Callable[..., Index], answered: Any, delete_heard: Any
) -> None:
    index = build(storage="compact")
    ask_both(two, index, answered)
    two[0].gradient_cache.forget(index.id)
    computed = list[int]()

    def hear(rows: int) -> None:
        if not computed:
            delete_heard(index)
        computed.append(rows)

    with pytest.raises(NotFound):
        read_row_gradients(two[0], index, np.array([0, 1]), hear)
    assert computed
    assert held_bytes(two[0]) == 0


def test_ranked_rows_of_an_index_that_is_deleted_meanwhile_are_not_kept(
    two: Any, build: Callable[..., Index], answered: Any, delete_heard: Any
) -> None:
    index = build(storage="compact")
    ask_both(two, index, answered)
    part = open_part(two[0], index, 0, 30)
    delete_heard(index)
    vectors = np.ones((1, part.rows.codes.values.shape[1]), np.float32)
    work = make_part_work(index, vectors, "look", 30, "datainf")
    with pytest.raises(NotFound):
        look_at_part(two[0], index, part, work, Look(vectors, [[EVERYWHERE]], 10, 5))
    assert held_bytes(two[0]) == 0


def test_embeddings_of_a_deleted_index_go_too(
    store: Store, two: Any, build: Callable[..., Index], finished: Any, wait_until: Wait
) -> None:
    index = build(storage="full")
    job = submit_query(store, index.id, examples=TEST, method="embedding").job_id
    assert finished(store, job).state == "succeeded"
    assert any(runtime.hot_indexes.bytes for runtime in two)
    delete(store, index)
    wait_until(lambda: not any(runtime.hot_indexes.bytes for runtime in two), "both have let it go")


def test_other_indexes_stay_hot(
    store: Store, two: Any, build: Callable[..., Index], answered: Any, wait_until: Wait
) -> None:
    gone, stays = build(storage="full"), build(storage="compact")
    ask_both(two, gone, answered)
    ask_both(two, stays, answered)
    delete(store, gone)
    wait_until(lambda: not any(runtime.hot_indexes.holds(gone) for runtime in two), "both have let it go")
    assert all(runtime.hot_indexes.holds(stays) for runtime in two)


def test_an_index_that_is_built_anew_is_read_anew(
    store: Store, two: Any, build: Callable[..., Index], answered: Any
) -> None:
    old = build(storage="full")
    ask_both(two, old, answered)
    before = [runtime.hot_indexes.get(old, lambda: pytest.fail("it is hot")) for runtime in two]
    store.index_data.delete(old.id)
    store.indexes.delete(old.id)  # as if the announcement was lost
    new = build(storage="full")
    assert new.id == old.id
    ask_both(two, new, answered)
    after = [runtime.hot_indexes.get(new, lambda: pytest.fail("it is hot")) for runtime in two]
    assert all(one is not other for one, other in zip(before, after, strict=True))
    for runtime in two:
        forget_deleted(runtime)
        assert runtime.hot_indexes.builds() <= {(new.id, new.job_id)}


def test_a_lost_announcement_is_made_up_for(store: Store, two: Any, build: Callable[..., Index], answered: Any) -> None:
    index = build(storage="compact")
    ask_both(two, index, answered)
    store.index_data.delete(index.id)
    store.indexes.delete(index.id)
    for runtime in two:
        forget_deleted(runtime)
        assert held_bytes(runtime) == 0


def test_a_lost_subscription_is_taken_up_again(
    store: Store, two: Any, build: Callable[..., Index], answered: Any, wait_until: Wait
) -> None:
    index = build(storage="full")
    ask_both(two, index, answered)
    store.connections.state.client_kill_filter(_type="pubsub")
    channel = keys.deletions()
    wait_until(lambda: store.connections.state.pubsub_numsub(channel)[0][1] == 2, "both listen again")
    delete(store, index)
    wait_until(lambda: not any(held_bytes(runtime) for runtime in two), "both have let it go")


@pytest.mark.leaks
def test_what_is_deleted_while_it_is_read_is_not_kept(store: Store, two: Any, build: Callable[..., Index]) -> None:
    index = build(storage="full")
    forget(two[0], index.id)
    store.indexes.delete(index.id)  # its data is still there
    with pytest.raises(NotFound, match="was deleted meanwhile"):
        open_hot(two[0], index, index.job_id)
    assert not two[0].hot_indexes.holds(index)


def test_a_lost_shard_of_a_deleted_index_is_not_computed_again(
    store: Store, two: Any, build: Callable[..., Index], wait_until: Wait
) -> None:
    index = build(storage="full")
    forget(two[0], index.id)
    delete(store, index)
    with pytest.raises(NotFound):
        open_hot(two[0], index, index.job_id)
    # A message that housekeeping sent twice may be at work still; it removes what it writes.
    wait_until(lambda: not list(store.connections.state.scan_iter(match=keys.build_pattern(index.id))), "all is gone")


def test_two_processes_delete_and_query_at_once(
    store: Store, two: Any, build: Callable[..., Index], finished: Any, wait_until: Wait
) -> None:
    for _ in range(3):
        index = build(storage="full")
        queries, ended = list[Any](), threading.Event()

        def ask(index: Index = index, queries: list[Any] = queries, ended: threading.Event = ended) -> None:
            while not ended.is_set() and len(queries) < 200:
                queries.append(submit_query(store, index.id, examples=TEST))

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda queries=queries: len(queries) > 3, "queries are under way")
        delete(store, index)
        wait_until(lambda queries=queries: len(queries) > 6, "and go on")
        ended.set()
        thread.join()
        late = submit_query(store, index.id, examples=TEST)
        assert finished(store, late.job_id).error["code"] == "not_found"
        for query in queries:
            job = finished(store, query.job_id)
            # Those that the index took along were cancelled, or their error was forgotten with them.
            assert job.error is None or job.error["code"] == "not_found", job.error
        wait_until(lambda: not any(held_bytes(runtime) for runtime in two), "both have let it go")
        left = keys.build_pattern(index.id)
        wait_until(lambda left=left: not list(store.connections.state.scan_iter(match=left)), "all is gone")
