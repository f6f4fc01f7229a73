"""Compact indexes of made-up codes, as a build leaves them: 154 bytes per row, in the files alone."""

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from influence.arrays import spans
from influence.compact.codes import bytes_per_row
from influence.compact.encoder import Encoder, fit_encoder
from influence.compact.packing import pack_encoder, pack_moments
from influence.contracts.common import now
from influence.contracts.index import Block, Index, IndexSpec, ShardCommit
from influence.contracts.work import INDEX
from influence.digests import new_id
from influence.store import keys
from influence.store.data.chunks import pack
from workers.runtime.basis_sample import ENCODER, MOMENTS, SAMPLE, Sample
from workers.runtime.state import Runtime

BLOCKS, RANK, BLOCK_PARAMETERS = 25, 4, 20
WIDTH = BLOCKS * RANK
ROW_BYTES = bytes_per_row(WIDTH, BLOCKS)
#: About what one shard of 20 seconds holds on a GPU.
SHARD_ROWS = 20_000
_FITTED = 400
#: Beside its code a row keeps which row of the data set it is, and its loss.
_KEPT_BYTES = 12


def make_index(runtime: Runtime, rows: int) -> Index:
    """An index of so many rows that offers all that one does that was built."""
    encoder = _fit()
    blocks = [Block(name=f"block-{number}", shape=(20,), parameters=BLOCK_PARAMETERS) for number in range(BLOCKS)]
    index = Index(
        **{**INDEX.begin(new_id("idx")), "state": "succeeded"},
        spec=IndexSpec(checkpoint_id="ckpt_a", dataset_id="ds_a", storage="compact", rank=RANK),
        rows=rows,
        rows_indexed=rows,
        shards=len(range(0, rows, SHARD_ROWS)),
        rows_per_shard=SHARD_ROWS,
        blocks=tuple(blocks),
        parameters=BLOCKS * BLOCK_PARAMETERS,
        row_bytes=float(ROW_BYTES + _KEPT_BYTES),
        ready_at=now(),
    )
    _write_parts(runtime, index, encoder)
    _write_rows(runtime, index)
    runtime.store.indexes.create(index)
    return index


def draw_test(points: int, seed: int = 7) -> dict[str, Tensor]:
    """Test gradients (points, d) per block, others for each seed."""
    rng = np.random.default_rng(seed)
    return {
        f"block-{number}": from_numpy(rng.normal(size=(points, BLOCK_PARAMETERS)).astype(np.float32))
        for number in range(BLOCKS)
    }


def _fit() -> Encoder:
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=(_FITTED, BLOCK_PARAMETERS)).astype(np.float32) for _ in range(BLOCKS)]
    return fit_encoder(gradients, rank=RANK, directions=RANK)


def _write_parts(runtime: Runtime, index: Index, encoder: Encoder) -> None:
    data, sample = runtime.store.index_data, encoder.sample
    fitted = Sample(np.arange(_FITTED), sample, np.zeros(_FITTED, np.float32))
    data.write_parts(index.build, ENCODER, pack_encoder(encoder))
    data.write_parts(index.build, SAMPLE, fitted.to_arrays(_FITTED))
    data.write_parts(index.build, MOMENTS, pack_moments(encoder.sum_moments(sample)))


def _write_rows(runtime: Runtime, index: Index) -> None:
    assert runtime.store.files is not None
    for shard, (start, stop) in enumerate(spans(index.rows, SHARD_ROWS)):
        commit = ShardCommit(shard=shard, rows=stop - start, bytes=ROW_BYTES * (stop - start), seconds=0.0, chunks=5)
        runtime.store.index_data.commit(index.build, commit)
    commits = cast("dict[bytes, bytes]", runtime.store.connections.state.hgetall(keys.commits(index.build)))
    named = {field.decode(): text.decode() for field, text in commits.items()}
    runtime.store.files.indexes.write(index.build, _values(index), named, {})


def _values(index: Index) -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(1)
    numbers = rng.integers(-127, 128, (2 * SHARD_ROWS, WIDTH), dtype=np.int8)
    scales = rng.random(2 * SHARD_ROWS, dtype=np.float32)
    for shard, (start, stop) in enumerate(spans(index.rows, SHARD_ROWS)):
        rows, first = stop - start, (shard * 7919) % SHARD_ROWS
        parts: dict[str, NDArray[Any]] = {
            "kept": np.arange(start, stop),
            "losses": np.zeros(rows, np.float32),
            "values": numbers[first : first + rows],
            "scales": scales[first : first + rows],
            "norms": np.full((rows, BLOCKS), 30_000, np.uint16),
        }
        for part, array in parts.items():
            key = partial(keys.row_state, index.build, shard, part)
            yield from ((key(number), piece) for number, piece in enumerate(pack(array)))
