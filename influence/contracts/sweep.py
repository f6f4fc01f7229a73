"""A sweep: how much a method's rankings depend on its damping, for some test points of an index."""

from pydantic import Field, model_validator

from influence.contracts.common import DampingScale, Frozen
from influence.contracts.points import PointSource
from influence.contracts.work_record import WorkRecord

#: All scores at all dampings are compared at once.
MAX_SWEEP_POINTS = 256
MIN_SCALES, MAX_SCALES = 2, 20
#: Without a list: these times the method's default.
DEFAULT_STEPS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)


class SweepRequest(PointSource):
    """`POST /v1/indexes/{id}/sweeps`: give `examples` or `rows`, not both."""

    method: str = Field("datainf", description="A method that has a damping, or 'auto', as for a query.")
    damping_scales: tuple[DampingScale, ...] | None = Field(
        None,
        min_length=MIN_SCALES,
        max_length=MAX_SCALES,
        description="From 0.01 to 1000 times the method's default when left out; the default is always compared.",
        examples=[[0.01, 0.1, 1.0, 10.0]],
    )

    evaluation_id: str | None = Field(
        None,
        description="An evaluation of kind 'lds' of this index: it says how well each damping agrees with retraining."
        " The newest one when left out, if there is any.",
        examples=["eval_01J9"],
    )

    @model_validator(mode="after")
    def _all_different(self) -> "SweepRequest":
        if self.damping_scales is not None and len(set(self.damping_scales)) < len(self.damping_scales):
            raise ValueError("a damping scale is named twice")
        return self


class SweepRow(Frozen):
    """One damping against the method's default, means over test points. `overlap_with_default` is the share in common
    of the `top` most helpful and the `top` most harmful rows. `lds` is the linear datamodelling score on the test
    points of the sweep's evaluation, with the ends of its interval; None without one."""

    damping_scale: float
    is_default: bool
    spearman_with_default: float
    overlap_with_default: float
    lds: float | None = None
    lds_low: float | None = None
    lds_high: float | None = None


class SweepResult(Frozen):
    """`rows` by ascending damping; `spearman` is the mean rank correlation of each pair of them, in that order."""

    rows: tuple[SweepRow, ...]
    spearman: tuple[tuple[float, ...], ...]
    top: int
    test_points: int
    rows_scored: int


class Sweep(WorkRecord):
    """A sweep and, once its job succeeded, its result. `method_reason` says why the method was taken where the request
    left it open ('auto')."""

    only_alone = frozenset({"result"})

    index_id: str
    request: SweepRequest
    method: str
    method_reason: str | None = None
    damping_scales: tuple[float, ...]
    default_damping_scale: float
    storage: str
    evaluation_id: str | None = None
    result: SweepResult | None = None
    milliseconds: dict[str, float] | None = None

    @property
    def sources(self) -> frozenset[str]:
        return frozenset({self.index_id, *self.request.sources})
