"""When a call is made again, and after how long."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

_PROBLEM = "application/problem+json"
_LONGEST_SECONDS = 8.0


@dataclass(frozen=True)
class Retries:
    """At most `attempts` calls; pauses grow from `first_seconds`, twice as long each time, and together stay below
    `total_seconds`: a service that asks for more patience than that is told to the caller."""

    attempts: int = 5
    first_seconds: float = 0.25
    total_seconds: float = 60.0

    def pauses(self) -> Iterator[float]:
        """The pause after each attempt but the last; a part of each is chance, so that clients do not come at once."""
        for number in range(self.attempts - 1):
            yield min(_LONGEST_SECONDS, self.first_seconds * 2.0**number) * random.uniform(0.5, 1.0)


def asks_again(response: httpx.Response, *, is_repeatable: bool) -> bool:
    """Whether an answer says that the same call may succeed soon.

    A 429 was refused before anything was done, so that every call may be sent again. What may be half done is sent
    again only if it `is_repeatable`: on a 503 that names a time or comes from a proxy, and on a 409 that names a
    time because the first try under this Idempotency-Key is still at work.
    """
    if response.status_code == 429:
        return True
    if response.status_code == 503:
        is_ours = response.headers.get("content-type", "").startswith(_PROBLEM)
        return is_repeatable and ("retry-after" in response.headers or not is_ours)
    if response.status_code == 409 and is_repeatable and "retry-after" in response.headers:
        response.read()
        return '"idempotency_conflict"' in response.text
    return False


def asked_seconds(response: httpx.Response) -> float:
    """The pause that `Retry-After` asks for, in seconds or as a date; 0 where it says nothing that can be read."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
