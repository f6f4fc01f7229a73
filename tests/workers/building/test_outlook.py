"""What a build is expected to take before anything of it is measured."""

import pytest

from influence.contracts.common import now
from influence.contracts.index import Block, Index, IndexSpec
from influence.contracts.work import INDEX
from workers.building.outlook import Outlook
from workers.runtime.state import Runtime

EARLIER_RATE = 10.0
BLOCKS = tuple(Block(name=f"layer.{layer}", parameters=3000, shape=(8, 375)) for layer in range(25))


def make_index(rows: int, grow_from: str | None = None, rate: float | None = None) -> Index:
    spec = IndexSpec(checkpoint_id="ckpt_a", dataset_id="ds_a", storage="compact", grow_from=grow_from)
    timings = None if rate is None else {"rows_per_second": rate}
    return Index(**{**INDEX.begin("idx_a"), "created_at": now()}, spec=spec, rows=rows, blocks=BLOCKS, timings=timings)


def expected_seconds(worker: Runtime, index: Index, *, sampled: int, reused: int) -> float:
    worker.store.jobs.create(index.job_id, "index", index.id, "/v1/indexes/idx_a")
    worker.store.jobs.start(index.job_id)
    Outlook(worker, index).learn_earlier(make_index(600, rate=EARLIER_RATE), sampled=sampled, reused=reused)
    worker.store.jobs.set_phase(index.job_id, "loading", total=1, unit="models")
    eta = worker.store.jobs.require(index.job_id).progress.eta_seconds
    assert eta is not None
    return eta


def test_of_a_grown_index_only_rows_that_came_are_expected_to_take_time(worker: Runtime) -> None:
    grown = expected_seconds(worker, make_index(1000, grow_from="idx_b"), sampled=0, reused=600)
    assert grown == pytest.approx(400 / EARLIER_RATE, abs=5.0)


def test_a_basis_of_many_rows_is_not_expected_to_take_longer_than_its_gradients(worker: Runtime) -> None:
    made = expected_seconds(worker, make_index(4000), sampled=1184, reused=0)
    assert made == pytest.approx(4000 / EARLIER_RATE, abs=30.0)
