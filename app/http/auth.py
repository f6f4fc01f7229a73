"""Who asks: a key of DATAINF_API_KEYS, one that `datainf keys` made, or nobody in particular on a loopback address."""

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.settings import ApiSettings
from influence.errors import Unauthorised
from influence.store.access.api_keys import ApiKeys
from influence.store.access.key import Identity

ANONYMOUS = Identity(caller="anonymous")
_bearer = HTTPBearer(auto_error=False, description="An API key; not asked for on a loopback address without keys.")


class Doorkeeper:
    """Tells callers by their keys. A key of the settings is an administrator's and needs no Redis to be told."""

    def __init__(self, settings: ApiSettings, keys: ApiKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._digests = [hashlib.sha256(key.get_secret_value().encode()).digest() for key in settings.api_keys]

    async def identify(self, given_key: str | None) -> Identity:
        """Who has a key. Raises Unauthorised, StoreError."""
        if given_key is None:
            return await run_in_threadpool(self._admit_without_key)
        given = hashlib.sha256(given_key.encode()).digest()
        # A sum: every key is compared, each in constant time.
        if sum(hmac.compare_digest(given, digest) for digest in self._digests):
            return Identity(caller=given.hex()[:40])
        return await run_in_threadpool(self._find, given_key)

    def _admit_without_key(self) -> Identity:
        if self._digests or self._settings.require_keys or self._keys.exist():
            raise Unauthorised("This call needs an API key.")
        return ANONYMOUS

    def _find(self, given_key: str) -> Identity:
        key = self._keys.find(given_key)
        if key is not None:
            return Identity(caller=key.id, scope=key.scope, namespace=key.namespace)
        if not self._digests and not self._settings.require_keys and not self._keys.exist():
            return ANONYMOUS  # where no key is asked for, one too many does no harm
        raise Unauthorised(
            "The API key is not known here, or not valid any more.", hint="Check the key, or ask the operator for one."
        )


async def find_identity(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
) -> Identity:
    """Who asks: told before the body was read where the path is one of the API. Raises Unauthorised."""
    known: Identity | None = getattr(request.state, "identity", None)
    if known is not None:
        return known
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return await doorkeeper.identify(None if credentials is None else credentials.credentials)


async def authenticate(identity: Annotated[Identity, Depends(find_identity)]) -> str:
    """A stable name of the caller: the id of its key, the digest of one in the settings, or `anonymous`.

    Raises Unauthorised.
    """
    return identity.caller


Asking = Annotated[Identity, Depends(find_identity)]
Caller = Annotated[str, Depends(authenticate)]
#: Dependencies of a router whose every route asks for a key.
GUARDED = (Security(authenticate),)
