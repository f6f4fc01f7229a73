"""Figures of an audit that conditions and orders know: its columns, and what follows from them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.auditing.signals import Columns, margins, predicted_probabilities
from influence.contracts.curation.conditions import Condition
from influence.errors import InvalidRequest
from influence.ranking.order import scores_of

#: Figures that conditions and orders know, beside columns of their own name, each with the columns that it needs.
_DERIVED: dict[str, tuple[str, ...]] = {
    "score": ("influence",),
    "margin": ("probability", "other_probability"),
    "predicted_probability": ("probability", "other_probability", "label", "predicted"),
}
_OWN = ("suspicion", "loss", "self_influence", "influence", "probability", "row_index")
_CLASSES = {"label": "label", "predicted_label": "predicted"}
_COMPARE: dict[str, Callable[[Any, Any], NDArray[np.bool_]]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "gt": np.greater,
    "lt": np.less,
}


def is_figure(name: str, columns: Columns) -> bool:
    """Whether a name means a figure that is at hand in the columns of an audit."""
    needed = _DERIVED.get(name) or ((_CLASSES[name],) if name in _CLASSES else (name,) if name in _OWN else None)
    return needed is not None and all(one in columns for one in needed)


def list_figures(columns: Columns) -> list[str]:
    """Names of all figures that are at hand."""
    return [name for name in (*_OWN, *_CLASSES, *_DERIVED) if is_figure(name, columns)]


def figure(name: str, columns: Columns) -> NDArray[Any]:
    """The values (n,) of a figure, of which `is_figure` holds."""
    if name == "score":
        return scores_of(columns["influence"])
    if name == "margin":
        return margins(columns)
    if name == "predicted_probability":
        return predicted_probabilities(columns)
    return columns[_CLASSES.get(name, name)]


def fits_condition(condition: Condition, columns: Columns, class_of: Callable[[str], int]) -> NDArray[np.bool_]:
    """Whether each row (n,) fits a condition on a figure; `class_of` turns the name of a class into its number.

    Raises InvalidRequest for an operator or a value that is not for numbers, and what `class_of` raises.
    """
    values = figure(condition.column, columns)
    if condition.op == "is_null":
        unknown: NDArray[np.bool_] = np.isnan(values)
        return ~unknown if condition.value is False else unknown
    given = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    is_class = condition.column in _CLASSES
    if condition.op == "contains" or (is_class and condition.op in ("gt", "lt")):
        raise InvalidRequest(
            f"'{condition.op}' is not for '{condition.column}'.",
            hint="Use eq, ne or in." if is_class else "Use eq, ne, in, gt, lt or is_null.",
        )
    known = [class_of(str(one)) if is_class else _number(condition.column, one) for one in given]
    if condition.op == "in":
        return np.isin(values, _as(known, values))
    return _COMPARE[condition.op](values, _as(known[0], values))


def _as(known: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Numbers of a request beside stored ones: rounded as floats are, and never to a whole number."""
    return np.asarray(known, values.dtype if values.dtype.kind == "f" else None)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{str(value)[:80]!r} is no value of '{name}'.", hint=f"'{name}' is a number.")
    return value
