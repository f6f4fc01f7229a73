"""What the service says of a way to score rows."""

from influence.contracts.common import Frozen
from influence.contracts.index import Storage


class MethodDescription(Frozen):
    """A method or baseline that a query can name. `cost` is that of a query; damping is null where it has none."""

    name: str
    title: str
    summary: str
    is_baseline: bool
    storages: tuple[Storage, ...]
    default_damping_scale: float | None
    has_self_influence: bool
    cost: str
