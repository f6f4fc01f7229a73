"""Which queries are listed: as other work, and by a row that their answers show."""

from typing import Annotated

from fastapi import Depends
from fastapi import Query as QueryString
from pydantic import Field

from app.http.context import Ctx
from app.http.listing import WorkList, WorkParameters
from app.http.pagination import bounds_of
from influence.contracts.query import Query

#: A row counts where it stands among so many of the most helpful, the most harmful or the largest.
FIRST_ROWS = 10


class QueryListParameters(WorkParameters):
    """A page of the queries that fit."""

    row_index: int | None = Field(
        None, ge=0, description=f"With this row of the index's data set among the first {FIRST_ROWS} of an answer."
    )


async def find_queries(context: Ctx, parameters: Annotated[QueryListParameters, QueryString()]) -> WorkList:
    """Raises InvalidRequest."""
    row = parameters.row_index
    return WorkList(bounds_of(context, parameters), parameters, lambda query: row is None or shows_row(query, row))


def shows_row(query: Query, row_index: int) -> bool:
    """Whether a row stands among the first rows of any list of an answer."""
    lists = (ranked for result in query.results or () for ranked in (result.helpful, result.harmful, result.absolute))
    return any(row.row_index == row_index for ranked in lists for row in ranked[:FIRST_ROWS])


QueriesOf = Annotated[WorkList, Depends(find_queries)]
