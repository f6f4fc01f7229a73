"""Against saved float64 gradients and scores of a real adapter, where the reference lies beside the repository."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.gradients.dense_algebra import Convert

from influence.methods.algebra.blocks import TrainBlock
from influence.methods.base import score_rows
from influence.methods.registry import METHODS

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "reference" / "sst2_r8"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the reference scores are not beside the repository")


@pytest.fixture(scope="module")
def saved() -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(FOLDER / "gradients_sample.npz") as arrays:
        sample = {name: arrays[name] for name in arrays.files}
    with np.load(FOLDER / "scores.npz") as arrays:
        scores = {name: arrays[name] for name in arrays.files}
    return sample, scores


def blocks_of(sample: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {str(index): np.atleast_2d(sample[f"{prefix}_{index}"]) for index in range(len(sample["names"]))}


@pytest.mark.parametrize("method", ["datainf", "exact"])
def test_saved_directions_score_with_the_saved_sign(saved: tuple[dict[str, Any], dict[str, Any]], method: str) -> None:
    sample, scores = saved
    train = {name: TrainBlock.of(rows) for name, rows in blocks_of(sample, "train").items()}
    found = score_rows(train, blocks_of(sample, f"hvp_{method}"), rows=None, per_block=False).influence
    np.testing.assert_allclose(found[0], scores[f"score_{method}"][sample["train_rows"]], rtol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_hessian_free_equals_the_saved_scores(
    saved: tuple[dict[str, Any], dict[str, Any]], convert: Convert, dtype: str, tolerance: float
) -> None:
    sample, scores = saved
    train = {name: TrainBlock.of(convert(rows, dtype)) for name, rows in blocks_of(sample, "train").items()}
    test = {name: convert(rows, dtype) for name, rows in blocks_of(sample, "val_mean").items()}
    method = METHODS["hessian_free"]
    found = np.asarray(method.apply(method.prepare(train), test).influence)
    np.testing.assert_allclose(found[0], scores["score_hessian_free"][sample["train_rows"]], rtol=tolerance)


def test_norms_equal_the_saved_norms(saved: tuple[dict[str, Any], dict[str, Any]]) -> None:
    sample, scores = saved
    for index, rows in enumerate(blocks_of(sample, "train").values()):
        expected = scores["grad_sqnorm"][sample["train_rows"], index]
        np.testing.assert_allclose(TrainBlock.of(rows).squared_norms, expected, rtol=1e-12)
