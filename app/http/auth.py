"""Who asks. A key is compared in constant time, as digest, against every key there is."""

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.http.context import Ctx
from influence.errors import Unauthorised

ANONYMOUS = "anonymous"
_bearer = HTTPBearer(auto_error=False, description="An API key; not asked for on a loopback address without keys.")


async def authenticate(
    context: Ctx, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
) -> str:
    """A stable name of the caller: the digest of its key, or `anonymous` where no keys are configured.

    Raises Unauthorised.
    """
    keys = context.settings.api_keys
    if not keys:
        return ANONYMOUS
    if credentials is None:
        raise Unauthorised("This call needs an API key.")
    given = hashlib.sha256(credentials.credentials.encode()).digest()
    known = [hashlib.sha256(key.get_secret_value().encode()).digest() for key in keys]
    matches = sum(hmac.compare_digest(given, digest) for digest in known)  # a sum: every key is compared
    if not matches:
        raise Unauthorised("The API key is not known here.", hint="Check the key, or ask the operator for one.")
    return given.hex()[:40]


Caller = Annotated[str, Depends(authenticate)]
