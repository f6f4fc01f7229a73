"""Can it be said how much the rows of an answer stand out?"""

from typing import Any

from app.checks.test_points import count_test_points
from influence.auditing.levels import FEWEST_POINTS
from influence.contracts.query import QueryRequest
from influence.errors import InvalidRequest
from influence.methods.base import Method
from influence.methods.baselines import Baseline
from influence.store.store import Store


def check_levels(store: Store, rows: int, request: QueryRequest, method: Method[Any] | Baseline) -> None:
    """Raise InvalidRequest where 'levels' is asked for and no null of single test points' scores tells them."""
    if "levels" not in request.include:
        return
    if isinstance(method, Baseline):
        raise _refuse(f"Baseline '{method.name}' compares rows; levels are of influence.")
    if request.against is not None:
        raise _refuse("Levels are of losses, and 'against' asks about the difference of two.")
    if request.aggregate == "mean" and count_test_points(store, request) > 1:
        raise _refuse("Levels are of single test points, and 'aggregate' asks about the mean of several.")
    if rows < 2 * FEWEST_POINTS:
        raise _refuse(f"The index has {rows} rows; levels are learnt from {2 * FEWEST_POINTS} or more.")


def _refuse(detail: str) -> InvalidRequest:
    return InvalidRequest(detail, hint="Leave 'levels' out of 'include'.", extra={"field": "include"})
