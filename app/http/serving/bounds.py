"""How much one caller may ask for: so many requests at once and so many a minute, per key, or per address without one.

Held in the process's memory, for the callers that were heard of last: several processes count each for itself.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.problems import problem_response
from app.http.serving.keys import API, address_of
from influence.errors import TooManyRequests
from influence.store.access.key import Identity

#: Callers that are remembered; whoever was not heard of for longest is forgotten first.
_MOST_CALLERS = 10_000
#: Keys that are none, from one address in a minute.
WRONG_KEYS_PER_MINUTE = 30


@dataclass
class _Bucket:
    """What one caller has left. It fills up evenly, to a minute's worth."""

    left: float
    at: float


class Rate:
    """`per_minute` for each name, by a clock of seconds. Raises TooManyRequests with how long to wait."""

    def __init__(self, per_minute: int, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._what = what
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str) -> None:
        """Count one."""
        now = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(self._per_minute, now))
        self._buckets.move_to_end(name)
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        per_second = self._per_minute / 60
        bucket.left = min(self._per_minute, bucket.left + (now - bucket.at) * per_second)
        bucket.at = now
        if bucket.left < 1:
            raise TooManyRequests(
                f"More than {self._per_minute} {self._what} a minute came from one caller.",
                extra={"retry_after_seconds": max(1, math.ceil((1 - bucket.left) / per_second))},
            )
        bucket.left -= 1


class CallerBounds:
    """Refuses calls of the API beyond `at_once` and `per_minute` of one caller, before a byte of their body is read."""

    def __init__(self, app: ASGIApp, *, at_once: int, per_minute: int) -> None:
        self._app = app
        self._at_once = at_once
        self._rate = Rate(per_minute, "requests")
        self._under_way: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return
        identity: Identity = scope["state"]["identity"]
        name = f"{identity.caller} {address_of(scope)}" if identity.caller == "anonymous" else identity.caller
        try:
            self._rate.take(name)
            self._check(name)
        except TooManyRequests as error:
            response = problem_response(error, scope["state"]["request_id"], {"Connection": "close"})
            await response(scope, receive, send)
            return
        self._under_way[name] = self._under_way.get(name, 0) + 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way[name] -= 1
            if not self._under_way[name]:
                del self._under_way[name]

    def _check(self, name: str) -> None:
        if self._under_way.get(name, 0) >= self._at_once:
            raise TooManyRequests(
                f"{self._at_once} requests of this caller are being answered, as many as it may have at once.",
                extra={"retry_after_seconds": 1},
            )
