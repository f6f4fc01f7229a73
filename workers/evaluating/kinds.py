"""All kinds of evaluation by name."""

from collections.abc import Mapping
from types import MappingProxyType

from influence.errors import InvalidRequest
from workers.evaluating.base import EvaluationKind
from workers.evaluating.class_attribution import ClassAttribution

KINDS: Mapping[str, EvaluationKind] = MappingProxyType({"class-attribution": ClassAttribution()})


def find_kind(kinds: Mapping[str, EvaluationKind], name: str) -> EvaluationKind:
    """The kind of a name. Raises InvalidRequest for one that this worker is too old for."""
    if name not in kinds:
        raise InvalidRequest(
            f"This worker knows no evaluation of kind '{name}'.",
            hint=f"Update the workers; this one knows {', '.join(kinds)}.",
        )
    return kinds[name]
