"""The calls that a view begins with: a browser that is told of them makes them while the page's modules come.

It makes them without a key, and so is told of them only where none is asked for.
"""

import re

from fastapi import Request

from app.http.auth import Doorkeeper
from influence.errors import Unauthorised
from influence.store.connections import StoreError

_ID = "[A-Za-z0-9_-]+"
#: Paths below `/ui`, and what their views ask for first, letter by letter. Each is asked for once.
_CALLS: dict[re.Pattern[str], tuple[str, ...]] = {
    re.compile("/"): ("/v1/checkpoints?limit=100", "/v1/datasets?limit=100", "/v1/indexes?limit=100"),
    re.compile(f"/indexes/({_ID})/?"): ("/v1/indexes/{}",),
    re.compile(f"/audits/({_ID})/?"): ("/v1/audits/{}", "/v1/audits/{}/rows?offset=0&length=50"),
    re.compile(f"/reviews/({_ID})/?"): ("/v1/reviews/{}", "/v1/reviews/{}/rows?offset=0&length=50"),
    re.compile(f"/groups/({_ID})/?"): ("/v1/groups/{}",),
}


async def find_first_calls(request: Request, path: str) -> tuple[str, ...]:
    """The calls of the view at a path, none where the address says more: that changes what is asked for."""
    found = next(((calls, match) for pattern, calls in _CALLS.items() if (match := pattern.fullmatch(path))), None)
    if found is None or request.url.query or not await _takes_everyone(request):
        return ()
    calls, match = found
    return tuple(call.format(*match.groups()) for call in calls)


async def _takes_everyone(request: Request) -> bool:
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    try:
        await doorkeeper.identify(None)
    except (Unauthorised, StoreError):
        return False
    return True
