"""How close EK-FAC comes to the exact solve, on the reference adapter: rank correlations of methods, as JSON.

`python -m benchmarks.ekfac.reference --shared ../shared`: means over test points, each method at its default damping.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.index.gradients import Work, reference_work
from influence.evaluating.agreement import share_found
from influence.evaluating.dampings import TOP, mean_rank_correlations
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.registry import METHODS
from workers.batching.budget import TokenBudget
from workers.batching.stream import BatchOptions, stream_gradients
from workers.building.kronecker import ShardFactors
from workers.gradients.collector import GradientCollector
from workers.rows import Row

COMPARED = ("ekfac", "exact", "joint", "datainf", "hessian_free")
AGAINST = "exact"


def collect(
    collector: GradientCollector, work: Work, rows: Sequence[Row], factors: ShardFactors | None
) -> dict[str, Tensor]:
    """Gradients (rows, d) a block; their Kronecker factors are added to `factors`."""
    found = {block.name: torch.empty(len(rows), block.parameters) for block in collector.blocks}
    device = torch.device("cpu")
    for positions, batch in stream_gradients(
        collector,
        work.task.tokenise(rows),
        work.task.collate,
        BatchOptions(device, TokenBudget.for_device(device)),
        with_factors=factors is not None,
    ):
        if factors is not None:
            factors.add(batch)
        for name, values in batch.blocks.items():
            found[name][positions] = values
    return found


def compare(work: Work) -> dict[str, dict[str, float]]:
    """Of each method: Spearman and the share of the first rows in common with the exact solve."""
    collector, factors = GradientCollector(work.model, work.task.row_losses), ShardFactors()
    train = collect(collector, work, work.train, factors)
    test = collect(collector, work, work.test, None)
    means = factors.sums().means(list(train))
    blocks = {
        name: TrainBlock(values, (values * values).sum(1), factors=means.get(name)) for name, values in train.items()
    }
    scores = {}
    for name in COMPARED:
        method = METHODS[name]
        scores[name] = np.asarray(method.apply(method.prepare(blocks), test).influence, np.float64)
    correlations = mean_rank_correlations(list(scores.values()))[COMPARED.index(AGAINST)]
    return {
        name: {
            "spearman": round(float(agreed), 3),
            "overlap": round(share_found(scores[AGAINST], scores[name], TOP, TOP), 3),
        }
        for name, agreed in zip(COMPARED, correlations, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--tests", type=int, default=20)
    options = parser.parse_args()
    if not (options.shared / "reference").is_dir():
        raise SystemExit(f"The reference does not lie in {options.shared}.")
    print(json.dumps(compare(reference_work(options.shared, rows=options.rows, tests=options.tests)), indent=2))


if __name__ == "__main__":
    main()
