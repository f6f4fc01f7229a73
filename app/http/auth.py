"""Who asks. A key is compared in constant time, as digest, against every key there is."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.context import Ctx
from app.http.problems import problem_response
from influence.errors import Unauthorised

ANONYMOUS = "anonymous"
_bearer = HTTPBearer(auto_error=False, description="An API key; not asked for on a loopback address without keys.")


async def authenticate(
    request: Request,
    context: Ctx,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> str:
    """A stable name of the caller: the digest of its key, or `anonymous` where no keys are configured.

    Raises Unauthorised.
    """
    if not context.settings.api_keys:
        return ANONYMOUS
    known: str | None = getattr(request.state, "caller", None)  # by KeyGuard, where the path is one of its
    if known is not None:
        return known
    return identify(context.settings.api_keys, None if credentials is None else credentials.credentials)


def identify(keys: Sequence[SecretStr], given_key: str | None) -> str:
    """A stable name of who has a key. Raises Unauthorised."""
    if given_key is None:
        raise Unauthorised("This call needs an API key.")
    given = hashlib.sha256(given_key.encode()).digest()
    known = [hashlib.sha256(key.get_secret_value().encode()).digest() for key in keys]
    matches = sum(hmac.compare_digest(given, digest) for digest in known)  # a sum: every key is compared
    if not matches:
        raise Unauthorised("The API key is not known here.", hint="Check the key, or ask the operator for one.")
    return given.hex()[:40]


class KeyGuard:
    """Refuses calls of the API without a key before a byte of their body is read.

    FastAPI reads and parses bodies before it asks for dependencies: without this, strangers could fill memory.
    """

    def __init__(self, app: ASGIApp, *, keys: Sequence[SecretStr]) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._keys and scope["path"].startswith("/v1/"):
            scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
            try:
                caller = identify(self._keys, given.strip() if scheme.lower() == "bearer" and given.strip() else None)
                scope["state"]["caller"] = caller
            except Unauthorised as error:
                refusal = problem_response(error, scope["state"]["request_id"], {"Connection": "close"})
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


Caller = Annotated[str, Depends(authenticate)]
