"""`Idempotency-Key`: a POST sent twice with one key does its work once.

What is remembered is which resource the first request made, not the bytes of its answer: a repeated request is
answered with that resource as it stands now, so that `Prefer: wait` works on a retry. The remembered digest covers
the whole body (of a form: the file's bytes, its name and every field); another body under the same key is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from app.http.auth import Caller
from app.http.context import Ctx
from influence.contracts.common import Json
from influence.digests import digest_json
from influence.errors import IdempotencyConflict
from influence.store.store import Store

RETRY_SECONDS = 2
REPLAYED_HEADER = "Idempotent-Replayed"


@dataclass(frozen=True)
class Accepted:
    """What a POST made or found: the resource's id, the job that works on it, and whether it is new."""

    resource_id: str
    job_id: str | None = None
    is_new: bool = True
    is_replayed: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return {REPLAYED_HEADER: "true"} if self.is_replayed else {}


@dataclass(frozen=True)
class IdempotentRun:
    """Runs work at most once for a key; without a key it simply runs it."""

    store: Store
    key_digest: str | None

    def run(self, body_digest: str, work: Callable[[], Accepted]) -> Accepted:
        """The work's outcome, or the remembered one. Raises IdempotencyConflict; work that raises is not remembered.

        Nor is work whose resource was deleted since: a repeated request makes it anew.
        """
        if self.key_digest is None:
            return work()
        earlier = self.store.idempotency.begin(self.key_digest, self._is_deleted)
        if earlier is False:
            raise IdempotencyConflict(
                "A request with this Idempotency-Key is still being worked on.",
                hint="Send it again in a few seconds.",
                extra={"retry_after_seconds": RETRY_SECONDS},
            )
        if isinstance(earlier, dict):
            if earlier["body_digest"] != body_digest:
                raise IdempotencyConflict("This Idempotency-Key was already used with a different body.")
            return Accepted(earlier["resource_id"], earlier["job_id"], earlier["is_new"], is_replayed=True)
        return self._remember(self.key_digest, body_digest, work)

    def _remember(self, key_digest: str, body_digest: str, work: Callable[[], Accepted]) -> Accepted:
        try:
            made = work()
        except BaseException:
            self.store.idempotency.abandon(key_digest)
            raise
        answer = {
            "body_digest": body_digest,
            "resource_id": made.resource_id,
            "job_id": made.job_id,
            "is_new": made.is_new,
        }
        self.store.idempotency.finish(key_digest, answer)
        return made

    def _is_deleted(self, answer: Json) -> bool:
        return not self.store.holds(answer["resource_id"])


async def find_once(
    request: Request,
    context: Ctx,
    caller: Caller,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="The same key within 24 hours does the work once."),
    ] = None,
) -> IdempotentRun:
    """The key belongs to this caller and this path."""
    name = None if idempotency_key is None else digest_json([caller, request.url.path, idempotency_key])
    return IdempotentRun(context.store, name)


OnceOnly = Annotated[IdempotentRun, Depends(find_once)]
