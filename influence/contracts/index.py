"""An index: everything cached for (checkpoint, data set, gradient settings)."""

from datetime import datetime
from typing import Literal

from pydantic import Field, model_validator

from influence.contracts.common import Frozen, Json, LossScope, MaxLength, Named, Reduction, Request
from influence.contracts.work_record import Progress, WorkRecord

Storage = Literal["full", "compact"]
StorageChoice = Literal["auto", "full", "compact"]
StorageDtype = Literal["float32", "float16"]
CodeDtype = Literal["int8", "float16"]
Precision = Literal["float32", "bfloat16"]
OnNonFinite = Literal["fail", "skip"]
OnTooLong = Literal["truncate", "fail"]
GradientParts = Literal["all", "lora"]
Metric = Literal["gradient", "optimizer"]

#: Raised whenever the meaning of a stored gradient changes, so that no index mixes two meanings.
GRADIENT_VERSION = 1

#: Numbers per block and row that compact storage keeps on average.
DEFAULT_RANK = 16


TimestepWeighting = Literal["none", "unit_norm"]
Measurement = Literal["loss", "square"]


class DiffusionSettings(Request):
    """What the gradient of an image with a caption is taken of: the mean over fixed timesteps of the squared error
    against the scheduler's target, under noise that all rows and test points share."""

    timesteps: int = Field(10, ge=1, le=1000, description="Timesteps, each in the middle of an equal part of them all.")
    seed: int = Field(0, ge=0, lt=1 << 32, description="Seed of the noise.")
    resolution: int | None = Field(
        None, ge=8, le=2048, description="Pixels a side that images are brought to; by default the base model's own."
    )
    snr_gamma: float | None = Field(
        None, gt=0, le=1e4, allow_inf_nan=False, description="Gamma of the min-SNR weights that training used, if any."
    )
    noise_offset: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False, description="Noise by channel that training added, if any."
    )
    timestep_weighting: TimestepWeighting = Field(
        "none",
        description="'unit_norm' divides each timestep's gradient by its length: no gradient of a loss any more.",
    )
    measurement: Measurement = Field(
        "loss", description="'square' takes the mean square of the model's output in the place of its error: no loss."
    )

    @model_validator(mode="after")
    def _weights_of_a_loss(self) -> "DiffusionSettings":
        if self.measurement != "loss" and self.snr_gamma is not None:
            raise ValueError("'snr_gamma' weighs the loss: leave it out, or send 'measurement' as 'loss'")
        return self

    @property
    def of_training(self) -> "DiffusionSettings":
        """The same noise under the loss that training lowers, whatever gradients are taken of."""
        return self.model_copy(update={"measurement": "loss", "timestep_weighting": "none"})

    @property
    def is_loss(self) -> bool:
        """Whether gradients are those of the training loss, so that scores say how it would change."""
        return self.measurement == "loss" and self.timestep_weighting == "none"


#: What trainers take for `beta`.
DEFAULT_BETA = 0.1
#: The largest `beta` and `center_rewards_coefficient`.
MAX_FACTOR = 1e6
#: Tokens per row where neither the request nor training says more.
DEFAULT_MAX_LENGTH = 512


class GradientChoices(Request):
    """What decides the value of a gradient, as requests say it."""

    precision: Precision = Field("float32", description="Number format that gradients are computed in.")
    max_length: MaxLength | None = Field(
        None,
        description="Tokens per row; longer rows are cut or refused. By default where training cut rows, as far as the"
        f" checkpoint's files say it, or else {DEFAULT_MAX_LENGTH}.",
    )
    on_too_long: OnTooLong = Field("truncate", description="What becomes of a row longer than max_length.")
    loss: LossScope | None = Field(None, description="Which tokens carry loss; by default what the rows imply.")
    reduction: Reduction = Field(
        "mean",
        description="A row's loss is the mean or the sum over its tokens. Trainers that divide by the tokens of a batch"
        " weigh rows by their tokens, as the sum does.",
    )
    include_bias: bool = Field(False, description="Take gradients of trained biases, too.")
    beta: float | None = Field(
        None,
        gt=0,
        le=MAX_FACTOR,
        allow_inf_nan=False,
        description="Preference rows: the factor on the difference to the base model, as in training; 0.1 when left "
        "out.",
    )
    center_rewards_coefficient: float | None = Field(
        None,
        gt=0,
        le=MAX_FACTOR,
        allow_inf_nan=False,
        description="Reward heads trained on pairs: the factor on the squared sum of both rewards that training added "
        "to the loss; by default what the checkpoint's files say, or else none.",
    )
    parts: GradientParts = Field(
        "all",
        description="What gradients are taken of: all that was trained, or the LoRA factors alone, without whole"
        " tensors such as saved embeddings and heads.",
    )
    diffusion: DiffusionSettings | None = Field(
        None, description="Timesteps, noise and weights; for image models alone, which have defaults."
    )

    @property
    def is_loss(self) -> bool:
        """Whether gradients are those of a loss, so that scores say how it would change."""
        return self.diffusion is None or self.diffusion.is_loss


class GradientSettings(GradientChoices):
    """What decides the value of a gradient; part of the index's address."""

    max_length: MaxLength = DEFAULT_MAX_LENGTH


class IndexRequest(Named, GradientChoices):
    """`POST /v1/indexes`."""

    checkpoint_id: str | None = Field(None, examples=["ckpt_3f1c"])
    run_id: str | None = Field(
        None, description="Instead of a checkpoint, a run: an index of each of its checkpoints is built."
    )
    join: bool = Field(
        False,
        description="With a run: one index whose codes hold all of its checkpoints, by the run's weights, in the place"
        " of an index of each. A query answers with the sum over them in one pass. Codes of metric 'optimizer' alone.",
    )
    dataset_id: str = Field(examples=["ds_77aa"])
    storage: StorageChoice = Field(
        "auto", description="Keep every gradient (full) or codes (compact); full while it fits the budget (auto)."
    )
    storage_dtype: StorageDtype = Field("float32", description="Type of the stored gradients of full storage.")
    rank: int = Field(DEFAULT_RANK, ge=1, le=1024, description="Basis vectors per block, compact storage.")
    code_dtype: CodeDtype = Field("int8", description="Type of the stored numbers of compact storage.")
    metric: Metric = Field(
        "gradient",
        description="What the codes of compact storage are fitted to: gradients as they are, or in the optimiser's"
        " metric, which method 'preconditioned' answers in. Full storage answers in both.",
    )
    batch_rows: int | None = Field(
        None,
        ge=1,
        le=1 << 20,
        description="Rows per step of the training that made the checkpoint, for the optimiser's metric. By default"
        " those that the checkpoint's files say, or else 1.",
    )
    on_non_finite: OnNonFinite = Field("fail", description="What becomes of a row with NaN or infinite gradients.")
    kronecker: bool = Field(
        False, description="Also collect the Kronecker factors that method 'ekfac' needs; full storage only."
    )
    grow_from: str | None = Field(
        None,
        description="A ready compact index of the same checkpoint and gradient settings: rows that it shares keep"
        " their codes, only new ones are computed, in its basis. 'rank' has no effect then.",
        examples=["idx_5b20"],
    )

    @model_validator(mode="after")
    def _one_source(self) -> "IndexRequest":
        if (self.checkpoint_id is None) == (self.run_id is None):
            raise ValueError("give either 'checkpoint_id' or 'run_id'")
        if self.run_id is not None and self.grow_from is not None:
            raise ValueError("'grow_from' names one index, and a run has several")
        if self.join and self.run_id is None:
            raise ValueError("'join' says what becomes of a run's checkpoints: send it with 'run_id'")
        return self


class JoinedCheckpoint(Frozen):
    """One of several checkpoints that an index holds in one code: its step of the run, and its weight in the sum."""

    checkpoint_id: str
    step: int
    weight: float


class IndexSpec(Frozen):
    """A resolved index request: its digest is the index's id. Nothing here may depend on the machine.

    `joined` are the checkpoints that its codes hold, in the order of their steps; the last is `checkpoint_id`, whose
    losses and answers are shown. It is empty for an index of one checkpoint.
    """

    checkpoint_id: str
    joined: tuple[JoinedCheckpoint, ...] = ()
    dataset_id: str
    storage: Storage
    storage_dtype: StorageDtype = "float32"
    code_dtype: CodeDtype = "int8"
    rank: int | None = None
    metric: Metric = "gradient"
    batch_rows: int = 1
    on_non_finite: OnNonFinite = "fail"
    kronecker: bool = False
    grow_from: str | None = None
    gradients: GradientSettings = GradientSettings()
    gradient_version: int = GRADIENT_VERSION


class Block(Frozen):
    """One trainable weight tensor. `parameters` is its size d; `path` says how its gradient is made."""

    name: str
    shape: tuple[int, ...]
    parameters: int
    path: Literal["fast", "slow"] = "fast"


class Growth(Frozen):
    """What an index took from the index it was grown from. Row counts are of the data sets' rows.

    `basis_age` is the share of indexed rows that came after the basis was fitted, over all generations. `residual` is
    the share of the computed rows' normalised energy outside the basis, `baseline` that of the rows held out when the
    basis was fitted; both are null until they are known. `rows_reused_late` of the reused rows came after the fit.
    """

    grown_from: str
    grown_from_job: str
    rows_reused: int
    rows_reused_late: int
    rows_computed: int
    rows_removed: int
    baseline: float
    residual: float | None = None
    basis_age: float | None = None
    warnings: tuple[str, ...] = ()


class Calibration(Frozen):
    """What an evaluation of kind `calibrate` found for one method: leaving out a row changes the mean test loss by
    `scale` times its score, with `low` to `high` the 95 % interval. `slope` is that of measured on predicted changes on
    subsets held out, `left_out_share` the share of the rows that each left out. Not `is_useful` where the interval
    holds zero or the slope is outside 0.8 to 1.25: predictions are withheld then."""

    evaluation_id: str
    method: str
    damping_scale: float
    scale: float
    low: float
    high: float
    correlation: float
    is_useful: bool
    slope: float | None = None
    left_out_share: float | None = None


class GradientLengths(Frozen):
    """Lengths of the rows' gradients over all blocks, in the index's metric: their `mean`, and the share of rows that
    `count`, (sum |g|)^2 / (n sum |g|^2). Of one run's checkpoints that of the largest mean tells most."""

    mean: float
    count: float


class Index(WorkRecord):
    """An index as the API shows it. Sizes are bytes in Redis; `damping` is lambda a block at scale 0.1, null for
    codes in the optimiser's metric.

    `embedding_bytes`, part of `bytes`, is null until the baseline `embedding` is first asked for.

    `bytes_per_row` is all of `bytes`, the basis included, by row; a row more takes `row_bytes`.

    `progress` is the job's while the index is being built; it is not stored with the record. `built_by` is the job that
    the data are of, where a later job has only computed again what was lost of them.
    """

    only_alone = frozenset({"blocks", "damping", "skipped_rows"})

    name: str | None = None
    spec: IndexSpec
    rows: int
    rows_indexed: int | None = None
    skipped_rows: tuple[str, ...] = ()
    truncated_rows: int | None = None
    shards: int = 0
    rows_per_shard: int = 0
    batch_tokens: int | None = None
    blocks: tuple[Block, ...] = ()
    parameters: int | None = None
    bytes: int | None = None
    bytes_per_row: float | None = None
    row_bytes: float | None = None
    embedding_bytes: int | None = None
    damping: dict[str, float] | None = None
    gradient_lengths: GradientLengths | None = None
    fidelity: Json | None = None
    precision_fidelity: Json | None = None
    growth: Growth | None = None
    calibrations: tuple[Calibration, ...] = ()
    estimate: Json | None = None
    timings: dict[str, float] | None = None
    warnings: tuple[str, ...] = ()
    progress: Progress | None = None
    built_by: str | None = None
    ready_at: datetime | None = None

    @property
    def build(self) -> str:
        """What the names of all its data begin with: two builds of one index, one of them cancelled, never mix."""
        return f"{self.id}.{self.built_by or self.job_id}"

    @property
    def rows_per_second(self) -> float | None:
        """Rows whose gradients its build computed a second, None where nobody knows."""
        return (self.timings or {}).get("rows_per_second")

    @property
    def data_id(self) -> str:
        return self.build

    @property
    def sources(self) -> frozenset[str]:
        joined = (one.checkpoint_id for one in self.spec.joined)
        return frozenset({self.spec.checkpoint_id, self.spec.dataset_id, *joined})


class ShardCommit(Frozen):
    """Written once a shard's bytes are all in Redis. `rows` counts rows kept, `skipped` names rows left out.

    `length_sums` are sums over kept rows of the lengths of their gradients, and of the squares of those.
    `squared_norm_sums` (blocks) are over the kept rows of full storage. Compact storage has them in its moments and
    says what is new to the basis: `computed` kept rows, their normalised energy and what of it the basis misses.
    """

    shard: int
    rows: int
    skipped: tuple[str, ...] = ()
    truncated: int = 0
    bytes: int
    seconds: float
    chunks: int
    squared_norm_sums: tuple[float, ...] = ()
    length_sums: tuple[float, float] | None = None
    computed: int | None = None
    energy: float | None = None
    missed_energy: float | None = None
