"""What a lower precision costs in scores, measured on a few rows of the index's own data set."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.arrays import on_host
from influence.contracts.common import Json
from influence.contracts.index import Index
from influence.evaluating.agreement import spearman
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.datainf import DataInf
from workers.rows import EncodedRow
from workers.runtime.models import HotModel
from workers.runtime.open import open_checkpoint, open_indexed_rows
from workers.runtime.row_stream import stream_rows
from workers.runtime.state import Runtime

#: Rows compared; the first of them serve as test points against all.
COMPARED_ROWS = 48
_TEST_POINTS = 16
_FEWEST_ROWS = 3
#: Under this mean rank correlation the index warns.
SPEARMAN_FLOOR = 0.98


def measure_precision(runtime: Runtime, index: Index, model: HotModel) -> Json | None:
    """Scores in the index's precision against the same in float32: mean and worst Spearman over test points, and the
    lowest cosine between a row's two gradients. None for float32, and where there is nothing to rank.
    """
    if index.spec.gradients.precision == "float32":
        return None
    settings = index.spec.gradients.model_copy(update={"precision": "float32"})
    rows = _read_rows(runtime, index, model)
    lower = _collect(runtime, model, rows)
    exact = _collect(runtime, open_checkpoint(runtime, index.spec.checkpoint_id, settings), rows)
    joined = [torch.cat(list(blocks.values()), dim=1) for blocks in (lower, exact)]
    # Rows that are not finite are the shards' to name; here they would only hide what the others cost.
    finite = torch.isfinite(joined[0]).all(dim=1) & torch.isfinite(joined[1]).all(dim=1)
    if int(finite.sum()) < _FEWEST_ROWS:
        return None
    found, truth = (_score({name: values[finite] for name, values in blocks.items()}) for blocks in (lower, exact))
    correlations = [spearman(one, true) for one, true in zip(found, truth, strict=True) if np.ptp(true) > 0]
    if not correlations:
        return None
    cosines = torch.nn.functional.cosine_similarity(joined[0][finite], joined[1][finite], dim=1)
    measured: Json = {
        "precision": index.spec.gradients.precision,
        "rows": int(finite.sum()),
        "cosine_worst": float(cosines.min()),
        "spearman_mean": float(np.mean(correlations)),
        "spearman_worst": float(np.min(correlations)),
        "warnings": [],
    }
    if measured["spearman_mean"] < SPEARMAN_FLOOR:
        measured["warnings"] = [
            f"In bfloat16 rows rank like in float32 only to a Spearman of {measured['spearman_mean']:.3f}; "
            "build with precision 'float32' if that is too little."
        ]
    return measured


def _read_rows(runtime: Runtime, index: Index, model: HotModel) -> list[EncodedRow]:
    file = open_indexed_rows(runtime, index)
    picks = np.unique(np.linspace(0, index.rows - 1, min(COMPARED_ROWS, index.rows)).astype(int))
    return model.task.tokenise(file.read_many(picks.tolist()))


def _collect(runtime: Runtime, model: HotModel, rows: Sequence[EncodedRow]) -> dict[str, Tensor]:
    """Gradients (rows, d) float32 a block, in row order."""
    found: dict[str, Tensor] = {}
    for positions, batch in stream_rows(runtime, model, rows):
        for name, values in batch.blocks.items():
            found.setdefault(name, values.new_zeros((len(rows), values.shape[1]), dtype=torch.float32))
            found[name][positions] = values.float()
    return found


def _score(gradients: dict[str, Tensor]) -> NDArray[np.float32]:
    """DataInf's influence of all rows on the first few."""
    method = DataInf()
    state = method.prepare({name: TrainBlock.of(values) for name, values in gradients.items()})
    test = {name: values[:_TEST_POINTS] for name, values in gradients.items()}
    return on_host(method.apply(state, test).influence)
