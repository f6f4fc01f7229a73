"""A plan whose sampling takes long keeps no small build waiting, and no second plan samples beside it."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.rows import make_ticket_rows
from support.service import add_dataset, submit_index

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import Index
from workers.building import fit_basis, outlook
from workers.runtime.state import Runtime


class Sampling:
    """Stands around the sampling of plans: none gets on before it may."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._collect = fit_basis._collect

    def collect(self, runtime: Runtime, index: Index, *given: Any) -> Any:
        assert self.begun == self.ended, "one sample at a time is held in memory"
        self.begun.append(index.id)
        assert self.may_go_on.wait(600), "nobody let it go on"
        found = self._collect(runtime, index, *given)
        self.ended.append(index.id)
        return found


@pytest.fixture
def sampling(worker: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sampling]:
    made = Sampling()
    monkeypatch.setattr(fit_basis, "_collect", made.collect)
    monkeypatch.setattr(outlook, "_LONG_SECONDS", 0.0)
    yield made
    made.may_go_on.set()  # before the worker ends


def test_a_small_build_is_done_while_large_ones_sample(
    worker: Runtime, checkpoint: Checkpoint, finished: Any, sampling: Sampling
) -> None:
    store = worker.store
    large = [
        submit_index(store, checkpoint, add_dataset(store, worker.files, rows, "classification"), storage="compact")
        for rows in (make_ticket_rows(40), make_ticket_rows(50))
    ]
    rows = add_dataset(store, worker.files, make_ticket_rows(8), "classification")
    small = submit_index(store, checkpoint, rows, storage="full")
    assert finished(store, small.job_id).state == "succeeded"
    assert len(sampling.begun) == 1
    assert sampling.ended == []
    sampling.may_go_on.set()
    assert [finished(store, index.job_id).state for index in large] == ["succeeded"] * 2
    assert sorted(sampling.ended) == sorted(index.id for index in large)
