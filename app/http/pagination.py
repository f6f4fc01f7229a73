"""Query parameters of lists."""

from typing import Annotated

from fastapi import Depends, Query

from app.http.context import Context, Ctx
from influence.contracts.common import Request
from influence.errors import InvalidRequest


class PageParameters(Request):
    """`?limit=&after=`; anything else is refused."""

    limit: int | None = None
    after: str | None = None


class RowParameters(Request):
    """`?offset=&length=`; anything else is refused."""

    offset: int = 0
    length: int | None = None


class Bounds:
    """Checked parameters of one list call."""

    def __init__(self, length: int, *, after: str | None = None, offset: int = 0) -> None:
        self.length = length
        self.after = after
        self.offset = offset


async def find_page(context: Ctx, parameters: Annotated[PageParameters, Query()]) -> Bounds:
    """Length and cursor of a page. Raises InvalidRequest."""
    return Bounds(_checked_length(context, "limit", parameters.limit), after=parameters.after)


def check_bounds(context: Context, parameters: RowParameters) -> Bounds:
    """Offset and length within what the settings allow. Raises InvalidRequest."""
    if parameters.offset < 0:
        raise InvalidRequest(f"offset is {parameters.offset}.", hint="Rows count from 0.")
    return Bounds(_checked_length(context, "length", parameters.length), offset=parameters.offset)


def _checked_length(context: Context, name: str, given: int | None) -> int:
    most = context.settings.max_page_length
    length = min(context.settings.default_page_length, most) if given is None else given
    if not 1 <= length <= most:
        raise InvalidRequest(f"{name} is {length}.", hint=f"Ask for 1 to {most}.", extra={f"max_{name}": most})
    return length


PageOf = Annotated[Bounds, Depends(find_page)]
