"""A worker on threads of this process, a tiny checkpoint and rows."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker
from support.tiny import TinyCheckpoint, make_classifier

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.job import Job
from influence.contracts.query import Query
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.runtime.state import Runtime

Finished = Callable[[Store, str], Job]


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture
def worker(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Runtime]:
    with running_worker(server.url, tmp_path / "data") as runtime:
        yield runtime


@pytest.fixture
def checkpoint(worker: Runtime, classifier: TinyCheckpoint) -> Checkpoint:
    return add_checkpoint(worker.store, worker.files, classifier, "sequence_classification")


@pytest.fixture
def dataset(worker: Runtime) -> Dataset:
    return add_dataset(worker.store, worker.files, make_ticket_rows(60), "classification")


@pytest.fixture
def finished(wait_until: Callable[..., None]) -> Finished:
    """Wait for a job's end."""

    def wait(store: Store, job_id: str) -> Job:
        wait_until(lambda: store.jobs.require(job_id).is_final, f"{job_id} is final")
        return store.jobs.require(job_id)

    return wait


@pytest.fixture
def answered(finished: Finished) -> Callable[[Store, Query], Query]:
    """Wait for a query's answer."""

    def wait(store: Store, query: Query) -> Query:
        assert finished(store, query.job_id).state == "succeeded", store.queries.require(query.id).error
        return store.queries.require(query.id)

    return wait
