"""What an index stores beside its rows' codes, as named arrays: ready for checksummed values, never pickled."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.compact.arrays import to_numpy
from influence.compact.basis import Basis, BlockBasis
from influence.compact.encoder import Encoder, Projected
from influence.compact.layout import Layout
from influence.compact.moments import Moments

#: Every array has one of the types float16, float32, float64 and int64 and at most two dimensions.
Arrays = dict[str, NDArray[Any]]


def pack_encoder(encoder: Encoder) -> Arrays:
    """Arrays of an encoder. `vectors` are all blocks' (d_l, k_l) flattened one after another, float16 where they were
    rounded to that, else float32."""
    blocks = encoder.basis.blocks
    roots = {} if encoder.roots is None else {"roots": np.concatenate([to_numpy(r) for r in encoder.roots])}
    return {
        **{name: values.astype(np.float32) for name, values in roots.items()},
        **({} if encoder.weights == (1.0,) else {"weights": np.asarray(encoder.weights, np.float64)}),
        "vectors": _shorten(np.concatenate([to_numpy(block.vectors).astype(np.float32).ravel() for block in blocks])),
        # Older workers beside this one read a spectrum per block, which nothing used: empty ones.
        "spectra": np.empty(0, np.float64),
        "blocks": np.asarray(
            [(size, block.rank, 0) for size, block in zip(encoder.parameters, blocks, strict=True)], np.int64
        ).reshape(-1, 3),
        "kept": np.asarray([*encoder.basis.kept, encoder.layout.kept]),
        "damping": np.asarray(encoder.damping),
        "mix": encoder.layout.mix,
        "unmix": encoder.layout.unmix,
        "sample_codes": encoder.sample.codes,
        "sample_norms": encoder.sample.squared_norms,
    }


def unpack_encoder(arrays: Mapping[str, NDArray[Any]]) -> Encoder:
    """The encoder that was packed, on numpy."""
    sizes = arrays["blocks"]
    *kept, layout_kept = arrays["kept"].tolist()
    vectors = _cut(arrays["vectors"].astype(np.float32, copy=False), sizes[:, 0] * sizes[:, 1])
    blocks = [
        BlockBasis(flat.reshape(size, rank), share)
        for flat, (size, rank, _), share in zip(vectors, sizes.tolist(), kept, strict=True)
    ]
    roots = _cut(arrays["roots"], sizes[:, 0]) if "roots" in arrays else None
    return Encoder(
        basis=Basis(tuple(blocks)),
        layout=Layout(arrays["mix"], arrays["unmix"], layout_kept),
        sample=Projected(arrays["sample_codes"], arrays["sample_norms"]),
        damping=tuple(arrays["damping"].tolist()),
        parameters=tuple(sizes[:, 0].tolist()),
        roots=None if roots is None else tuple(roots),
        weights=tuple(arrays["weights"].tolist()) if "weights" in arrays else (1.0,),
    )


def pack_moments(moments: Moments) -> Arrays:
    """Arrays of moments, float64; the blocks' matrices are flattened one after another."""
    return {
        "rows": np.asarray([moments.rows], np.int64),
        "ranks": np.asarray([len(block) for block in moments.weighted], np.int64),
        "damping": moments.damping,
        "weighted": np.concatenate([block.ravel() for block in moments.weighted]),
        "plain": np.concatenate([block.ravel() for block in moments.plain]),
        "energy": moments.energy,
    }


def unpack_moments(arrays: Mapping[str, NDArray[Any]]) -> Moments:
    """The moments that were packed."""
    ranks = arrays["ranks"]
    weighted, plain = (
        tuple(part.reshape(rank, rank) for part, rank in zip(_cut(arrays[name], ranks**2), ranks, strict=True))
        for name in ("weighted", "plain")
    )
    return Moments(int(arrays["rows"][0]), arrays["damping"], weighted, plain, arrays["energy"])


def _shorten(vectors: NDArray[np.float32]) -> NDArray[Any]:
    short = vectors.astype(np.float16)
    return short if np.array_equal(short.astype(np.float32), vectors) else vectors


def _cut(flat: NDArray[Any], lengths: NDArray[np.int64]) -> list[NDArray[Any]]:
    return np.split(flat, np.cumsum(lengths)[:-1])
