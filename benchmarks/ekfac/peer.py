"""EK-FAC scores by kronfluence beside ours, on the same small modules and rows; prints one JSON line a module.

Runs in an interpreter that has the peer installed beside this project: `python -m benchmarks.ekfac.peer`. Both do the
same work: labels as they are (empirical Fisher), a tenth of the mean eigenvalue as damping, linear layers without bias,
float64. The peer counts every position of a row and we those that carry gradient: here, all of them. Its scores are
positive where a row helps, as ours are.
"""

import argparse
import json
import tempfile
from typing import Any

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from influence.methods.algebra.blocks import TrainBlock
from influence.methods.algebra.kronecker_factors import KroneckerSums
from influence.methods.ekfac import Ekfac
from workers.building.kronecker import ShardFactors
from workers.gradients.collector import GradientCollector
from workers.rows import Batch

Scores = NDArray[np.float64]

WIDTH, HIDDEN, CLASSES = 12, 10, 4
#: Positions per row of each module.
MODULES = {"one position": 1, "seven positions": 7}


class Network(nn.Module):
    """Two linear layers over every position (B, T, width), then the mean over positions: logits (B, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.second = nn.Linear(HIDDEN, CLASSES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.second(torch.tanh(self.first(x))).mean(dim=1)
        return logits


class Classify(Task):  # type: ignore[misc]
    """The peer's account of the same losses."""

    def compute_train_loss(self, batch: Any, model: nn.Module, sample: bool = False) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")

    def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
        return self.compute_train_loss(batch, model)


def score_with_peer(model: nn.Module, train: TensorDataset, test: TensorDataset) -> Scores:
    """Scores (m, n), positive is helpful."""
    double = torch.float64
    task = Classify()
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer("peer", prepare_model(model, task), task, output_dir=folder, cpu=True, disable_tqdm=True)
        factors = FactorArguments(
            use_empirical_fisher=True,
            activation_covariance_dtype=double,
            gradient_covariance_dtype=double,
            per_sample_gradient_dtype=double,
            lambda_dtype=double,
        )
        analyzer.fit_all_factors("factors", train, factor_args=factors, per_device_batch_size=32)
        scoring = ScoreArguments(
            damping_factor=None, per_sample_gradient_dtype=double, precondition_dtype=double, score_dtype=double
        )
        analyzer.compute_pairwise_scores(
            "scores",
            "factors",
            test,
            train,
            per_device_query_batch_size=16,
            per_device_train_batch_size=32,
            score_args=scoring,
        )
        found: Tensor = analyzer.load_pairwise_scores("scores")["all_modules"]
    return np.asarray(found.double().numpy())


def score_with_ours(model: nn.Module, train: TensorDataset, test: TensorDataset) -> Scores:
    """Scores (m, n), positive is helpful, through collector, factors and method as an index is built and asked."""
    collector = GradientCollector(model, row_losses)
    factors = ShardFactors()
    rows = collector.collect(batch_of(train), with_factors=True)
    factors.add(rows)
    sums: KroneckerSums = factors.sums()
    means = sums.means(list(rows.blocks))
    blocks = {
        name: TrainBlock(values, (values * values).sum(1), factors=means[name]) for name, values in rows.blocks.items()
    }
    method = Ekfac()
    influence = method.apply(method.prepare(blocks), collector.collect(batch_of(test)).blocks).influence
    return -np.asarray(influence)


def row_losses(model: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(model(batch.inputs["x"]), batch.labels, reduction="none")


def batch_of(rows: TensorDataset) -> Batch:
    return Batch({"x": rows.tensors[0]}, rows.tensors[1])


def make_rows(count: int, positions: int) -> TensorDataset:
    return TensorDataset(
        torch.randn(count, positions, WIDTH, dtype=torch.float64) * 0.7 ** torch.arange(WIDTH),
        torch.randint(CLASSES, (count,)),
    )


def compare(positions: int, seed: int) -> dict[str, float]:
    """Pearson correlation of all scores, and the largest difference over the largest score."""
    torch.manual_seed(seed)
    model = Network().double().eval()
    train, test = make_rows(300, positions), make_rows(16, positions)
    ours = score_with_ours(model, train, test)
    peer = score_with_peer(model, train, test)
    return {
        "correlation": float(np.corrcoef(ours.ravel(), peer.ravel())[0, 1]),
        "max_relative_error": float(np.abs(ours - peer).max() / np.abs(peer).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    for name, positions in MODULES.items():
        print(json.dumps({"module": name, **compare(positions, seed)}))


if __name__ == "__main__":
    main()
