"""Results as a worker would write them, for tests that need no worker, and what a test knows to be there."""

from typing import TypeVar

from influence.contracts.query import Histogram, Query, TestPointResult
from influence.store.store import Store

T = TypeVar("T")


def present(value: T | None) -> T:
    """The value, which a test knows to be there."""
    assert value is not None
    return value


def finish_query(store: Store, query_id: str, test_points: int = 1) -> Query:
    """Write the results of a query and end its job."""
    result = TestPointResult(
        example={"text": "x"}, loss=0.5, histogram=Histogram(hist=(1,), bin_edges=(0.0, 1.0)), summary={}
    )
    done = {"state": "succeeded", "results": (result,) * test_points, "rows_scored": 12}
    query = store.queries.update(query_id, lambda found: found.model_copy(update=done))
    store.jobs.succeed(query.job_id)
    return query
