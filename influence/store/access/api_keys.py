"""API keys in Redis: made once, shown once, found by the id within them.

A key is `datainf_<id>_<secret>`. Its record is found by the id, in one step however many keys there are; the secret is
compared in constant time with its keyed hash, which is of no use to who reads Redis without the data directory.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import timedelta

import redis

from influence.contracts.common import DEFAULT_NAMESPACE, now
from influence.digests import new_id
from influence.errors import NotFound
from influence.store import keys
from influence.store.access.key import ApiKey, Scope
from influence.store.records import Records

PREFIX = "datainf_"
_FORM = re.compile(r"datainf_([0-9A-Z]{26})_([0-9A-Za-z_-]{43})")
_SECRET_BYTES = 32


class ApiKeys:
    """Make, list, revoke and check keys. `secret` answers what hashes are made with; it is asked for when needed."""

    def __init__(self, client: redis.Redis, secret: Callable[[], bytes]) -> None:
        self._client = client
        self._secret = secret
        self._records: Records[ApiKey] = Records(client, "key", ApiKey)

    def create(
        self, name: str, scope: Scope, *, namespace: str = DEFAULT_NAMESPACE, lifetime_days: int | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is not kept. Raises ValueError for what is no namespace."""
        key_id = new_id("key")
        text = f"{PREFIX}{key_id.removeprefix('key_')}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        record = ApiKey(
            id=key_id,
            name=name,
            scope=scope,
            namespace=namespace,
            digest=self._digest(text),
            created_at=now(),
            expires_at=None if lifetime_days is None else now() + timedelta(days=lifetime_days),
        )
        self._records.create(record)
        return record, text

    def all(self) -> list[ApiKey]:
        """Every key there is, the newest first; revoked ones, too."""
        return self._records.all()

    def exist(self) -> bool:
        """Whether a key was ever made here: then nobody gets in without one."""
        return bool(self._client.exists(keys.listing("key")))

    def revoke(self, key_id: str) -> ApiKey:
        """End a key, at once and for ever. Raises NotFound."""
        if not key_id.startswith("key_"):
            raise NotFound(f"There is no key '{key_id[:80]}'.", hint="Ids look like 'key_01J9'; see datainf keys list.")
        return self._records.update(
            key_id, lambda key: key if key.revoked_at is not None else key.model_copy(update={"revoked_at": now()})
        )

    def find(self, text: str) -> ApiKey | None:
        """The key of a text, if there is one and it is valid at this moment."""
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        record = self._records.find_whole(f"key_{form[1]}")
        if record is None or not hmac.compare_digest(self._digest(text), record.digest) or not record.is_valid:
            return None
        return record

    def _digest(self, text: str) -> str:
        return hmac.new(self._secret(), text.encode(), hashlib.sha256).hexdigest()
