"""What scores say before anybody has trained again."""

from pydantic import Field

from influence.contracts.common import Request


class Predicted(Request):
    """What scores said of leaving rows out, to stand beside what training says. `effect` is the sum of mean scores,
    `percentile` the share of random sets of that size with a lower one, `change` in units of loss where calibrated."""

    effect: float = Field(allow_inf_nan=False)
    percentile: float = Field(ge=0, le=100, allow_inf_nan=False)
    change: float | None = Field(None, allow_inf_nan=False)
