"""What the service says of a way to score rows."""

from typing import Literal

from influence.contracts.common import Frozen
from influence.contracts.index import Metric, Storage


class MethodDescription(Frozen):
    """A method or baseline that a query can name. `cost` is that of a query; damping is null where it has none.

    `on_codes` says what scores from rows' true gradients are on compact storage: `exact`, or as good as each index
    `measured` them; null where there are none. `metric` is that of the codes that can answer it.
    """

    name: str
    title: str
    summary: str
    is_baseline: bool
    storages: tuple[Storage, ...]
    default_damping_scale: float | None
    has_self_influence: bool
    on_codes: Literal["exact", "measured"] | None
    metric: Metric
    cost: str
