"""A query: test points scored against an index. One sign convention: score = -influence, positive is helpful."""

from typing import Literal

from pydantic import Field, model_validator

from influence.contracts.common import DampingScale, Frozen, Json, Reduction, Request
from influence.contracts.dataset import LabelValue
from influence.contracts.index import Calibration
from influence.contracts.points import PointSource
from influence.contracts.work_record import WorkRecord

Order = Literal["helpful", "harmful", "absolute", "both"]
Aggregate = Literal["each", "mean"]
Direction = Literal["helpful", "harmful"]
Include = Literal["blocks", "tokens", "levels"]
#: Baselines that can ride along with a method.
Compared = Literal["embedding"]
#: What a token's part of a score is: what layers compute at its position, or what its own loss adds.
TokensBy = Literal["position", "loss"]
#: How much a row stands out among all rows of its index; see influence.auditing.levels.
InfluenceLevel = Literal["high", "medium", "low", "none"]
SIGN_CONVENTION = "score>0 is helpful"
MAX_K = 10_000
MAX_CHECKPOINTS = 32
#: In a method's place: the one that agreed best with retraining.
AUTO = "auto"


class CheckpointWeight(Request):
    """One index of a sum over checkpoints, and what its influence is multiplied by: its learning rate."""

    index_id: str
    weight: float = Field(gt=0, le=1e6, allow_inf_nan=False)


class QueryRequest(PointSource):
    """`POST /v1/indexes/{id}/queries`: give `examples` or `rows`, not both."""

    aggregate: Aggregate = Field("each", description="One answer for each test point, or for their mean loss.")
    method: str = Field(
        "datainf",
        description="Name of a method or baseline ('GET /v1/methods' lists them), or 'auto': what agreed best with"
        " retraining, on this index where an evaluation judged it.",
    )
    damping_scale: DampingScale | None = Field(None, description="Damping; the method's own default when left out.")
    k: int = Field(10, ge=1, le=MAX_K, description="Rows per ranking.")
    order: Order = Field("both", description="Which rankings to return.")
    exact: Literal["auto"] | bool = Field(
        "auto", description="Compact storage: recompute the true gradients of the best candidates."
    )
    include: tuple[Include, ...] = Field(
        (),
        description="'blocks': each weight tensor's part of the influence; 'tokens': each token's part of the score; "
        "'levels': how much each row stands out.",
    )
    tokens_by: TokensBy = Field(
        "position",
        description="What 'tokens' tells: 'position', what layers compute at a token; 'loss', what the token's own loss"
        " adds to the score.",
    )
    compare: tuple[Compared, ...] = Field(
        (), max_length=1, description="Baselines whose own k best rows are shown beside, with how far they agree."
    )
    checkpoints: tuple[CheckpointWeight, ...] | None = Field(
        None,
        min_length=1,
        max_length=MAX_CHECKPOINTS,
        description="Sum over these indexes of one run's checkpoints, the one asked among them, each by its weight.",
        examples=[[{"index_id": "idx_5b20", "weight": 0.001}, {"index_id": "idx_77c3", "weight": 0.0005}]],
    )

    run_id: str | None = Field(
        None,
        description="Sum over the indexes of all checkpoints of a run, the one asked among them, by the run's weights.",
    )

    @model_validator(mode="after")
    def _one_sum(self) -> "QueryRequest":
        if self.checkpoints is not None and self.run_id is not None:
            raise ValueError("give either 'checkpoints' or 'run_id'")
        return self

    @model_validator(mode="after")
    def _tokens_asked(self) -> "QueryRequest":
        if self.tokens_by != "position" and "tokens" not in self.include:
            raise ValueError("'tokens_by' goes with 'tokens' in 'include'")
        return self


class ReadText(Frozen):
    """What the model read of a row: `text` with its tokens, and the characters [start, stop) of each where the
    tokenizer knows them; tokens that it added have none and are empty."""

    text: str
    tokens: tuple[str, ...]
    starts: tuple[int, ...] | None = None
    stops: tuple[int, ...] | None = None


class TokenParts(ReadText):
    """What each token adds to a row's score. By position, as a place of the row: with `unplaced`, the part of layers
    that read the row as a whole, such as a head after pooling, the parts add up to the score. By loss, as a prediction
    that was trained: tokens without loss add 0, `unplaced` is 0, and the parts add up to the score."""

    by: TokensBy = "position"
    parts: tuple[float, ...]
    unplaced: float


class TokenLosses(ReadText):
    """The loss of each token of a test point; null where none falls."""

    losses: tuple[float | None, ...]


class ScoredRow(Frozen):
    """One training row in a ranking. `percentile` is the share of the other rows with a lower score, in 0..100.

    `relative` is the score as a share of the largest size of any row's, in -1..1; `robust_z` its distance from the
    median score in robust standard deviations, null where most scores are alike.

    `predicted_change` is what leaving the row out is predicted to do to the test loss; only where the index was
    calibrated for this method and damping.
    """

    rank: int
    row_index: int
    row_id: str
    row: Json
    metadata: Json | None = None
    label: LabelValue | None = None
    influence: float
    score: float
    direction: Direction
    percentile: float
    relative: float | None = None
    robust_z: float | None = None
    exact: bool
    predicted_change: float | None = None
    influence_level: InfluenceLevel | None = None
    blocks: dict[str, float] | None = None
    tokens: TokenParts | None = None


class Histogram(Frozen):
    """Counts of scores between edges; `len(bin_edges) == len(hist) + 1`."""

    hist: tuple[int, ...]
    bin_edges: tuple[float, ...]


class ComparedBaseline(Frozen):
    """What a baseline would have shown of a test point: its own best `rows`, by similarity. `overlap` is the share of
    them among as many of the method's most helpful rows, `spearman` the rank correlation of both over all rows; null
    where one of them tells no rows apart."""

    method: str
    overlap: float
    spearman: float | None = None
    rows: tuple[ScoredRow, ...]


class TestPointResult(Frozen):
    """The answer for one test point, or for the mean of all of them.

    `loss` is that of the reference, or of `target_text`, the part of it that was asked about. `against_loss` is that of
    the answer it was asked against: scores are then of the difference, `loss - against_loss`.
    `base_loss` is the loss of the same with the adapter switched off: what the base model alone would have lost. It is
    null for plain models, and where weights of the base model itself are not known or were trained, too.
    `stands_out`, where levels were asked for, says whether any row's level is high. `compared` is what the baselines of
    `compare` would have shown.
    """

    __test__ = False  # not a pytest class

    example: Json
    loss: float
    base_loss: float | None = None
    target_text: str | None = None
    against_loss: float | None = None
    predicted_label: LabelValue | None = None
    predicted_probability: float | None = None
    prediction: str | None = None
    tokens: TokenLosses | None = None
    helpful: tuple[ScoredRow, ...] = ()
    harmful: tuple[ScoredRow, ...] = ()
    absolute: tuple[ScoredRow, ...] = ()
    stands_out: bool | None = None
    compared: tuple[ComparedBaseline, ...] | None = None
    histogram: Histogram
    summary: dict[str, float]


class QueryScores(Frozen):
    """Per test point the scores of every row of the data set in its order, and influence = -score; null where a row is
    not in the index."""

    query_id: str = Field(examples=["qry_01J9"])
    rows: int = Field(examples=[3])
    score: list[list[float | None]] = Field(examples=[[[1.5, -0.25, -2.0]]])
    influence: list[list[float | None]] = Field(examples=[[[-1.5, 0.25, 2.0]]])


class SummedCheckpoint(Frozen):
    """What one index added to a sum over checkpoints."""

    index_id: str
    checkpoint_id: str
    weight: float


class Query(WorkRecord):
    """A query and, once its job succeeded, its results. `checkpoints` are those summed over, the asked one first.

    `method_reason` says why the method was taken where the request left it open ('auto'); `request` then names it, too.
    `reduction` says whether losses, of the test points too, are means or sums over tokens. `calibration` is what turns
    scores into predicted changes of loss, where an evaluation found that they say any.
    """

    only_alone = frozenset({"results"})

    index_id: str
    request: QueryRequest
    method: str
    sign_convention: str = SIGN_CONVENTION
    checkpoints: tuple[SummedCheckpoint, ...] | None = None
    damping_scale: float | None = None
    method_reason: str | None = None
    reduction: Reduction = "mean"
    calibration: Calibration | None = None
    rows_scored: int | None = None
    storage: str | None = None
    fidelity: Json | None = None
    milliseconds: dict[str, float] | None = None
    notes: tuple[str, ...] = ()
    results: tuple[TestPointResult, ...] | None = None

    @property
    def sources(self) -> frozenset[str]:
        summed = (checkpoint.index_id for checkpoint in self.checkpoints or ())
        return frozenset({self.index_id, *summed, *self.request.sources})
