"""What codes are worth, measured when an index is built: against the same methods on the whole gradients at hand.

The rows that the basis was fitted to and those held out are a training set of their own, and their gradients are there
in full; no row is computed twice. Held-out rows, which the basis never saw, serve as pseudo-queries.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.arrays import Array, zeros
from influence.compact.arrays import Float64s, to_numpy
from influence.compact.coded_rows import CodedRows
from influence.compact.encoder import Encoder, Projected
from influence.compact.growth import residual_share
from influence.compact.scan import scan_codes
from influence.contracts.index import CodeDtype
from influence.evaluating.agreement import rank_correlations, share_found
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.algebra.linear_algebra import add_gram
from influence.methods.base import Method
from influence.methods.codes.exactness import LARGEST_ERROR, RerankedError
from influence.methods.registry import METHODS, code_methods, default_method

#: Under these an index warns. Candidates are 4k rows, as a query's re-ranking takes by default.
SPEARMAN_FLOOR = 0.99
FOUND_FLOOR = 0.98
CANDIDATES_PER_RESULT = 4
_SEED = 0
#: Rows measured with, at most: a method that solves takes time with their square, per block.
MEASURED_ROWS = 768
#: And two matrices of rows x rows are kept per block, its Gram matrix and a solve's factor: fewer rows where those
#: would take more bytes.
SYSTEM_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Fidelity:
    """`overlap` is the share of the true top k among the codes' top k, `found` among the codes' first 4k: what
    re-ranking returns. `kept` is the basis's share of the normalised energy per block, `residual` the share of the
    held-out rows' that it misses. Both directions count, helpful and harmful. All of it is that of the method which the
    codes' metric is made for; `methods` has the mean Spearman of every method that codes answer, at its default
    damping: some live on directions that the basis hardly looks at. `reranked` says how far scores from true gradients
    are off.
    """

    queries: int
    rows: int
    k: int
    spearman_mean: float
    spearman_worst: float
    overlap: float
    found: float
    kept: tuple[float, ...]
    residual: float
    methods: dict[str, float] = field(default_factory=dict)
    reranked: dict[str, RerankedError] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_fidelity(
    encoder: Encoder,
    gradients: Sequence[Array],
    held_out: NDArray[np.int64],
    *,
    dtype: CodeDtype = "int8",
    k: int = 10,
    queries: int = 64,
    watch: Callable[[int, int], None] | None = None,
) -> Fidelity:
    """Measure with gradients (s + h, d_l) per block, in the encoder's library, of the s rows that it was fitted to and
    of h rows that it never saw, at positions `held_out`; h of 100 or more says most.

    All of them, `MEASURED_ROWS` at most, are the training set here. A row is never ranked for itself. `watch` is told
    how many methods of how many are measured.
    """
    measured = _Measured.take(encoder, gradients, held_out, dtype, queries)
    scored = {}
    for method in (methods := code_methods(encoder.metric)):
        scored[method.name] = measured.score(method)
        if watch is not None:
            watch(len(scored), len(methods))
    true, coded = (measured.of_held_out(scores) for scores in scored[default_method(encoder.metric)][:2])
    correlations = rank_correlations(true, coded)
    wanted = depth(k, true.shape[1])
    fidelity = Fidelity(
        queries=len(true),
        rows=len(measured.held_out),
        k=wanted,
        spearman_mean=float(correlations.mean()),
        spearman_worst=float(correlations.min()),
        overlap=share_found(true, coded, wanted, wanted),
        found=share_found(true, coded, wanted, min(CANDIDATES_PER_RESULT * wanted, true.shape[1])),
        kept=encoder.basis.kept,
        residual=residual_share(encoder, measured.projected.take(measured.held_out)),
        methods={
            name: float(rank_correlations(measured.of_held_out(full), measured.of_held_out(codes)).mean())
            for name, (full, codes, _) in scored.items()
        },
        reranked={
            name: measured.compare(METHODS[name], full, reranked, k) for name, (full, _, reranked) in scored.items()
        },
    )
    return _warned(fidelity)


@dataclass(frozen=True)
class _Measured:
    """Rows whose gradients are at hand; the first `queries` of those held out ask."""

    rows: CodedRows
    gradients: Sequence[Array]
    projected: Projected
    held_out: NDArray[np.int64]
    queries: int

    @classmethod
    def take(
        cls,
        encoder: Encoder,
        gradients: Sequence[Array],
        held_out: NDArray[np.int64],
        dtype: CodeDtype,
        queries: int,
    ) -> "_Measured":
        """All rows, or those held out and as many of the others as are measured with."""
        most = min(MEASURED_ROWS, int((SYSTEM_BYTES / (2 * 8 * len(gradients))) ** 0.5))
        if len(gradients[0]) > most:
            others = np.setdiff1d(np.arange(len(gradients[0])), held_out)
            chosen = np.concatenate([held_out, np.random.default_rng(_SEED).permutation(others)[:most]])[:most]
            gradients, held_out = [block[chosen] for block in gradients], np.arange(min(len(held_out), most))
        projected = encoder.project(gradients)
        return cls(CodedRows.encode(encoder, projected, dtype), gradients, projected, held_out, queries)

    @property
    def asking(self) -> NDArray[np.int64]:
        return self.held_out[: self.queries]

    @cached_property
    def blocks(self) -> dict[str, TrainBlock]:
        """In the optimiser's metric by the index's own preconditioner: what is measured are its codes."""
        found = {str(number): _with_gram(TrainBlock.of(block)) for number, block in enumerate(self.gradients)}
        roots = self.rows.encoder.roots
        if roots is None:
            return found
        return {name: replace(block, roots=part) for (name, block), part in zip(found.items(), roots, strict=True)}

    def score(self, method: Method[Any]) -> tuple[Float64s, Float64s, Float64s]:
        """Scores (m, n) of a method at its default damping: from whole gradients, from codes, and as re-ranked."""
        assert method.on_codes is not None
        asked = [block[self.asking] for block in self.gradients]
        full = self._score_fully(method, dict(zip(self.blocks, asked, strict=True)))
        state = method.on_codes.prepare(self.rows, method.damping_scale(None))
        coded = state.finish(scan_codes(self.rows.codes, state.vectors(self.projected.take(self.asking))))
        reranked = state.share_blocks(state.directions(asked), self.gradients).sum(0)
        return (0.0 - full, 0.0 - coded.astype(np.float64), 0.0 - reranked)

    def _score_fully(self, method: Method[Any], asked: dict[str, Array]) -> Float64s:
        """Influence (m, n) from whole gradients, summed over the checkpoints that the blocks are of.

        Blocks hold the root of their checkpoint's weight: damping goes up by as much, so that each is scored as alone.
        """
        names, total = list(self.blocks), np.zeros((len(self.asking), len(self.gradients[0])))
        for own, weight in self.rows.encoder.checkpoints:
            blocks = {name: self.blocks[name] for name in names[own]}
            state = method.prepare(blocks, method.damping_scale(None) * weight)
            found = method.apply(state, {name: asked[name] for name in blocks}).influence
            total += to_numpy(found).astype(np.float64)
        return total

    def of_held_out(self, scores: Float64s) -> Float64s:
        """Scores (m, h - 1) of held-out rows alone, none on itself."""
        return self._without_self(scores[:, self.held_out], np.arange(len(scores)))

    def compare(self, method: Method[Any], full: Float64s, reranked: Float64s, k: int) -> RerankedError:
        """Relative errors of the re-ranked scores of the rows that they put first, either way."""
        true, found = (self._without_self(scores, self.asking) for scores in (full, reranked))
        wanted = depth(k, true.shape[1])
        order = np.argsort(found, axis=1, kind="stable")
        shown = np.concatenate([order[:, :wanted], order[:, -wanted:]], axis=1)
        wrong = np.abs(np.take_along_axis(found - true, shown, 1))
        size = np.abs(np.take_along_axis(true, shown, 1))
        errors = np.divide(wrong, size, out=np.where(wrong > 0, LARGEST_ERROR, 0.0), where=size > 0)
        errors = np.minimum(errors, LARGEST_ERROR)
        scale = None if method.default_damping_scale is None else method.damping_scale(None)
        return RerankedError(float(np.median(errors)), float(errors.max()), scale)

    @staticmethod
    def _without_self(scores: Float64s, own: NDArray[np.int64]) -> Float64s:
        """Scores (m, n) without each line's own place: (m, n - 1)."""
        others = np.ones(scores.shape, dtype=np.bool_)
        others[np.arange(len(own)), own] = False
        return scores[others].reshape(len(scores), -1)


def _with_gram(block: TrainBlock) -> TrainBlock:
    """The block with what all solves make of it: narrow ones make something else."""
    if block.width <= block.rows:
        return block
    gram = zeros((block.rows, block.rows), block.shards[0], "float64")
    add_gram(gram, block, 1.0)
    return replace(block, gram=gram)


def depth(k: int, rows: int) -> int:
    """How many of so many rows are looked at either way: k, fewer where the candidates would be most of them."""
    return min(k, max(1, rows // (2 * CANDIDATES_PER_RESULT)))


def _warned(fidelity: Fidelity) -> Fidelity:
    warnings = []
    if fidelity.spearman_mean < SPEARMAN_FLOOR:
        warnings.append(
            f"Codes rank like full gradients only to a Spearman of {fidelity.spearman_mean:.3f} (wanted"
            f" {SPEARMAN_FLOOR}); raise 'rank', or use storage 'full'."
        )
    if fidelity.found < FOUND_FLOOR:
        warnings.append(
            f"Only {fidelity.found:.1%} of the true top {fidelity.k} are among the candidates; raise 'rank'."
        )
    return replace(fidelity, warnings=tuple(warnings))
