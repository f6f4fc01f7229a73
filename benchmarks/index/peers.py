"""The same work by other means: DataInf scores of some rows for some test points, from model and rows to scores.

Runs in an interpreter that has the peer installed beside this project; prints one JSON line. `build` is everything
that is done once an index, `query` everything for the test points. Agreement is with the formula in float64.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.index.fidelity import damping_of, score_blocks
from benchmarks.index.gradients import Work, collect, reference_work
from influence.compact.coded_rows import CodedRows
from influence.compact.encoder import fit_encoder
from influence.compact.scan import scan_codes
from influence.evaluating.agreement import rank_correlations
from influence.methods.codes.form import CodeForm
from influence.methods.datainf import invert_datainf

RANK = 8


@dataclass(frozen=True)
class Outcome:
    """Scores (m, n), positive is helpful; seconds and the bytes kept between queries."""

    scores: NDArray[np.float64]
    build_seconds: float
    query_seconds: float
    kept_bytes: int
    note: str = ""


class _Packed(nn.Module):
    """The model as peers call it: one tensor in, (rows, 2, tokens) of ids and mask, logits out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, packed: Tensor) -> Tensor:
        ids, seen = packed[:, 0], packed[:, 1]
        # Given as a full bias: building it from a mask asks whether all is true, which torch.func cannot vectorise.
        bias = torch.where(seen == 1, 0.0, -1e9)[:, None, None, :].expand(-1, 1, seen.shape[1], -1)
        return self.model(input_ids=ids, attention_mask=bias).logits  # type: ignore[no-any-return]


def run_ours(work: Work, damping: list[float]) -> Outcome:
    started = time.perf_counter()
    train = collect(Work(work.name, work.model, work.task, work.train, work.test[:1])).train
    encoder = fit_encoder([torch.from_numpy(block[:1000]) for block in train], rank=RANK).like(train[0])
    rows = encoder.project(train)
    coded = CodedRows.encode(encoder, rows)
    built = time.perf_counter()
    test = collect(Work(work.name, work.model, work.task, work.test, work.test[:1])).train
    state = CodeForm(invert_datainf).prepare(coded, 0.1)
    scores = scan_codes(coded.codes, state.vectors(encoder.project(test)))
    return _outcome(scores, started, built, coded.codes.nbytes, "compact, not re-ranked")


def run_loop(work: Work, damping: list[float]) -> Outcome:
    """The paper's way: a backward a row, then the formula row by row and block by block."""
    started = time.perf_counter()
    train = _loop_gradients(work, work.train)
    built = time.perf_counter()
    test = _loop_gradients(work, work.test)
    scores = np.zeros((len(test), len(train)))
    for place, point in enumerate(test):
        directions = [torch.zeros_like(block) for block in point]
        for row in train:
            for block, (v, g) in enumerate(zip(point, row, strict=True)):
                if damping[block] > 0:
                    weight = (v * g).sum() / (damping[block] + (g * g).sum())
                    directions[block] += (v - weight * g) / (len(train) * damping[block])
        for other, row in enumerate(train):
            scores[place, other] = sum(float((r * g).sum()) for r, g in zip(directions, row, strict=True))
    return _outcome(scores, started, built, 4 * len(train) * sum(block.numel() for block in train[0]))


def run_pydvl(work: Work, damping: list[float]) -> Outcome:
    from pydvl.influence.torch import InverseHarmonicMeanInfluence

    model = _Packed(work.model)
    for name, weight in model.named_parameters():
        weight.requires_grad_(weight.requires_grad and "bias" not in name)
    names = _block_names(model)
    (x, y), (test_x, test_y) = _tensors(work, work.train), _tensors(work, work.test)
    started = time.perf_counter()
    structure = {name: [name] for name in names}
    # pyDVL 0.10 refuses a dictionary of known blocks alone (the test is the wrong way round): one key too many.
    regularization = {**dict(zip(names, damping, strict=True)), "no block": 1.0}
    influence = InverseHarmonicMeanInfluence(
        model,
        nn.functional.cross_entropy,
        regularization=regularization,
        block_structure=structure,
    ).fit(DataLoader(TensorDataset(x, y), batch_size=32))
    built = time.perf_counter()
    values = influence.influences(test_x, test_y, x, y)
    return _outcome(values.detach().numpy(), started, built, 0, "reads the training rows again at every query")


def run_dattri(work: Work, damping: list[float]) -> Outcome:
    from dattri.algorithm.influence_function import IFAttributorDataInf
    from dattri.task import AttributionTask

    model = _Packed(work.model)
    names = _block_names(model)

    def loss(parameters: dict[str, Tensor], data: tuple[Tensor, Tensor]) -> Tensor:
        packed, label = data
        logits = torch.func.functional_call(model, parameters, packed[None] if packed.ndim == 2 else packed)
        return nn.functional.cross_entropy(logits, label.reshape(-1))

    loaders = [DataLoader(TensorDataset(*_tensors(work, rows)), batch_size=16) for rows in (work.train, work.test)]
    started = time.perf_counter()
    attributor = IFAttributorDataInf(
        AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict()),
        layer_name=names,
        regularization=float(np.mean(damping)),
    )
    attributor.cache(loaders[0])
    built = time.perf_counter()
    with torch.no_grad():
        scores = attributor.attribute(loaders[0], loaders[1]).T
    kept = sum(found.nbytes for found in attributor._cached_train_reps.values())
    return _outcome(scores.numpy(), started, built, kept, "one damping for all blocks; gradients again at every query")


RUNS: dict[str, Callable[[Work, list[float]], Outcome]] = {
    "ours": run_ours,
    "loop": run_loop,
    "pydvl": run_pydvl,
    "dattri": run_dattri,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=RUNS)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--tests", type=int, default=10)
    options = parser.parse_args()
    work = reference_work(options.shared, rows=options.rows, tests=options.tests)
    gradients = collect(work)
    damping = damping_of(gradients.train)
    true = score_blocks(gradients.train, gradients.test, damping)
    outcome = RUNS[options.peer](work, damping)
    line = {
        "rows": options.rows,
        "tests": options.tests,
        "build_seconds": outcome.build_seconds,
        "query_seconds": outcome.query_seconds,
        "kept_bytes_per_row": outcome.kept_bytes / options.rows,
        "spearman": float(rank_correlations(true, outcome.scores).mean()),
        "note": outcome.note,
    }
    print(json.dumps(line))


def _outcome(scores: NDArray[Any], started: float, built: float, kept: int, note: str = "") -> Outcome:
    return Outcome(np.asarray(scores, np.float64), built - started, time.perf_counter() - built, kept, note)


def _loop_gradients(work: Work, rows: list[Any]) -> list[list[Tensor]]:
    wanted = [weight for name, weight in work.model.named_parameters() if weight.requires_grad and "bias" not in name]
    found = []
    for row in rows:
        loss = work.task.row_losses(work.model, work.task.collate(work.task.tokenise([row])))
        found.append(list(torch.autograd.grad(loss.sum(), wanted)))
    return found


def _block_names(model: nn.Module) -> list[str]:
    return [name for name, weight in model.named_parameters() if weight.requires_grad and "bias" not in name]


def _tensors(work: Work, rows: list[Any]) -> tuple[Tensor, Tensor]:
    batch = work.task.collate(work.task.tokenise(rows))
    return torch.stack([batch.inputs["input_ids"], batch.inputs["attention_mask"]], 1), batch.labels


if __name__ == "__main__":
    main()
