"""Baselines: ways to rank training rows that are no influence, to hold the methods against.

A baseline that does as well as a method on a data set says that gradients are not worth their price there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from influence.contracts.index import Storage
from influence.errors import MethodNotOffered

#: Stands in the notes of every answer of a baseline.
BASELINE_NOTE = "Baseline, not an influence: "


@dataclass(frozen=True)
class Baseline:
    """A baseline as a query names it. Its score is a similarity, higher = likelier source; influence = -score."""

    name: str
    title: str
    summary: str
    cost: str
    is_baseline: bool = True
    default_damping_scale: float | None = None
    storages: frozenset[Storage] = frozenset({"full", "compact"})
    has_self_influence: bool = False

    @property
    def note(self) -> str:
        """What an answer says of itself."""
        return f"{BASELINE_NOTE}{self.summary[0].lower()}{self.summary[1:]}"

    def damping_scale(self, requested: float | None) -> float:
        """Damping means nothing to a baseline."""
        return 1.0

    def refuse_as_method(self) -> MethodNotOffered:
        """The error of one who needs an influence."""
        return MethodNotOffered(
            f"'{self.name}' is a baseline, not an influence.", hint="Use 'datainf', or another influence method."
        )


EMBEDDING = Baseline(
    name="embedding",
    title="Embedding similarity",
    summary="Cosine similarity of mean-pooled last hidden states: rows that read alike, whatever they taught.",
    cost="one pass over embeddings; the first query runs the model over every row",
)

BASELINES: Mapping[str, Baseline] = MappingProxyType({EMBEDDING.name: EMBEDDING})
