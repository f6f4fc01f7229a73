"""Gradients of an experiment's rows in memory, and the influence that each method makes of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.arrays import cast, on_host
from influence.compact.coded_rows import CodedRows
from influence.compact.encoder import KEPT_VECTORS, fit_encoder
from influence.contracts.evaluation.experiment import MethodChoice
from influence.contracts.index import Metric
from influence.errors import DoesNotFit, NonFiniteGradients
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.algebra.kronecker_factors import Pair
from influence.methods.algebra.rescaled import with_roots
from influence.methods.base import Method
from influence.methods.registry import get_method
from workers.batching.stream import stream_gradients
from workers.building.kronecker import ShardFactors
from workers.gradients.collector import Collector, GradientCollector
from workers.indexes.compact import CompactIndex
from workers.rows import EncodedRow
from workers.runtime.row_stream import batch_options
from workers.runtime.state import Runtime
from workers.tasks.base import OfTokens, Pictured, Task

#: Rows that a compact index's basis is fitted to, as a build does.
_SAMPLE_ROWS = 1024
#: Test points scored at a time, between two looks at whether the work is still wanted.
_POINTS_PER_PASS = 32
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Collected:
    """Gradients (n, d) float32 a block on the worker's device, the rows' own losses (n,), Kronecker factors if any."""

    blocks: dict[str, Tensor]
    losses: NDArray[np.float64]
    factors: Mapping[str, Pair] = field(default_factory=dict)


def collect(
    runtime: Runtime,
    model: torch.nn.Module,
    task: Task,
    encoded: Sequence[EncodedRow],
    report: Callable[[int], None] = lambda _rows: None,
    *,
    with_factors: bool = False,
    collector: Collector | None = None,
) -> Collected:
    """Gradients of rows in order, with their Kronecker factors where asked; `report` hears of rows batch by batch
    and may raise. A `collector` is given where an index's own settings say what gradients are taken of.

    Raises DoesNotFit when they would not fit the worker's memory budget, NonFiniteGradients naming rows.
    """
    collector = collector or GradientCollector(model, task.row_losses)
    _check_room(runtime, len(encoded), sum(block.parameters for block in collector.blocks))
    blocks = {
        block.name: torch.empty(len(encoded), block.parameters, device=runtime.device) for block in collector.blocks
    }
    losses, factors = np.empty(len(encoded)), ShardFactors()
    stream = stream_gradients(collector, encoded, task.collate, batch_options(runtime), with_factors=with_factors)
    for positions, found in stream:
        _refuse_non_finite([encoded[positions[row]].row_id for row in found.find_non_finite()])
        losses[positions] = found.losses.double().cpu().numpy()
        for name, values in found.blocks.items():
            blocks[name][positions] = values.float()
        if with_factors:
            factors.add(found)
        report(len(positions))
    return Collected(blocks, losses, factors.sums().means(list(blocks)))


def share_gradients(task: Task, choices: Sequence[MethodChoice]) -> list[tuple[Task, list[MethodChoice]]]:
    """The choices in parts that ask for gradients of the same, each with the task that gives them."""
    parts: dict[object, list[MethodChoice]] = {}
    for choice in choices:
        parts.setdefault(choice.gradients, []).append(choice)
    return [(_measure(task, part[0]), part) for part in parts.values()]


def _measure(task: Task, choice: MethodChoice) -> Task:
    if choice.measurement != "loss":
        assert isinstance(task, Pictured)
        return task.measured_by(choice.measurement)
    if choice.reduction is not None:
        assert isinstance(task, OfTokens)
        return task.reduced_by(choice.reduction)
    return task


def open_scorer(
    runtime: Runtime,
    model: torch.nn.Module,
    task: Task,
    rows: tuple[Sequence[EncodedRow], Sequence[EncodedRow]],
    choices: Sequence[MethodChoice],
    report: Callable[[int], None],
    *,
    batch_rows: int,
) -> tuple["Scorer", dict[str, Tensor]]:
    """A scorer of the training rows in (training, test) `rows` for these choices, and the test rows' gradients (m, d)
    a block. The model was trained by steps of `batch_rows` rows.

    Kronecker factors are summed over training rows, and only for methods that need them. `report` hears of rows done,
    and of 0 between the scorer's pieces of work, and may raise. Raises DoesNotFit, NonFiniteGradients.
    """
    train_rows, test_rows = rows
    with_factors = any(get_method(choice.method).needs_factors for choice in choices)
    train = collect(runtime, model, task, train_rows, report, with_factors=with_factors)
    test = collect(runtime, model, task, test_rows, report)
    return Scorer(runtime, train, lambda: report(0), batch_rows), test.blocks


@dataclass
class Scorer:
    """Scores one set of training rows by many methods; norms are taken and an encoder of a rank is fitted once.

    `touch` is called between pieces of work and may raise.
    """

    runtime: Runtime
    train: Collected
    touch: Callable[[], None] = lambda: None
    batch_rows: int = 1
    _compact: dict[tuple[int, Metric], CompactIndex] = field(default_factory=dict)

    @cached_property
    def blocks(self) -> dict[str, TrainBlock]:
        """The training rows as methods read them."""
        found = {name: TrainBlock.of(values) for name, values in self.train.blocks.items()}
        return {name: replace(block, factors=self.train.factors.get(name)) for name, block in found.items()}

    @cached_property
    def _rooted(self) -> dict[str, TrainBlock]:
        """The same with what leads to the optimiser's metric."""
        return with_roots(self.blocks, self.batch_rows)

    def influence(self, choice: MethodChoice, test: Mapping[str, Tensor]) -> Floats:
        """Influence (m, n) of training rows on test gradients (m, d) a block; negative = helpful."""
        score = self._prepare(choice)
        parts: list[Floats] = []
        for start in range(0, len(next(iter(test.values()))), _POINTS_PER_PASS):
            self.touch()
            parts.append(score({name: rows[start : start + _POINTS_PER_PASS] for name, rows in test.items()}))
        return np.concatenate(parts)

    def self_influence(self, choice: MethodChoice) -> Floats:
        """Score (n,) of every training row on itself. Raises MethodNotOffered."""
        method = get_method(choice.method, "full")
        state = method.prepare(self._blocks_for(method), choice.damping_scale)
        return on_host(cast(method.self_influence(state), "float64"))

    def _blocks_for(self, method: Method[Any]) -> dict[str, TrainBlock]:
        return self._rooted if method.metric == "optimizer" else self.blocks

    def _prepare(self, choice: MethodChoice) -> Callable[[Mapping[str, Tensor]], Floats]:
        if choice.storage == "compact":
            metric = get_method(choice.method, "compact").metric
            of_codes = self._index(choice.rank, metric).scorer(choice.method, choice.damping_scale)
            return lambda test: of_codes(test).astype(np.float64)
        method = get_method(choice.method, "full")
        state = method.prepare(self._blocks_for(method), choice.damping_scale)
        return lambda test: on_host(cast(method.apply(state, test).influence, "float64"))

    def _index(self, rank: int, metric: Metric) -> CompactIndex:
        if (rank, metric) not in self._compact:
            gradients = list(self.train.blocks.values())
            rows = len(gradients[0])
            sample = np.sort(np.random.default_rng(0).permutation(rows)[:_SAMPLE_ROWS])
            encoder = fit_encoder(
                [block[torch.from_numpy(sample)] for block in gradients],
                rank=rank,
                metric=metric,
                batch_rows=self.batch_rows,
                vectors=KEPT_VECTORS,
            )
            self._compact[rank, metric] = CompactIndex(
                CodedRows.encode(encoder, encoder.project(gradients)),
                np.arange(rows),
                self.train.losses.astype(np.float32),
                threads=torch.get_num_threads(),
            )
        return self._compact[rank, metric]


def _check_room(runtime: Runtime, rows: int, parameters: int) -> None:
    needed, budget = 4 * rows * parameters, runtime.settings.memory_budget_bytes
    if needed > budget:
        raise DoesNotFit(
            f"Gradients of {rows:,} rows with {parameters:,} parameters take {needed:,} bytes, more than the "
            f"{budget:,} that a worker may hold.",
            hint="Ask for fewer 'rows', a smaller 'lora' r or fewer modules in 'trainable', "
            "or raise DATAINF_MEMORY_BUDGET_BYTES.",
            extra={"needed_bytes": needed, "budget_bytes": budget},
        )


def _refuse_non_finite(row_ids: Sequence[str]) -> None:
    if row_ids:
        raise NonFiniteGradients(
            f"{len(row_ids)} rows have NaN or infinite gradients, for example {', '.join(row_ids[:3])}.",
            hint="Lower the recipe's learning_rate.",
            extra={"row_ids": list(row_ids[:20])},
        )
