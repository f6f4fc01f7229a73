"""How a GET says which rows, and in which order."""

from typing import Literal

from pydantic import Field

from app.http.bodies import validate
from app.http.pagination import RowParameters
from app.http.strict_json import parse_json
from influence.contracts.common import Request
from influence.contracts.curation.conditions import RowSearch, SearchText
from influence.errors import InvalidRequest

_MAX_WHERE_CHARACTERS = 20_000


class FilterParameters(Request):
    """`where` and `q`, as in the bodies of other calls."""

    where: str | None = Field(
        None,
        max_length=_MAX_WHERE_CHARACTERS,
        description="JSON list of conditions that all have to hold, each {column, op, value}; op is eq, ne, in, gt, "
        "lt, contains or is_null.",
        examples=['[{"column": "source", "op": "in", "value": ["web", "mail"]}]'],
    )
    q: SearchText | None = Field(None, description='Words of the row\'s text, in any order; "in quotes" together.')

    @property
    def search(self) -> RowSearch:
        """What is asked. Raises InvalidRequest."""
        return read_search(self.where, self.q)


class SearchParameters(RowParameters, FilterParameters):
    """A page of the rows that fit."""

    sort: str | None = Field(None, max_length=300, description="A column; row order when left out.")
    order: Literal["desc", "asc"] | None = Field(
        None, description="Rising when left out, but for figures of an audit, of which the highest come first."
    )


def read_search(where: str | None, q: str | None) -> RowSearch:
    """Raises InvalidRequest for what is no JSON list of conditions."""
    try:
        conditions = None if where is None else parse_json(where)
    except InvalidRequest as error:
        raise InvalidRequest(f"'where' is not JSON: {error.detail}", hint=error.hint) from error
    return validate(RowSearch, {"where": conditions, "q": q})
