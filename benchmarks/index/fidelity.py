"""What fewer bytes per row cost: every way of keeping gradients against DataInf on all of them."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.index.gradients import Gradients
from influence.compact.coded_rows import CodedRows
from influence.compact.codes import bytes_per_row
from influence.compact.encoder import fit_encoder
from influence.compact.scan import scan_codes
from influence.contracts.index import CodeDtype
from influence.evaluating.agreement import rank_correlations, share_found
from influence.methods.codes.form import CodeForm
from influence.methods.datainf import invert_datainf

TOP = 10
CANDIDATES = 40
RANKS = (4, 8, 16, 32, 64)
SAMPLE_ROWS = 1000

Scores = NDArray[np.float64]
Blocks = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Line:
    """One way of keeping rows. `seconds` is fitting and encoding, `error` the worst of a re-ranked top-10 score."""

    kept: str
    bytes_per_row: float
    spearman_mean: float
    spearman_worst: float
    top10: float
    top10_in_40: float
    top10_re_ranked: float | None = None
    error: float | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def damping_of(train: Blocks) -> list[float]:
    return [0.1 * float(np.square(block, dtype=np.float64).sum(1).mean()) / block.shape[1] for block in train]


def score_blocks(train: Blocks, test: Blocks, damping: list[float]) -> Scores:
    """DataInf's scores (m, n) by the formula on whatever stands for the gradients."""
    total = np.zeros((len(test[0]), len(train[0])))
    for rows, points, scale in zip(train, test, damping, strict=True):
        if scale > 0:
            weights = scale + np.square(rows, dtype=np.float64).sum(1)
            pull = ((points @ rows.T) / weights).astype(np.float32) @ rows / len(rows)
            total += (points - pull) @ rows.T / scale
    return total


def measure(gradients: Gradients, *, seed: int = 0) -> Iterator[Line]:
    """All lines of the table, the plain gradients first."""
    damping = damping_of(gradients.train)
    true = score_blocks(gradients.train, gradients.test, damping)
    yield from _plain(gradients, damping, true)
    chosen = np.random.default_rng(seed).permutation(len(gradients.train[0]))[:SAMPLE_ROWS]
    for rank in RANKS:
        yield from _coded(gradients, chosen, rank, true)
    for width in (4, 25, 100):
        yield _projected(gradients, width, damping, true, seed)
    plain = sum(test @ train.T for test, train in zip(gradients.test, gradients.train, strict=True))
    yield _line("gradient products, no curvature", 4 * sum(gradients.parameters), true, np.asarray(plain, np.float64))


def _plain(gradients: Gradients, damping: list[float], true: Scores) -> Iterator[Line]:
    size, blocks = sum(gradients.parameters), len(gradients.train)
    yield _line("float32 gradients", 4 * size, true, true)
    halves = [block.astype(np.float16).astype(np.float32) for block in gradients.train]
    yield _line("float16 gradients", 2 * size, true, score_blocks(halves, gradients.test, damping))
    del halves
    bytes_ = [_round_rows(block) for block in gradients.train]
    yield _line("int8 gradients", size + 4 * blocks, true, score_blocks(bytes_, gradients.test, damping))


def _round_rows(block: NDArray[np.float32]) -> NDArray[np.float32]:
    scale = np.abs(block).max(1, keepdims=True) / 127
    return np.asarray(np.rint(block / np.where(scale == 0, 1, scale)) * scale, np.float32)


def _coded(gradients: Gradients, chosen: NDArray[np.int64], rank: int, true: Scores) -> Iterator[Line]:
    started = time.perf_counter()
    encoder = fit_encoder([torch.from_numpy(block[chosen]) for block in gradients.train], rank=rank)
    encoder = encoder.like(gradients.train[0])
    rows = encoder.project(gradients.train)
    state = CodeForm(invert_datainf).prepare(CodedRows.encode(encoder, rows), 0.1)
    vectors = state.vectors(encoder.project(gradients.test))
    exact = -state.share_blocks(state.directions(gradients.test), gradients.train).sum(0)
    seconds = time.perf_counter() - started
    dtypes: tuple[CodeDtype, ...] = ("int8", "float16")
    for dtype in dtypes:
        scores = scan_codes(encoder.encode(rows, dtype), vectors).astype(np.float64)
        size = bytes_per_row(encoder.layout.width, len(gradients.train), dtype)
        recall, error = _re_rank(true, scores, exact)
        yield _line(f"rank {rank}, {dtype}", size, true, scores, recall, error, seconds)


def _projected(gradients: Gradients, width: int, damping: list[float], true: Scores, seed: int) -> Line:
    """The rival: each block by a random matrix to `width` numbers, float32."""
    rng = np.random.default_rng(seed)
    matrices = [rng.normal(size=(size, width)).astype(np.float32) / width**0.5 for size in gradients.parameters]
    train, test = (
        [block @ matrix for block, matrix in zip(blocks, matrices, strict=True)]
        for blocks in (gradients.train, gradients.test)
    )
    return _line(
        f"random projection to {width}, float32", 4 * width * len(train), true, score_blocks(train, test, damping)
    )


def _re_rank(true: Scores, scores: Scores, exact: Scores) -> tuple[float, float]:
    """(share of the true top 10 after re-ranking 40 candidates, worst relative error of a returned score)."""
    recalls, errors = [], []
    for sign in (1.0, -1.0):
        candidates = np.argsort(-sign * scores, axis=1)[:, :CANDIDATES]
        order = np.argsort(-sign * np.take_along_axis(exact, candidates, 1), axis=1)[:, :TOP]
        found = np.take_along_axis(candidates, order, 1)
        best = np.argsort(-sign * true, axis=1)[:, :TOP]
        recalls.append((best[:, :, None] == found[:, None, :]).any(2).mean())
        wanted, got = np.take_along_axis(true, found, 1), np.take_along_axis(exact, found, 1)
        errors.append(np.abs(got / wanted - 1).max())
    return float(np.mean(recalls)), float(max(errors))


def _line(
    name: str,
    size: float,
    true: Scores,
    scores: Scores,
    re_ranked: float | None = None,
    error: float | None = None,
    seconds: float | None = None,
) -> Line:
    correlations = rank_correlations(true, scores)
    return Line(
        name,
        size,
        float(correlations.mean()),
        float(correlations.min()),
        share_found(true, scores, TOP, TOP),
        share_found(true, scores, TOP, CANDIDATES),
        re_ranked,
        error,
        seconds,
    )
