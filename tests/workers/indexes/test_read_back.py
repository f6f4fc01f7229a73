"""What Redis loses of a finished compact index is read back from the files; what they lack is computed again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.processes.object_store import PLACES, Bucket
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, idle_runtime, reopen_index, submit_index
from support.tiny import TinyCheckpoint

from influence.contracts.index import Index
from influence.contracts.work import INDEX
from influence.errors import Cancelled
from influence.store import keys
from influence.store.data.vault.index_values import VALUES
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import cancel, delete
from workers.building.finish import finish_index
from workers.building.plan import plan_index
from workers.building.shard import compute_shard
from workers.indexes.compact import CompactIndex
from workers.indexes.open import open_hot
from workers.process.actors import work_on
from workers.runtime.deletions import forget
from workers.runtime.state import Runtime

ROWS = make_ticket_rows(90, seed=1)
Build = Callable[[], Index]


@pytest.fixture(params=PLACES)
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket | None]:
    with PLACES[request.param]() as place:
        yield place


@pytest.fixture
def runtime(server: EmbeddedServer, store: Store, tmp_path: Path, bucket: Bucket | None) -> Iterator[Runtime]:
    """What a worker works with that cuts 90 rows into three shards."""
    settings = {} if bucket is None else {"files_url": bucket.url}
    with idle_runtime(server.url, tmp_path / "data", shard_seconds=1e-3, **settings) as made:
        yield made


@pytest.fixture
def plan(runtime: Runtime, classifier: TinyCheckpoint) -> Build:
    """An index of which all is done but the last step."""

    def make() -> Index:
        checkpoint = add_checkpoint(runtime.store, runtime.files, classifier, "sequence_classification")
        dataset = add_dataset(runtime.store, runtime.files, ROWS, "classification")
        asked = submit_index(runtime.store, checkpoint, dataset, storage="compact")
        runtime.store.jobs.start(asked.job_id)
        plan_index(runtime, asked)
        planned = runtime.store.indexes.require(asked.id)
        for shard in range(planned.shards):
            compute_shard(runtime, planned, shard)
        return planned

    return make


@pytest.fixture
def build(runtime: Runtime, plan: Build) -> Build:
    def make() -> Index:
        planned = plan()
        finish_index(runtime, planned)
        return runtime.store.indexes.require(planned.id)

    return make


def lose_all(runtime: Runtime, index: Index) -> None:
    """Redis loses everything of an index but its record."""
    state = runtime.store.connections.state
    for name in list(state.scan_iter(match=keys.build_pattern(index.build))):
        state.delete(name)


def read(runtime: Runtime, index: Index) -> CompactIndex:
    """The index as a process reads it that has nothing of it in memory."""
    forget(runtime, index.id)
    hot = open_hot(runtime, index, index.job_id)
    assert isinstance(hot, CompactIndex)
    return hot


def assert_same(found: CompactIndex, expected: CompactIndex) -> None:
    """Bit for bit: read, not computed."""
    for name in ("values", "scales", "norms"):
        np.testing.assert_array_equal(getattr(found.rows.codes, name), getattr(expected.rows.codes, name))
    np.testing.assert_array_equal(found.row_indexes, expected.row_indexes)
    np.testing.assert_array_equal(found.losses, expected.losses)


def files_of(runtime: Runtime, bucket: Bucket | None) -> list[str]:
    folder = runtime.files.root / "indexes"
    here = [path.name for path in folder.rglob("*")]
    return here if bucket is None else here + [path for path in bucket.paths() if path.startswith("indexes/")]


def test_all_that_redis_loses_is_read_back_without_the_rows(
    runtime: Runtime, build: Build, bucket: Bucket | None
) -> None:
    index = build()
    assert index.shards == 3
    before = read(runtime, index)
    lose_all(runtime, index)
    # Nothing of it can be computed again.
    runtime.files.remove_dataset(index.spec.dataset_id)
    assert_same(read(runtime, index), before)
    if bucket is None:
        assert_same(read(runtime, index), before)
        return
    state, published = runtime.store.connections.state, runtime.store.index_data.published
    published.returns.wait()  # another thread puts it back than the one that had to answer
    assert 0 < int(state.ttl(keys.row_state(index.build, 2, "values", 0))) <= keys.CHUNK_SECONDS
    published.remove(index.build)
    assert_same(read(runtime, index), before)  # by what was put back


def test_what_a_folder_of_this_machine_has_is_not_asked_of_redis(
    runtime: Runtime, build: Build, bucket: Bucket | None
) -> None:
    index = build()
    before, state = read(runtime, index), runtime.store.connections.state
    names = list(state.scan_iter(match=f"{keys.row_state(index.build, 0, 'values', 0)[:-2]}*"))
    assert names
    for name in names:
        state.set(name, b"damaged")
    assert_same(read(runtime, index), before)
    if bucket is None:
        assert all(state.get(name) == b"damaged" for name in names)  # nobody looked


def test_what_was_read_of_a_build_that_was_deleted_meanwhile_is_not_put_back(runtime: Runtime, build: Build) -> None:
    index, returns, state = build(), runtime.store.index_data.published.returns, runtime.store.connections.state
    late = keys.row_state(index.build, 0, "late", 0)
    for _ in range(2):
        returns.put(index.build, {late: b"late"})
        returns.wait()
        is_back = bool(state.delete(late))
        assert is_back == bool(state.exists(keys.commits(index.build)))
        delete(runtime.store, index)
    assert not is_back


def test_one_lost_value_is_read_back(runtime: Runtime, build: Build) -> None:
    index = build()
    before = read(runtime, index)
    state = runtime.store.connections.state
    runtime.files.remove_dataset(index.spec.dataset_id)
    for lost in (keys.row_state(index.build, 1, "values", 0), keys.row_state(index.build, 2, "kept", 0)):
        state.delete(lost)
        assert_same(read(runtime, index), before)
    state.set(keys.row_state(index.build, 0, "norms", 0), b"damaged")
    assert_same(read(runtime, index), before)


def test_a_full_server_takes_nothing_back_and_the_index_is_read_all_the_same(runtime: Runtime, build: Build) -> None:
    index = build()
    expected = read(runtime, index).rows.codes.values[: index.rows_per_shard]
    state, data = runtime.store.connections.state, runtime.store.index_data
    found: NDArray[np.int8] = np.empty_like(expected)
    state.config_set("maxmemory", 1)
    try:
        data.read_rows_into(index.build, 0, "values", found)
        assert state.get(keys.row_state(index.build, 0, "values", 0)) is None  # what has a lifetime has left
    finally:
        state.config_set("maxmemory", 0)
    np.testing.assert_array_equal(found, expected)


def damage(runtime: Runtime, bucket: Bucket | None) -> None:
    """Other bytes in the place of all values."""
    if bucket is None:
        for path in (runtime.files.root / "indexes").rglob(VALUES):
            path.write_bytes(b"\0" * path.stat().st_size)
        return
    for name in bucket.paths():
        if name.endswith(f"/{VALUES}"):
            bucket.write(name, b"\0" * bucket.size(name))


def test_what_the_files_lack_or_have_damaged_is_computed_again(
    runtime: Runtime, build: Build, bucket: Bucket | None
) -> None:
    index = build()
    before = read(runtime, index).rows.codes.scales
    state = runtime.store.connections.state
    damage(runtime, bucket)
    state.delete(keys.row_state(index.build, 1, "values", 0))
    np.testing.assert_allclose(read(runtime, index).rows.codes.scales, before, rtol=1e-4)
    runtime.files.indexes.remove(index.build)  # as of an earlier version
    state.delete(keys.row_state(index.build, 0, "scales", 0))
    np.testing.assert_allclose(read(runtime, index).rows.codes.scales, before, rtol=1e-4)


def test_files_go_with_their_index(runtime: Runtime, build: Build, bucket: Bucket | None) -> None:
    index = build()
    assert files_of(runtime, bucket)
    state = runtime.store.connections.state
    assert int(state.ttl(keys.row_state(index.build, 0, "values", 0))) > 0
    assert int(state.ttl(keys.commits(index.build))) == -1
    delete(runtime.store, index)
    assert files_of(runtime, bucket) == []


def test_a_build_that_is_cancelled_as_it_ends_leaves_no_files(
    runtime: Runtime, plan: Build, bucket: Bucket | None
) -> None:
    planned = plan()
    assert files_of(runtime, bucket) == []
    # A worker was killed between files and record.
    runtime.store.index_data.published.publish(planned.build, planned.shards)
    assert files_of(runtime, bucket)
    cancel(runtime.store, planned.job_id)
    assert files_of(runtime, bucket) == []


def test_files_that_are_written_after_a_cancellation_are_removed_by_who_wrote_them(
    runtime: Runtime, plan: Build, bucket: Bucket | None
) -> None:
    planned = plan()

    def finish(late: Runtime, index: Index) -> None:
        cancel(late.store, index.job_id)
        late.files.indexes.write(index.build, [("datainf:late", b"late")], {}, {})
        raise Cancelled("it was cancelled meanwhile")

    work_on(runtime, INDEX, finish, index_id=planned.id, job_id=planned.job_id)
    assert files_of(runtime, bucket) == []


def test_a_last_step_that_was_cut_off_is_done_again(runtime: Runtime, build: Build) -> None:
    cut_off = reopen_index(runtime.store, build().id)
    finish_index(runtime, cut_off)
    index = runtime.store.indexes.require(cut_off.id)
    assert index.state == "succeeded"
    before = read(runtime, index)
    lose_all(runtime, index)
    assert_same(read(runtime, index), before)
