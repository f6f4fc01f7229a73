"""Which hosts and pages may call: without an API key a browser is all that stands between this machine and any page.

A page elsewhere can send a form to 127.0.0.1, and by a name of its own that it points there (DNS rebinding) also read
the answer. Both are seen in headers that no page can change: `Host` and `Origin`.
"""

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.problems import problem_response
from influence.errors import DatainfError, HostNotAllowed, OriginNotAllowed
from influence.settings import is_loopback

#: What pages of other origins may send and see, where they are allowed.
CROSS_ORIGIN: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "PATCH", "DELETE"],
    "allow_headers": ["Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "X-Request-Id"],
    "expose_headers": ["ETag", "Idempotent-Replayed", "Location", "Preference-Applied", "Retry-After", "X-Request-Id"],
}
#: Methods that change nothing; a page elsewhere may send them, its browser keeps the answer from it.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class OriginGuard:
    """Refuses requests for hosts that are not `hosts`, and changes asked for by pages that are not ours or `origins`.

    Without `hosts` every name is taken where callers have keys (`has_keys`), and elsewhere names of this machine. Where
    keys are set a page without one cannot ask for anything, so that its origin does not matter.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], origins: Collection[str], has_keys: bool) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)
        self._has_keys = has_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refusal = self._refuse_host(headers) or self._refuse_origin(scope["method"], headers)
            if refusal is not None:
                await problem_response(refusal, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refuse_host(self, headers: Headers) -> DatainfError | None:
        host = headers.get("host")
        # No browser leaves the header out.
        if host is None or (self._has_keys and not self._hosts):
            return None
        name = host_name(host)
        if is_loopback(name) or name in self._hosts:
            return None
        return HostNotAllowed(f"Requests for the host '{host[:200]}' are not taken here.")

    def _refuse_origin(self, method: str, headers: Headers) -> DatainfError | None:
        origin = headers.get("origin")
        if origin is None or method in _SAFE or self._has_keys or origin in self._origins:
            return None
        if urlsplit(origin).netloc.lower() == headers.get("host", "").lower():
            return None
        return OriginNotAllowed(f"Pages of '{origin[:200]}' may not change anything here.")


def host_name(host: str) -> str:
    """A Host header without its port, in lower case."""
    name, _, port = host.strip().rpartition(":")
    whole = name if port.isdigit() and name else host.strip()
    return whole.lower().removeprefix("[").removesuffix("]")
