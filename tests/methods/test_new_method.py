"""A method the product never heard of: one class and one entry, and all that a method is asked for works.

It is the gradient product with each block divided by its damping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from support.answered import present
from support.oracle import loop_gradients
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.tiny import TinyCheckpoint
from support.trials.bench import Bench

from influence.arrays import Array
from influence.compact.coded_rows import CodedRows
from influence.compact.inverse import Inverse, invert_dampings
from influence.contracts.index import GradientSettings
from influence.damping import block_dampings, inverse_damping
from influence.methods.algebra.blocks import TrainBlock, Vectors, check_blocks
from influence.methods.base import LinearMethod
from influence.methods.codes.form import CodeForm
from influence.methods.registry import METHODS
from influence.store.data.files import Files
from workers.loading.checkpoint import load_checkpoint
from workers.loading.options import LoadOptions

ROWS = make_ticket_rows(80)
TEST = make_ticket_rows(3, seed=9)


@dataclass(frozen=True, slots=True, eq=False)
class EvenState:
    blocks: Mapping[str, TrainBlock]
    dampings: Mapping[str, float]


def invert_evenly(rows: CodedRows, damping: Sequence[float]) -> Inverse:
    factors = invert_dampings(damping)
    basis = rows.encoder.basis
    inside = [np.eye(rank) * factor for rank, factor in zip(basis.ranks, factors, strict=True)]
    return Inverse(tuple(inside), basis.spans, factors)


class Even(LinearMethod[EvenState]):
    name: ClassVar[str] = "even"
    title: ClassVar[str] = "Even blocks"
    summary: ClassVar[str] = "Gradient product with each block divided by its damping."
    cost: ClassVar[str] = "one pass"
    default_damping_scale: ClassVar[float | None] = 0.5
    on_codes: ClassVar[CodeForm | None] = CodeForm(invert_evenly)

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> EvenState:
        check_blocks(blocks)
        return EvenState(blocks, block_dampings(blocks, self.damping_scale(damping_scale)))

    def directions(self, state: EvenState, test: Vectors) -> dict[str, Array]:
        return {name: test[name] * inverse_damping(damping) for name, damping in state.dampings.items()}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a new method has to bring beside its class."""
    monkeypatch.setitem(METHODS, Even.name, Even())


@pytest.fixture(params=["full", "compact"])
def index(request: pytest.FixtureRequest, bench: Bench, tiny: TinyCheckpoint) -> dict[str, Any]:
    checkpoint = bench.checkpoint(tiny, label_names='["billing", "access", "delivery"]')
    return bench.index(checkpoint, bench.dataset(ROWS), storage=request.param, rank=32)


def write_out(bench: Bench, index: dict[str, Any], folder: Path) -> tuple[Any, Any]:
    """Influence (3, n) of the rows and scores (n,) of the rows on themselves, one row at a time in float64."""
    checkpoint = bench.store.checkpoints.require(index["spec"]["checkpoint_id"])
    loaded = load_checkpoint(
        checkpoint,
        Files(folder / "data").adapter(present(checkpoint.adapter_digest)),
        GradientSettings(max_length=64),
        LoadOptions(cache_dir=folder),
    )
    test, train = loop_gradients(loaded, TEST), loop_gradients(loaded, ROWS)
    dampings = [0.5 * float((block**2).sum(1).mean()) / block.shape[1] for block in train]
    pairs = zip(test, train, dampings, strict=True)
    influence = -sum(points @ rows.T / damping for points, rows, damping in pairs)
    return influence, sum((rows**2).sum(1) / damping for rows, damping in zip(train, dampings, strict=True))


def test_a_new_method_is_listed_with_what_it_can_do(bench: Bench) -> None:
    listed = {method["name"]: method for method in bench.get("/v1/methods")["data"]}
    assert listed["even"]["storages"] == ["full", "compact"]
    assert listed["even"]["has_self_influence"]
    assert listed["even"]["default_damping_scale"] == 0.5


def test_a_new_method_answers_on_both_storages(bench: Bench, index: dict[str, Any], tmp_path: Path) -> None:
    truth, own = write_out(bench, index, tmp_path)
    query = bench.query(index, examples=TEST, method="even", exact=True, k=5, include=["blocks"])
    found = np.asarray(bench.get(f"/v1/queries/{query['id']}/scores")["influence"])
    np.testing.assert_allclose(found, truth, atol=0.02 * np.abs(truth).max())
    assert query["damping_scale"] == 0.5
    for result, influence in zip(query["results"], truth, strict=True):
        for row in result["helpful"] + result["harmful"]:
            assert row["influence"] == pytest.approx(influence[row["row_index"]], rel=1e-3)
            assert sum(row["blocks"].values()) == pytest.approx(row["influence"], rel=1e-3)
    audit = bench.audit(index, method="even", signals=["self_influence"])
    rows = bench.get(f"/v1/audits/{audit['id']}/rows?length=100")["data"]
    by_row = {row["row_index"]: row["self_influence"] for row in rows}
    np.testing.assert_allclose([by_row[row] for row in range(len(ROWS))], own, rtol=0.1)
    sweep = bench.sweep(index, examples=TEST, method="even", damping_scales=[0.5, 2.0])
    assert [row["damping_scale"] for row in sweep["result"]["rows"]] == [0.5, 2.0]
    if index["spec"]["storage"] == "compact":
        assert index["fidelity"]["methods"]["even"] > 0.9


def test_a_method_without_a_code_form_is_offered_on_full_storage_alone(
    bench: Bench, index: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Even, "on_codes", None)
    listed = {method["name"]: method for method in bench.get("/v1/methods")["data"]}
    assert listed["even"]["storages"] == ["full"]
    if index["spec"]["storage"] == "full":
        assert bench.query(index, examples=TEST, method="even")["state"] == "succeeded"
        return
    asked = {"examples": TEST, "method": "even"}
    problem = assert_problem(
        bench.client.post(f"/v1/indexes/{index['id']}/queries", json=asked), 422, "method_not_offered"
    )
    assert "storage 'full'" in problem["hint"]
