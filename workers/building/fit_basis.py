"""First pass of a compact build: a random sample gives the basis, rows outside it say how well codes will rank.

The gradients of sample and held-out rows are not computed twice: their projections are kept and the shards take
them from there.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.compact.admission import DEFAULT_SAMPLE_ROWS
from influence.compact.encoder import KEPT_VECTORS, Encoder, fit_encoder
from influence.compact.packing import pack_encoder
from influence.contracts.index import DEFAULT_RANK, Index, IndexSpec
from influence.errors import NonFiniteGradients
from influence.methods.codes.fidelity import Fidelity, measure_fidelity
from workers.building.outlook import FITTING, SAMPLING, Outlook
from workers.building.sizes import planned_budget
from workers.runtime.basis_sample import ENCODER, SAMPLE, Sample
from workers.runtime.models import HotModel
from workers.runtime.open import open_indexed_rows
from workers.runtime.progress import JobProgress, TokensDone
from workers.runtime.row_stream import stream_rows
from workers.runtime.state import Runtime

#: Rows that serve as pseudo-queries against each other; at most a fifth of the data set.
HELD_OUT_ROWS = 160
#: The sample's gradients held in memory at once, at most; fewer rows are sampled from a larger model.
MAX_SAMPLE_BYTES = 2 << 30
_MIN_SAMPLE_ROWS = 32
#: Of so many equal parts of the phase, fitting is one.
_FITTING_PARTS = 4
_SEED = 0


def choose_rows(rows: int, parameters: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(sample, held-out) rows, ascending, disjoint, the same for the same data set size and model size."""
    by_memory = max(_MIN_SAMPLE_ROWS, MAX_SAMPLE_BYTES // (4 * max(parameters, 1)))
    held_out = min(HELD_OUT_ROWS, rows // 5, by_memory // 4)
    sample = max(1, min(DEFAULT_SAMPLE_ROWS, rows - held_out, by_memory))
    chosen = np.random.default_rng(_SEED).permutation(rows)[: sample + held_out]
    return np.sort(chosen[:sample]), np.sort(chosen[sample:])


def count_sampled(spec: IndexSpec, rows: int, parameters: int) -> int:
    """How many rows a build computes before its shards."""
    if spec.storage == "full" or spec.grow_from is not None:
        return 0
    return sum(map(len, choose_rows(rows, parameters)))


def fit_index(
    runtime: Runtime, index: Index, model: HotModel, progress: JobProgress, outlook: Outlook
) -> tuple[Fidelity | None, int]:
    """Fit and store the index's encoder; answers its measured fidelity and the bytes written.

    A data set too small to hold rows out has no fidelity.
    """
    assert index.parameters is not None
    sampled, held_out = choose_rows(index.rows, index.parameters)
    both = np.concatenate([sampled, held_out])
    runtime.store.jobs.set_phase(index.job_id, SAMPLING, total=len(both))
    begun = time.monotonic()
    gradients, losses, keep = _collect(runtime, index, model, both, progress)
    outlook.learn_sample(begun, len(both))
    blocks = len(index.blocks)
    # Fitting takes about a quarter of the time, measuring what codes are worth the rest.
    runtime.store.jobs.set_phase(
        index.job_id, FITTING, total=_FITTING_PARTS * blocks, shown_total=blocks, unit="blocks"
    )
    fitted = int(keep[: len(sampled)].sum())
    encoder = fit_encoder(
        [block[:fitted] for block in gradients],
        rank=index.spec.rank or DEFAULT_RANK,
        metric=index.spec.metric,
        batch_rows=index.spec.batch_rows,
        weights=[one.weight for one in index.spec.joined] or [1.0],
        vectors=KEPT_VECTORS,
        watch=progress.report,
    )

    def report(methods: int, of: int) -> None:
        progress.report(blocks + (_FITTING_PARTS - 1) * blocks * methods // of)

    fidelity = _measure(index, encoder, gradients, np.arange(fitted, int(keep.sum())), report)
    sample = Sample(both[keep], encoder.project(gradients), losses[keep])
    size = runtime.store.index_data.write_parts(index.build, ENCODER, pack_encoder(encoder))
    size += runtime.store.index_data.write_parts(index.build, SAMPLE, sample.to_arrays(encoder_has=fitted))
    return fidelity, size


def _measure(
    index: Index,
    encoder: Encoder,
    gradients: list[Tensor],
    held_out: NDArray[np.int64],
    watch: Callable[[int, int], None],
) -> Fidelity | None:
    if len(held_out) < 3:
        return None
    return measure_fidelity(encoder, gradients, held_out, dtype=index.spec.code_dtype, watch=watch)


def _collect(
    runtime: Runtime, index: Index, model: HotModel, rows: NDArray[np.int64], progress: JobProgress
) -> tuple[list[Tensor], NDArray[np.float32], NDArray[np.bool_]]:
    """Gradients (kept rows, d) per block, losses (rows,), and which rows are finite and kept; applies the index's
    policy."""
    encoded = model.task.tokenise(open_indexed_rows(runtime, index).read_many(rows.tolist()))
    gradients = [
        torch.empty(len(rows), block.parameters, dtype=torch.float32, device=runtime.device) for block in index.blocks
    ]
    losses = np.zeros(len(rows), dtype=np.float32)
    keep = np.ones(len(rows), dtype=np.bool_)
    watch = TokensDone(encoded, len(rows), progress.report)
    for positions, found in stream_rows(runtime, model, encoded, budget=planned_budget(index)):
        losses[positions] = found.losses.float().cpu().numpy()
        keep[[positions[row] for row in found.find_non_finite()]] = False
        for block, values in zip(gradients, found.blocks.values(), strict=True):
            block[positions] = values.float()
        del found  # before the next batch is computed
        watch.add(positions)
    bad = [encoded[position].row_id for position in np.flatnonzero(~keep)]
    refuse_non_finite(index, bad)
    return (gradients if keep.all() else [block[keep] for block in gradients]), losses, keep


def refuse_non_finite(index: Index, row_ids: list[str]) -> None:
    """Raise NonFiniteGradients naming rows, unless the index's policy is to skip them."""
    if row_ids and index.spec.on_non_finite == "fail":
        raise NonFiniteGradients(
            f"{len(row_ids)} rows have NaN or infinite gradients, for example {', '.join(row_ids[:3])}.",
            extra={"row_ids": row_ids[:20], "count": len(row_ids)},
        )
