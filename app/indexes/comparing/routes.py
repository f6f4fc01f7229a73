"""/v1/comparisons"""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from app.checks.readiness import require_ready
from app.http.auth import GUARDED
from app.http.context import Context, Ctx
from app.http.problems import describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from app.indexes.comparing.answers import compare_audits, compare_queries
from app.indexes.comparing.rows import describe_changes, match_rows
from influence.contracts.common import Request
from influence.contracts.curation.comparison import Comparison
from influence.errors import IndexFailed, IndexNotReady, NotFound
from influence.rows.file import RowFile

router = APIRouter(prefix="/v1/comparisons", tags=["indexes"], route_class=StrictRoute, dependencies=GUARDED)

_NO_QUERIES = "No finished query was asked of both indexes in the same words: send the same request to both."
_NO_AUDITS = "There are no finished audits of both indexes by the same method and signals."


class ComparisonParameters(Request):
    """Two indexes, the older one first."""

    from_: str = Field(alias="from", max_length=200)
    to: str = Field(max_length=200)


@router.get(
    "",
    response_model=Comparison,
    summary="Compare two indexes",
    responses=describe_errors(NotFound, IndexNotReady, IndexFailed),
)
def compare(context: Ctx, parameters: Annotated[ComparisonParameters, Query()]) -> Response:
    """Which rows came, went or carry another label; how the same question ranks the rows that both have; and what
    audits of both say. Queries and audits are the newest that both were asked alike."""
    return json_response(_compare(context, parameters.from_, parameters.to))


def _compare(context: Context, before: str, after: str) -> Comparison:
    store = context.store
    first, second = (require_ready(store, index_id) for index_id in (before, after))
    with (
        RowFile(context.files.dataset(first.spec.dataset_id)) as old,
        RowFile(context.files.dataset(second.spec.dataset_id)) as new,
    ):
        match = match_rows(old, new)
        rows = describe_changes(match, old, new)
    queries = compare_queries(store, before, after, match)
    audits = compare_audits(context, before, after, match)
    missing = ((queries, _NO_QUERIES), (audits, _NO_AUDITS))
    return Comparison(
        from_index_id=before,
        to_index_id=after,
        rows=rows,
        queries=queries,
        audits=audits,
        notes=tuple(note for found, note in missing if found is None),
    )
