"""Lists that come in pages, as iterators."""

import json
from collections.abc import Iterator
from typing import Any

from datainf_client.http.session import Json, Session


def pages(session: Session, path: str, **parameters: Any) -> Iterator[Json]:
    """Items of a list, the newest first; the next page is read when it is needed."""
    after: str | None = None
    while True:
        page = session.get(path, after=after, **parameters)
        yield from page["data"]
        after = page.get("next")
        if after is None:
            return


def slices(session: Session, path: str, *, offset: int = 0, where: Any = None, **parameters: Any) -> Iterator[Json]:
    """Rows in their order, from `offset` on. Without a length the service sends pages of its own size.

    `where` is a list of conditions `{column, op, value}`, or its JSON.
    """
    parameters["where"] = where if where is None or isinstance(where, str) else json.dumps(list(where))
    following: int | None = offset
    while following is not None:
        page = session.get(path, offset=following, **parameters)
        yield from page["data"]
        following = page.get("next")
