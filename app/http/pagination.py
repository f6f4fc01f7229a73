"""Query parameters of lists."""

from typing import Annotated, TypedDict

from fastapi import Depends, Query

from app.http.context import Context, Ctx
from influence.contracts.common import Request
from influence.errors import InvalidRequest

#: What no list is as long as: an offset with a page behind it still is a whole number of Redis and of arrays.
_MOST_ROWS = 1 << 53


class PageParameters(Request):
    """`?limit=&after=`; anything else is refused."""

    limit: int | None = None
    after: str | None = None


class RowParameters(Request):
    """`?limit=&after=` as in every list, where `after` is the `next` of the page before; `offset` and `length` are
    their older names. Anything else is refused."""

    offset: int | None = None
    length: int | None = None
    after: int | None = None
    limit: int | None = None


class Beyond(TypedDict):
    """Fields of a page."""

    has_more: bool
    next: int | None


class Bounds:
    """Checked parameters of one list call."""

    def __init__(self, length: int, *, after: str | None = None, offset: int = 0) -> None:
        self.length = length
        self.after = after
        self.offset = offset

    def beyond(self, shown: int, total: int) -> Beyond:
        """What a page of so many rows says of those behind it."""
        stop = self.offset + shown
        more = stop < total and shown > 0
        return {"has_more": more, "next": stop if more else None}


async def find_page(context: Ctx, parameters: Annotated[PageParameters, Query()]) -> Bounds:
    """Length and cursor of a page. Raises InvalidRequest."""
    return bounds_of(context, parameters)


def bounds_of(context: Context, parameters: PageParameters) -> Bounds:
    """Length and cursor of a page. Raises InvalidRequest."""
    return Bounds(_checked_length(context, "limit", parameters.limit), after=parameters.after)


def check_bounds(context: Context, parameters: RowParameters) -> Bounds:
    """Offset and length within what the settings allow. Raises InvalidRequest."""
    offset = _one_of(parameters, "offset", "after") or 0
    if not 0 <= offset < _MOST_ROWS:
        raise InvalidRequest(f"offset is {offset}.", hint="Rows count from 0, and no list is so long.")
    name = "length" if parameters.limit is None else "limit"
    return Bounds(_checked_length(context, name, _one_of(parameters, "length", "limit")), offset=offset)


def _one_of(parameters: RowParameters, first: str, second: str) -> int | None:
    """The value under either of two names. Raises InvalidRequest where both are given."""
    given: list[int] = [
        value for value in (getattr(parameters, first), getattr(parameters, second)) if value is not None
    ]
    if len(given) > 1:
        raise InvalidRequest(f"'{first}' and '{second}' are the same.", hint=f"Send '{second}' alone.")
    return given[0] if given else None


def _checked_length(context: Context, name: str, given: int | None) -> int:
    most = context.settings.max_page_length
    length = min(context.settings.default_page_length, most) if given is None else given
    if not 1 <= length <= most:
        raise InvalidRequest(f"{name} is {length}.", hint=f"Ask for 1 to {most}.", extra={f"max_{name}": most})
    return length


PageOf = Annotated[Bounds, Depends(find_page)]
