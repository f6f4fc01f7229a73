"""All kinds of evaluation by name."""

from collections.abc import Mapping
from types import MappingProxyType

from influence.errors import InvalidRequest
from workers.evaluating.base import EvaluationKind
from workers.evaluating.kinds.calibrate import Calibrate
from workers.evaluating.kinds.class_attribution import ClassAttribution
from workers.evaluating.kinds.correlation import Correlation
from workers.evaluating.kinds.lds import Lds
from workers.evaluating.kinds.leave_out import LeaveOut
from workers.evaluating.kinds.mislabelled import Mislabelled

KINDS: Mapping[str, EvaluationKind] = MappingProxyType(
    {
        "correlation": Correlation(),
        "mislabelled": Mislabelled(),
        "class-attribution": ClassAttribution(),
        "lds": Lds(),
        "leave-out": LeaveOut(),
        "calibrate": Calibrate(),
    }
)


def find_kind(kinds: Mapping[str, EvaluationKind], name: str) -> EvaluationKind:
    """The kind of a name. Raises InvalidRequest for one that this worker is too old for."""
    if name not in kinds:
        raise InvalidRequest(
            f"This worker knows no evaluation of kind '{name}'.",
            hint=f"Update the workers; this one knows {', '.join(kinds)}.",
        )
    return kinds[name]
