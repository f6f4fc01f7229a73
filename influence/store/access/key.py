"""API keys: who may do what, in which namespace, and until when."""

import re
from datetime import datetime
from typing import Literal

from pydantic import field_validator

from influence.contracts.common import DEFAULT_NAMESPACE, Frozen, Record, now

#: Each includes those before it. `read` looks, `write` changes and asks, `admin` does so in every namespace.
Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def is_namespace(text: str) -> bool:
    """Whether a text may name a namespace."""
    return _NAMESPACE.fullmatch(text) is not None


class ApiKey(Record):
    """A key as it is kept: not its secret, but a keyed hash of it (hex of HMAC-SHA-256)."""

    name: str
    scope: Scope
    digest: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @field_validator("namespace")
    @classmethod
    def _is_namespace(cls, namespace: str) -> str:
        if not is_namespace(namespace):
            raise ValueError("a namespace is 1 to 63 of a-z, 0-9 and '-', and begins with a letter or a digit")
        return namespace

    @property
    def is_valid(self) -> bool:
        """Whether it opens anything at this moment."""
        return self.revoked_at is None and (self.expires_at is None or now() < self.expires_at)


class Identity(Frozen):
    """Who asks: a stable name, what it may do, and where."""

    caller: str
    scope: Scope = "admin"
    namespace: str = DEFAULT_NAMESPACE

    def may(self, scope: Scope) -> bool:
        """Whether what it may do includes a scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    @property
    def view(self) -> str | None:
        """The namespace that it sees, or None where it sees all."""
        return None if self.scope == "admin" else self.namespace
