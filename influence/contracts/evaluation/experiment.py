"""What is asked of training: the recipe, the model, the methods to judge, and what each kind of experiment takes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from influence.contracts.checkpoint import MAX_PATTERNS
from influence.contracts.common import (
    DampingScale,
    LossScope,
    MaxLength,
    Named,
    Numbers,
    Reduction,
    Request,
    RowIndexes,
    Seeds,
)
from influence.contracts.curation.prediction import Predicted
from influence.contracts.index import DEFAULT_RANK, Measurement, Storage
from influence.contracts.query import Direction

EvaluationKind = Literal["correlation", "mislabelled", "class-attribution", "lds", "leave-out", "calibrate"]
Optimizer = Literal["adamw", "sgd"]
MAX_PIECES = 10_000
#: Most test points of an experiment.
MAX_TEST_ROWS = 1024
_SEEDS = "One or more trainings per seed."
_FLIPS = "Share of the labels flipped on purpose."
_SUBSETS = "Subsets of the rows that are trained on."
_SHARE = "Share of the rows in a subset."


class TrainingRecipe(Request):
    """AdamW or gradient descent, with a linear warm-up and decay, over batches of rows of like length, shuffled every
    epoch.

    A batch's loss is the mean over its rows, or over its supervised tokens where a row's loss is their sum. `seed`
    decides the fresh adapter, the head, the order of batches and dropout.
    """

    optimizer: Optimizer = Field(
        "adamw", description="'sgd' is plain gradient descent with momentum 0.9; its learning rate is to be larger."
    )
    epochs: int = Field(6, ge=1, le=1000, description="Epochs per training.")
    batch_rows: int = Field(16, ge=1, le=4096, description="Rows per step.")
    learning_rate: float = Field(2e-3, gt=0, le=1, allow_inf_nan=False, description="Highest learning rate.")
    warmup_share: float = Field(0.1, ge=0, le=1, description="Share of all steps until the full learning rate.")
    weight_decay: float = Field(0.01, ge=0, le=10, allow_inf_nan=False)
    max_gradient_norm: float = Field(1.0, gt=0, le=1e9, allow_inf_nan=False)
    lora_dropout: float = Field(0.05, ge=0, lt=1)
    seed: int = Field(0, ge=0, lt=1 << 31)


class MethodChoice(Request):
    """A method as it will be asked: its own default damping where none is given; `rank` is for compact storage.

    `checkpoints` above 1 sums the method over so many checkpoints of the training run, spread evenly over its epochs
    and weighted by their learning rates; `epochs` names the checkpoints, those after these epochs, instead.
    `measurement` (of models that make images) and `reduction` (of losses on tokens) say what gradients are taken of, on
    rows and test points alike; training stays as it is.
    """

    method: str
    damping_scale: DampingScale | None = None
    storage: Storage = "full"
    rank: int = Field(DEFAULT_RANK, ge=1, le=1024)
    checkpoints: int = Field(1, ge=1, le=32)
    epochs: Numbers | None = Field(None, min_length=1, max_length=32)
    measurement: Measurement = Field("loss", description="Of image models: what gradients are taken of.")
    reduction: Reduction | None = Field(
        None, description="Gradients of the mean or the sum over a row's tokens; as in training where it is left out."
    )

    @model_validator(mode="after")
    def _one_choice_of_checkpoints(self) -> "MethodChoice":
        if self.epochs is not None and self.checkpoints > 1:
            raise ValueError("give either 'checkpoints' or 'epochs'")
        return self

    @property
    def sums(self) -> bool:
        """Whether more than one checkpoint is asked for."""
        return self.checkpoints > 1 or len(self.epochs or ()) > 1

    @property
    def gradients(self) -> tuple[Measurement, Reduction | None]:
        """What gradients are taken of: choices that are alike in this share them."""
        return self.measurement, self.reduction

    @property
    def title(self) -> str:
        """A short name that tells choices apart in a table."""
        scale = "" if self.damping_scale is None else f" x{self.damping_scale:g}"
        storage = f", compact rank {self.rank}" if self.storage == "compact" else ""
        run = f", {self.checkpoints} checkpoints" if self.checkpoints > 1 else ""
        if self.epochs is not None:
            run = f", after epoch {' + '.join(map(str, self.epochs))}"
        measured = "" if self.measurement == "loss" else f", {self.measurement}"
        measured += "" if self.reduction is None else f", {self.reduction} over tokens"
        return f"{self.method}{scale}{storage}{run}{measured}"


class LoraShape(Request):
    """The fresh adapter of a model that an evaluation trains. No target modules: PEFT's choice for the architecture."""

    r: int = Field(8, ge=1, le=1024, description="Rank of the fresh adapter.")
    lora_alpha: float = Field(8, gt=0, le=1e6, allow_inf_nan=False, description="LoRA alpha.")
    target_modules: tuple[str, ...] | None = Field(
        None, max_length=100, description="Layers that take it; the usual ones of the architecture when left out."
    )


class Experiment(Named):
    """What is trained and on what. Either `index_id` (its base model, adapter shape and rows), or a model to train.

    What a kind is and what it takes is said here, once, for all who treat the kinds alike: whether it
    `trains_its_own` models, so that it judges no index, or `needs_index`; the `storages` that its methods may be asked
    on, and whether they may be summed over the checkpoints of a training. One that `compares_classes` takes
    completions with a class each, measures the loss on prompts as well, holds out a tenth of every class, and makes a
    small model from the rows where none is named.
    """

    trains_its_own: ClassVar[bool] = False
    needs_index: ClassVar[bool] = False
    storages: ClassVar[tuple[Storage, ...]] = ("full", "compact")
    sums_checkpoints: ClassVar[bool] = True
    compares_classes: ClassVar[bool] = False

    index_id: str | None = Field(None, description="Judge this index: its checkpoint gives the gradients.")
    base_model: str | None = Field(
        None, description="Alias, path or hub id; left out for causal rows: a small model made from the rows."
    )
    revision: str | None = Field(None, description="Hub revision of the base model.")
    dataset_id: str | None = Field(None, description="Training rows, where no index is named.")
    evaluation_dataset_id: str | None = Field(
        None, description="Test points; a seeded tenth of the training rows is held out where it is left out."
    )
    rows: int | None = Field(None, ge=8, le=1_000_000, description="Training rows drawn by the seed; all if left out.")
    test_points: int = Field(100, ge=1, le=MAX_TEST_ROWS, description="Number of test rows to score.")
    max_length: MaxLength = Field(128, description="Tokens per row.")
    loss: LossScope | None = Field(None, description="Which tokens carry loss; by default what the rows imply.")
    reduction: Reduction = Field(
        "mean", description="A row's loss is the mean or the sum over its tokens, in training as in gradients."
    )
    lora: LoraShape = LoraShape()
    trainable: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        max_length=MAX_PATTERNS,
        description="Train these modules of the base model itself, by names with * and ?, in an adapter's place.",
    )
    recipe: TrainingRecipe = TrainingRecipe()
    methods: tuple[MethodChoice, ...] | None = Field(
        None, min_length=1, max_length=50, description="Those that the kind compares when left out."
    )

    @property
    def trainings(self) -> int:
        """How many times a model is trained, where that depends on the request."""
        return sum(times for times, _ in self.trained_on(0))

    def trained_on(self, rows: int) -> list[tuple[int, int]]:
        """Of `rows` training rows: how many models are trained on how many of them."""
        return [(1, rows)]

    @property
    def flips(self) -> bool:
        """Whether labels are flipped on purpose, so that rows need labels."""
        return bool(getattr(self, "flip_share", 0.0))

    @property
    def most_left_out(self) -> int:
        """Rows that are left out of one training, at most."""
        return 0

    @property
    def named_rows(self) -> tuple[int, ...] | None:
        """The rows that the caller would have left out; None where scores or chance choose."""
        return None

    @property
    def named_test_rows(self) -> tuple[int, ...] | None:
        """The caller's own choice of test points among the evaluation rows."""
        return None

    @model_validator(mode="after")
    def _one_source(self) -> "Experiment":
        if (self.index_id is None) == (self.dataset_id is None):
            raise ValueError("give either 'index_id' or 'dataset_id'")
        return self

    @model_validator(mode="after")
    def _one_way_of_training(self) -> "Experiment":
        if self.trainable is not None and self.lora != LoraShape():
            raise ValueError("give either 'lora' or 'trainable'")
        if self.trainable is not None and self.recipe.lora_dropout != TrainingRecipe().lora_dropout:
            raise ValueError("'lora_dropout' would have no effect on 'trainable': leave it out")
        return self

    @model_validator(mode="after")
    def _different_methods(self) -> "Experiment":
        titles = [choice.title for choice in self.methods or ()]
        if repeated := [title for title in titles if titles.count(title) > 1]:
            raise ValueError(f"'methods' names {repeated[0]!r} twice")
        return self


class CorrelationRequest(Experiment):
    """The DataInf paper's Figure 1: agreement of each method with `exact` over LoRA ranks."""

    trains_its_own = True

    kind: Literal["correlation"]
    ranks: Numbers = Field((1, 2, 4, 8), min_length=1, max_length=20, description="LoRA ranks to compare.")
    seeds: Seeds = Field((0,), min_length=1, max_length=20, description=_SEEDS)

    def trained_on(self, rows: int) -> list[tuple[int, int]]:
        return [(len(self.ranks) * len(self.seeds), rows)]

    @model_validator(mode="after")
    def _of_adapters(self) -> "CorrelationRequest":
        if self.trainable is not None:
            raise ValueError("'ranks' are those of adapters: leave 'trainable' out")
        return self


class MislabelledRequest(Experiment):
    """The paper's Figure 2: how well each method finds labels that were flipped on purpose."""

    trains_its_own = True

    kind: Literal["mislabelled"]
    flip_share: float = Field(0.2, gt=0, lt=1, description=_FLIPS)
    seeds: Seeds = Field((0, 1, 2), min_length=1, max_length=20, description=_SEEDS)

    def trained_on(self, rows: int) -> list[tuple[int, int]]:
        return [(len(self.seeds), rows)]


class ClassAttributionRequest(Experiment):
    """The paper's Llama tables: do test generations point at training rows of their own class?"""

    trains_its_own = True
    storages = ("full",)
    sums_checkpoints = False
    compares_classes = True

    kind: Literal["class-attribution"]
    seeds: Seeds = Field((0,), min_length=1, max_length=20, description=_SEEDS)

    def trained_on(self, rows: int) -> list[tuple[int, int]]:
        return [(len(self.seeds), rows)]


class LdsRequest(Experiment):
    """Linear datamodelling score: do summed scores of a subset predict the test losses after training on it?

    With two trainings or more of each subset the report says how far they agree, and so what any scores can reach.
    """

    kind: Literal["lds"]
    subsets: int = Field(48, ge=4, le=2000, description=_SUBSETS)
    retrain_seeds: int = Field(
        1, ge=1, le=16, description="Trainings per subset, each from a seed of its own; two or more show the ceiling."
    )
    same_seed: bool = Field(
        False, description="Train all subsets from the same seeds: less chance, and a truth of those seeds alone."
    )
    subset_share: float = Field(0.5, gt=0, lt=1, description=_SHARE)
    flip_share: float = Field(0.0, ge=0, lt=1, description=_FLIPS)
    seeds: Seeds = Field((0,), min_length=1, max_length=20, description=_SEEDS)

    def trained_on(self, rows: int) -> list[tuple[int, int]]:
        return [(self.subsets * self.retrain_seeds * len(self.seeds), int(self.subset_share * rows))]


#: Those that name the rows to leave out where a request names none.
LEAVE_OUT_METHODS = ("datainf", "exact", "proximal")
#: What `row_indexes` decides in place of scores.
_BY_SCORES = ("drop", "counts", "methods", "flip_share", "seeds")


class LeaveOutRequest(Experiment):
    """Leave out rows, those that scores name or those of the caller, train again, and compare with rows at random."""

    kind: Literal["leave-out"]
    drop: Direction = Field("helpful", description="The rows of highest ('helpful') or lowest ('harmful') score.")
    counts: Numbers = Field((30, 60, 120), min_length=1, max_length=20, description="How many rows are left out.")
    repeats: int = Field(3, ge=1, le=100, description="Trainings per choice, and random choices to compare with.")
    flip_share: float = Field(0.0, ge=0, lt=1, description=_FLIPS)
    seeds: Seeds = Field((0,), min_length=1, max_length=20, description=_SEEDS)
    row_indexes: RowIndexes | None = Field(
        None, description="Leave out just these rows of an index's data set, whatever scores say."
    )
    evaluation_row_indexes: RowIndexes | None = Field(
        None, description="The test points among the rows of 'evaluation_dataset_id'; with 'row_indexes'."
    )
    predicted: Predicted | None = Field(None, description="What is shown beside what is measured; with 'row_indexes'.")

    @model_validator(mode="after")
    def _rows_or_scores(self) -> "LeaveOutRequest":
        if self.row_indexes is None:
            if self.evaluation_row_indexes is not None or self.predicted is not None:
                raise ValueError("'evaluation_row_indexes' and 'predicted' go with 'row_indexes'")
            return self
        if self.index_id is None:
            raise ValueError("'row_indexes' are rows of an index: name it in 'index_id'")
        fields = type(self).model_fields  # a stored request has all of its fields set
        if given := [name for name in _BY_SCORES if getattr(self, name) != fields[name].default]:
            raise ValueError(f"'row_indexes' says which rows are left out; {given[0]!r} would have no effect")
        if self.evaluation_row_indexes is not None and len(self.evaluation_row_indexes) > MAX_TEST_ROWS:
            raise ValueError(f"at most {MAX_TEST_ROWS} test points are taken")
        return self

    def trained_on(self, rows: int) -> list[tuple[int, int]]:
        if self.row_indexes is not None:  # all rows, without these, without as many at random
            return [(self.repeats, rows), (2 * self.repeats, rows - len(self.row_indexes))]
        each = self.repeats * len(self.seeds)
        choices = 1 + (len(self.methods) if self.methods else len(LEAVE_OUT_METHODS))
        return [(each, rows), *((each * choices, rows - count) for count in self.counts)]

    @property
    def most_left_out(self) -> int:
        return max(self.counts) if self.row_indexes is None else len(self.row_indexes)

    @property
    def named_rows(self) -> tuple[int, ...] | None:
        return self.row_indexes

    @property
    def named_test_rows(self) -> tuple[int, ...] | None:
        return self.evaluation_row_indexes


class CalibrateRequest(Experiment):
    """A scale from scores to predicted change of loss, fitted on retrained subsets."""

    needs_index = True

    kind: Literal["calibrate"]
    subsets: int = Field(32, ge=8, le=2000, description=_SUBSETS)
    subset_share: float = Field(0.9, gt=0, lt=1, description=_SHARE)

    def trained_on(self, rows: int) -> list[tuple[int, int]]:
        return [(self.subsets, int(self.subset_share * rows))]


EvaluationRequest = Annotated[
    CorrelationRequest | MislabelledRequest | ClassAttributionRequest | LdsRequest | LeaveOutRequest | CalibrateRequest,
    Field(discriminator="kind"),
]
#: The requests by the name of their kind.
EXPERIMENTS: Mapping[str, type[Experiment]] = MappingProxyType(
    {get_args(found.model_fields["kind"].annotation)[0]: found for found in get_args(get_args(EvaluationRequest)[0])}
)
