"""Scores in the optimiser's metric over HTTP, on both storages, against dense float64 algebra of rows' gradients."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.oracle import loop_gradients
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.tiny import TinyCheckpoint
from support.trials.bench import Bench

from influence.contracts.index import GradientSettings
from influence.store import keys
from influence.store.data.files import Files
from workers.loading.checkpoint import load_checkpoint
from workers.loading.options import LoadOptions

ROWS = make_ticket_rows(80)
TEST = make_ticket_rows(3, seed=9)
NAMES = '["billing", "access", "delivery"]'


def write_out(bench: Bench, checkpoint: dict[str, Any], folder: Path, batch_rows: int) -> NDArray[np.float64]:
    """Influence (3, n), all parameters in one matrix."""
    known = bench.store.checkpoints.require(checkpoint["id"])
    adapter = Files(folder / "data").adapter(str(known.adapter_digest))
    loaded = load_checkpoint(known, adapter, GradientSettings(max_length=64), LoadOptions(cache_dir=folder))
    test, rows = (np.concatenate(loop_gradients(loaded, part), 1) for part in (TEST, ROWS))
    moment = np.mean(rows**2, 0) / batch_rows + (1 - 1 / batch_rows) * np.mean(rows, 0) ** 2
    roots = (np.sqrt(moment) + 0.1 * np.median(np.sqrt(moment[moment > 0]))) ** -0.5
    test, rows = test * roots, rows * roots
    coefficients = np.linalg.inv(np.eye(len(rows)) + rows @ rows.T / (10.0 * len(rows)))
    return np.asarray(-test @ rows.T @ coefficients)


def test_both_storages_answer_what_is_written_out_with_the_batch_size_of_the_request(
    bench: Bench, tiny: TinyCheckpoint, tmp_path: Path
) -> None:
    checkpoint, dataset = bench.checkpoint(tiny, label_names=NAMES), bench.dataset(ROWS)
    truth = write_out(bench, checkpoint, tmp_path, 8)
    full = bench.index(checkpoint, dataset, batch_rows=8)
    query = bench.query(full, examples=TEST, method="preconditioned", k=5, include=["blocks"])
    found = np.asarray(bench.get(f"/v1/queries/{query['id']}/scores")["influence"])
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-4 * np.abs(truth).max())
    compact = bench.index(checkpoint, dataset, storage="compact", rank=32, metric="optimizer", batch_rows=8)
    assert compact["id"] != bench.index(checkpoint, dataset, storage="compact", rank=32)["id"]
    assert compact["fidelity"]["methods"].keys() == {"preconditioned"}
    assert compact["damping"] is None
    assert 0 < compact["gradient_lengths"]["count"] <= 1
    assert compact["gradient_lengths"]["mean"] > full["gradient_lengths"]["mean"] > 0
    query = bench.query(compact, examples=TEST, method="preconditioned", exact=True, k=5, include=["blocks"])
    for result, influence in zip(query["results"], truth, strict=True):
        for row in result["helpful"] + result["harmful"]:
            # The preconditioner is the sample's, which left out the rows that fidelity was measured with.
            assert row["influence"] == pytest.approx(influence[row["row_index"]], rel=0.2)
            assert sum(row["blocks"].values()) == pytest.approx(row["influence"], rel=1e-3)
        order = np.argsort(influence)
        assert result["helpful"][0]["row_index"] in order[:3]


def test_codes_of_one_metric_refuse_methods_of_the_other_by_name(bench: Bench, tiny: TinyCheckpoint) -> None:
    checkpoint, dataset = bench.checkpoint(tiny, label_names=NAMES), bench.dataset(ROWS)
    index = bench.index(checkpoint, dataset, storage="compact", metric="optimizer")
    plain = bench.index(checkpoint, dataset, storage="compact")
    for asked, method in ((index, "datainf"), (plain, "preconditioned")):
        answer = bench.client.post(f"/v1/indexes/{asked['id']}/queries", json={"examples": TEST, "method": method})
        problem = assert_problem(answer, 422, "method_not_offered")
        assert "build an index with metric" in problem["hint"]
    assert plain["spec"]["batch_rows"] == 1
    sweep = bench.sweep(index, examples=TEST, method="preconditioned", damping_scales=[1.0, 10.0])
    assert len(sweep["result"]["rows"]) == 2
    audit = bench.audit(index, method="preconditioned", signals=["self_influence", "loss"])
    assert audit["state"] == "succeeded"


def test_a_metric_of_full_storage_is_refused(bench: Bench, tiny: TinyCheckpoint) -> None:
    checkpoint, dataset = bench.checkpoint(tiny, label_names=NAMES), bench.dataset(ROWS)
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"]}
    answer = bench.client.post("/v1/indexes", json={**ids, "storage": "full", "metric": "optimizer"})
    assert "full storage answers in both" in assert_problem(answer, 422, "invalid_request")["detail"]


def test_an_index_grows_with_its_preconditioner_and_only_in_its_metric(bench: Bench, tiny: TinyCheckpoint) -> None:
    checkpoint = bench.checkpoint(tiny, label_names=NAMES)
    old = bench.index(checkpoint, bench.dataset(ROWS[:70]), storage="compact", metric="optimizer", batch_rows=4)
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": bench.dataset(ROWS)["id"]}
    answer = bench.client.post("/v1/indexes", json={**ids, "max_length": 64, "grow_from": old["id"]})
    assert "metric 'optimizer' and batch_rows 4" in assert_problem(answer, 422, "invalid_request")["hint"]
    grown = bench.index(checkpoint, {"id": ids["dataset_id"]}, grow_from=old["id"], metric="optimizer", batch_rows=4)
    assert grown["growth"]["rows_reused"] == 70
    assert bench.query(grown, examples=TEST, method="preconditioned")["rows_scored"] == 80


def test_the_preconditioner_goes_with_its_index(bench: Bench, tiny: TinyCheckpoint) -> None:
    checkpoint, dataset = bench.checkpoint(tiny, label_names=NAMES), bench.dataset(ROWS)
    index = bench.index(checkpoint, dataset, storage="compact", metric="optimizer")
    build = bench.store.indexes.require(index["id"]).build
    name = keys.index_state(build, "encoder.roots", 0)
    state = bench.store.index_data._state
    assert state.exists(name)
    assert bench.client.delete(f"/v1/indexes/{index['id']}").status_code == 204
    assert not state.exists(name)
