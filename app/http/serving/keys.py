"""Asks every call of the API for its key, and what that key may do, before a byte of its body is read.

FastAPI reads and parses bodies before it asks for dependencies: without this, strangers could fill memory.
"""

from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.problems import problem_response, translate_store_error
from influence.errors import DatainfError, Forbidden, Unauthorised
from influence.store.access.key import Identity
from influence.store.connections import StoreError

API = "/v1/"
#: Methods that change nothing.
_READING = frozenset({"GET", "HEAD", "OPTIONS"})

Identify = Callable[[str | None], Awaitable[Identity]]
#: Notes that an address sent a key that is none; raises TooManyRequests where it does so again and again.
Blame = Callable[[str], None]


class KeyGuard:
    """Puts who asks on the request's state, as `identity`. Anything that is no call of the API passes."""

    def __init__(self, app: ASGIApp, *, identify: Identify, blame: Blame) -> None:
        self._app = app
        self._identify = identify
        self._blame = blame

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(API):
            try:
                scope["state"]["identity"] = await self._admit(scope)
            except DatainfError as error:
                await _refuse(error, scope, receive, send)
                return
            except StoreError as error:
                await _refuse(translate_store_error(error), scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Identity:
        given = bearer_of(Headers(scope=scope))
        try:
            identity = await self._identify(given)
        except Unauthorised:
            if given is not None:
                self._blame(address_of(scope))
            raise
        if not identity.may("read" if scope["method"] in _READING else "write"):
            raise Forbidden(f"This key may read; {scope['method']} asks for the scope 'write'.")
        return identity


def bearer_of(headers: Headers) -> str | None:
    """The key of a request, if it has one."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" and given.strip() else None


def address_of(scope: Scope) -> str:
    """Where a request comes from."""
    client = scope.get("client")
    return "unknown" if client is None else str(client[0])


async def _refuse(error: DatainfError, scope: Scope, receive: Receive, send: Send) -> None:
    await problem_response(error, scope["state"]["request_id"], {"Connection": "close"})(scope, receive, send)
