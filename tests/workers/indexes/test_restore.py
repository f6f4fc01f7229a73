"""A ready index that lost what no query can compute says so, and is built again by itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.answered import present
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint

from influence.contracts.dataset import Dataset
from influence.contracts.index import Index
from influence.contracts.job import Job
from influence.errors import IndexNotReady
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.indexes.open import open_hot
from workers.runtime.basis_sample import ENCODER, MOMENTS
from workers.runtime.deletions import forget
from workers.runtime.state import Runtime

ROWS = make_ticket_rows(80)
TEST = make_ticket_rows(2, seed=9)


@pytest.fixture
def worker(server: EmbeddedServer, store: Store, tmp_path: Any) -> Any:
    """A worker that cuts 80 rows into three shards."""
    with running_worker(server.url, tmp_path / "data", shard_seconds=1e-3) as runtime:
        yield runtime


@pytest.fixture
def build(worker: Runtime, classifier: TinyCheckpoint, finished: Callable[..., Job]) -> Callable[..., Index]:
    def make(rows: Any = ROWS, **fields: Any) -> Index:
        checkpoint = add_checkpoint(worker.store, worker.files, classifier, "sequence_classification")
        dataset: Dataset = add_dataset(worker.store, worker.files, rows, "classification")
        index = submit_index(worker.store, checkpoint, dataset, **fields)
        assert finished(worker.store, index.job_id).state == "succeeded", worker.store.indexes.require(index.id).error
        return worker.store.indexes.require(index.id)

    return make


class Asker:
    """Asks an index that is not in memory."""

    def __init__(self, worker: Runtime, finished: Callable[..., Job]) -> None:
        self.worker, self.finished = worker, finished

    def ask(self, index: Index, **fields: Any) -> tuple[Job, Any]:
        """How the query's job ended, and its influence."""
        forget(self.worker, index.id)
        query = submit_query(self.worker.store, index.id, examples=TEST, exact=False, **fields)
        job = self.finished(self.worker.store, query.job_id)
        return job, self.worker.store.scores.read(query.id, len(TEST), index.rows)

    def restored(self, index: Index, **fields: Any) -> Any:
        """Influence once the index was built again; the first query is told of the job to wait for."""
        job, _ = self.ask(index, **fields)
        assert (job.state, present(job.error)["code"]) == ("failed", "index_not_ready"), job.error
        again = self.finished(self.worker.store, present(job.error)["job_id"])
        assert (again.state, again.resource_id) == ("succeeded", index.id), again.error
        assert present(job.error)["job_id"] != index.job_id
        assert self.worker.store.indexes.require(index.id).state == "succeeded"
        job, influence = self.ask(index, **fields)
        assert job.state == "succeeded", job.error
        return influence


@pytest.fixture
def asker(worker: Runtime, finished: Callable[..., Job]) -> Asker:
    return Asker(worker, finished)


def test_what_is_no_text_any_more_is_read_back_from_the_files(
    worker: Runtime, build: Callable[..., Index], asker: Asker
) -> None:
    index = build(storage="compact")
    _, truth = asker.ask(index)
    state: Any = worker.store.connections.state
    for name in (keys.manifest(index.build), keys.commits(index.build)):
        for field in state.hkeys(name):
            state.hset(name, field, b"\xff\xfe\x80")
            job, found = asker.ask(index)
            assert job.state == "succeeded", (name, field, job.error)
            assert np.array_equal(found, truth), (name, field)


def lose_files(worker: Runtime, index: Index) -> None:
    """As an index has none that an earlier version built: what Redis loses is read back from them."""
    worker.store.index_data.published.remove(index.build)


def assert_near(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(
    ("fields", "method"),
    [
        ({"storage": "full"}, "datainf"),
        ({"storage": "full", "kronecker": True}, "ekfac"),
        ({"storage": "compact"}, "exact"),
    ],
)
def test_lost_commits_are_computed_again_and_the_index_is_what_it_was(
    worker: Runtime, build: Callable[..., Index], asker: Asker, fields: dict[str, Any], method: str
) -> None:
    index = build(**fields)
    assert index.shards > 1
    _, before = asker.ask(index, method=method)
    lose_files(worker, index)
    worker.store.connections.state.delete(keys.commits(index.build))
    assert_near(asker.restored(index, method=method), before)
    after = worker.store.indexes.require(index.id)
    assert after.built_by == index.job_id
    assert after.model_copy(update={"job_id": index.job_id, "built_by": None}) == index
    named: Any = worker.store.connections.state.hkeys(keys.manifest(index.build))
    parts = {field.decode() for field in named}
    assert not any(part.startswith(("moments-", "kronecker-")) for part in parts)


@pytest.mark.parametrize("damage", ["lose", "garble"])
def test_one_commit_costs_one_shard(worker: Runtime, build: Callable[..., Index], asker: Asker, damage: str) -> None:
    index = build(storage="full")
    _, before = asker.ask(index)
    state, name = worker.store.connections.state, keys.commits(index.build)
    others = state.hget(name, "0"), state.hget(name, "2")
    if damage == "lose":
        state.hdel(name, "1")
    else:
        state.hset(name, "1", b"\xff not a commit")
    assert_near(asker.restored(index), before)
    assert (state.hget(name, "0"), state.hget(name, "2")) == others


def test_a_grown_index_comes_back(worker: Runtime, build: Callable[..., Index], asker: Asker) -> None:
    old = build(ROWS[:60], storage="compact")
    index = build(ROWS, storage="compact", grow_from=old.id)
    _, before = asker.ask(index)
    lose_files(worker, index)
    worker.store.connections.state.delete(keys.commits(index.build))
    assert_near(asker.restored(index), before, 2e-3)
    assert worker.store.indexes.require(index.id).growth == index.growth


@pytest.mark.parametrize("lost", [ENCODER, MOMENTS, "manifest", "everything"])
def test_codes_without_their_basis_or_moments_are_made_anew(
    worker: Runtime, build: Callable[..., Index], asker: Asker, lost: str
) -> None:
    index = build(storage="compact")
    _, before = asker.ask(index, method="exact")
    lose_files(worker, index)
    if lost == "everything":
        worker.store.index_data.delete(index.id)
    elif lost == "manifest":
        worker.store.connections.state.hset(keys.manifest(index.build), f"{MOMENTS}.ranks", "no JSON")
    else:
        worker.store.index_data.delete_parts(index.build, lost)
    assert_near(asker.restored(index, method="exact"), before, 2e-3)
    assert worker.store.indexes.require(index.id).rows_indexed == index.rows_indexed


def test_embeddings_notice_lost_commits_too(worker: Runtime, build: Callable[..., Index], asker: Asker) -> None:
    index = build(storage="full")
    _, before = asker.ask(index, method="embedding")
    worker.store.connections.state.hdel(keys.commits(index.build), "2")
    assert_near(asker.restored(index, method="embedding"), before, 2e-3)


def test_lost_kronecker_factors_are_refused_by_name(build: Callable[..., Index], asker: Asker, worker: Runtime) -> None:
    index = build(storage="full", kronecker=True)
    worker.store.connections.state.delete(keys.manifest(index.build))
    job, _ = asker.ask(index, method="ekfac")
    assert (job.state, present(job.error)["code"]) == ("failed", "method_not_offered")
    assert asker.ask(index, method="datainf")[0].state == "succeeded"


def test_one_job_comes_of_it_however_many_notice(
    worker: Runtime, build: Callable[..., Index], finished: Callable[..., Job]
) -> None:
    index = build(storage="full")
    store = worker.store
    store.connections.state.delete(keys.commits(index.build))
    jobs = set()
    for _ in range(3):
        forget(worker, index.id)
        with pytest.raises(IndexNotReady) as caught:
            open_hot(worker, index, index.job_id)
        jobs.add(caught.value.extra["job_id"])
    assert len(jobs) == 1
    assert finished(store, jobs.pop()).state == "succeeded"
    assert {job.id for job in store.jobs.page(limit=10).data if job.resource_id == index.id} == {
        index.job_id,
        store.indexes.require(index.id).job_id,
    }


def test_an_index_that_cannot_be_built_again_says_why(
    worker: Runtime, build: Callable[..., Index], asker: Asker, finished: Callable[..., Job]
) -> None:
    index = build(storage="full")
    worker.store.connections.state.delete(keys.commits(index.build))
    worker.store.checkpoints.delete(index.spec.checkpoint_id)
    forget(worker, index.id)
    with pytest.raises(IndexNotReady) as caught:
        open_hot(worker, index, index.job_id)
    assert finished(worker.store, caught.value.extra["job_id"]).state == "failed"
    assert present(worker.store.indexes.require(index.id).error)["code"] == "not_found"
